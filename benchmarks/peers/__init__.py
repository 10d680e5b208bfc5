"""The programs with which `make bench` compares the webhook. They run in containers of their own (Dockerfile)."""
