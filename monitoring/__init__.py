"""Define the alerts and dashboards, and write them into the files of Prometheus and Grafana (`make monitoring`)."""
