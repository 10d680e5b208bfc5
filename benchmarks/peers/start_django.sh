#!/bin/sh
# Create the tables of django-buymeacoffee, and serve it with two workers of 32 threads each. The benchmarks run on two
# processors, so there is one worker for each processor.
set -eu
PATH=/opt/peers/bin:$PATH
python -m benchmarks.peers.django_peer migrate --run-syncdb --verbosity 0
exec gunicorn --bind 0.0.0.0:8080 --worker-class gthread --workers 2 --threads 32 --keep-alive 75 --worker-tmp-dir /tmp \
    --log-level warning benchmarks.peers.django_peer:application
