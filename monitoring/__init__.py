"""Define the alerts and dashboards. `make monitoring` writes them into the files that Prometheus and Grafana read."""
