"""
The programs with which `make bench` compares the webhook service.

Each program runs in its own container. `Dockerfile` in this folder builds the image of these containers.
"""
