"""What each process needs and none is about: settings, logs, health and metrics, an orderly end."""
