"""The programs with which `make bench` compares the webhook. Each runs in its own container, from the image of Dockerfile."""
