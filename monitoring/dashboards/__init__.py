"""Define Grafana's dashboards. Each dashboard has its own module, and `grafana.py` converts the dashboards to JSON."""
