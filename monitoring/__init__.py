"""What is watched: thresholds, alerts and dashboards, from which the files of Prometheus and Grafana are written."""
