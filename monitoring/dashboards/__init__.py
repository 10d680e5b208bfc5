"""The dashboards of Grafana: what each shows, and how it is written for Grafana."""
