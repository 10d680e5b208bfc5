"""The dashboards of Grafana, one module each, and their conversion to JSON."""
