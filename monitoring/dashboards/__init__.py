"""The dashboards of Grafana. Each has its own module, and `grafana.py` converts them to JSON."""
