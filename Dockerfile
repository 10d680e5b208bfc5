# All services use this one image. The container's command selects the service.
FROM ghcr.io/astral-sh/uv:0.13.9 AS uv

FROM python:3.14.10-slim AS base

# PYTHONNODEBUGRANGES makes the compiled files smaller. Tracebacks still show line numbers, but not the columns within a line.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONNODEBUGRANGES=1 \
    PYTHONUNBUFFERED=1 \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy

# Install the packages in a separate stage. The product's image copies only the result, so files that this stage deletes take no
# space in the product's image.
FROM base AS packages

RUN --mount=from=uv,source=/uv,target=/usr/local/bin/uv \
    --mount=type=cache,target=/root/.cache/uv \
    --mount=type=bind,source=requirements/runtime.lock,target=/tmp/runtime.lock \
    uv venv /opt/venv && uv pip install --python /opt/venv --require-hashes --requirement /tmp/runtime.lock

# Delete files that the product never uses.
RUN \
    # Keep the number and date formats of the bot's two languages only. The formats of all other languages take 31 MB.
    find /opt/venv/lib/python*/site-packages/babel/locale-data -name '*.dat' ! -name root.dat ! -name en.dat ! -name uk.dat -delete

FROM base AS product

COPY --from=packages /opt/venv /opt/venv

# Create the folders on which volumes are mounted, with the owner 10001. A new volume gets the owner of the folder on which it
# is first mounted.
RUN install -d -o 10001 -g 10001 /secrets/db /secrets/migrate /secrets/webhook /secrets/bot /secrets/janitor /secrets/watcher /secrets/grafana /secrets/alertmanager /certificates /alerts /traces /spool \
    /configuration/proxy /configuration/miniapp /configuration/prometheus /configuration/alertmanager \
    /configuration/grafana /configuration/dashboards /configuration/tempo

WORKDIR /app
# Set the modes explicitly, because root owns the files, and the services do not run as root. Otherwise the services could not
# read files from a checkout that was made under umask 027 or 077.
# Files and folders get the same mode, because older Docker engines support only one mode per COPY.
COPY --chmod=755 proxy/Caddyfile configuration/proxy/Caddyfile
COPY --chmod=755 miniapp configuration/miniapp
COPY --chmod=755 prometheus/prometheus.yml configuration/prometheus/prometheus.yml
COPY --chmod=755 prometheus/rules configuration/prometheus/rules
COPY --chmod=755 alertmanager configuration/alertmanager
COPY --chmod=755 grafana/provisioning configuration/grafana
COPY --chmod=755 grafana/dashboards configuration/dashboards
COPY --chmod=755 tempo configuration/tempo
# Install the library from its wheel. Bots that embed Coffee Ledger install the same wheel. The services are not installed,
# because Python finds them in the working directory, /app. So an image that is based on this image can set another working
# directory and have its own package `services` there.
RUN --mount=from=uv,source=/uv,target=/usr/local/bin/uv \
    --mount=type=cache,target=/root/.cache/uv \
    --mount=type=bind,source=pyproject.toml,target=/source/pyproject.toml \
    --mount=type=bind,source=LICENSE,target=/source/LICENSE \
    --mount=type=bind,source=requirements,target=/source/requirements \
    --mount=type=bind,source=coffee_ledger,target=/source/coffee_ledger \
    cp -r /source /tmp/source \
    && uv build --quiet --wheel --build-constraint /tmp/source/requirements/build.lock --require-hashes --out-dir /tmp/wheel /tmp/source \
    && uv pip install --python /opt/venv --no-deps /tmp/wheel/*.whl \
    && rm -r /tmp/source /tmp/wheel
COPY --chmod=755 db/roles.sql db/init.sql db/
COPY --chmod=755 db/migrations db/migrations
COPY --chmod=755 services services
# Compile the services, and the modules of the standard library that they import, because the base image contains only the
# sources of these modules. Without this step, each service would spend 0.7 seconds and 2 MB of memory at each start to compile.
RUN python -m compileall -q services \
    && env --unset PYTHONDONTWRITEBYTECODE python -c 'import services.bot.__main__, services.janitor.__main__, services.migrate.__main__, services.webhook.__main__'

ARG REVISION=unknown
ENV REVISION=$REVISION
LABEL org.opencontainers.image.title="coffee-ledger" org.opencontainers.image.version="0.1.0" org.opencontainers.image.revision=$REVISION
USER 10001:10001
CMD ["python", "-m", "services.webhook"]

# This image adds the demo's stand-ins for Telegram and Buy Me a Coffee. It is separate, so that production images do not contain them.
FROM product AS sandbox
COPY --chmod=755 sandbox sandbox
CMD ["python", "-m", "sandbox"]
