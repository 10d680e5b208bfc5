"""Code that all processes share: settings, logs, traces, health, metrics, and an orderly stop."""
