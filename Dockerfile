# One image for every process of ours; which one it is, the command says.
FROM ghcr.io/astral-sh/uv:0.13.9 AS uv

FROM python:3.14.10-slim AS product

# matplotlib wants to write down which fonts there are.
ENV MPLCONFIGDIR=/tmp/matplotlib \
    PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy

RUN --mount=from=uv,source=/uv,target=/usr/local/bin/uv \
    --mount=type=cache,target=/root/.cache/uv \
    --mount=type=bind,source=requirements/runtime.lock,target=/tmp/runtime.lock \
    uv venv /opt/venv && uv pip install --python /opt/venv --require-hashes --requirement /tmp/runtime.lock

# A volume that is mounted here for the first time takes over the owner of the folder.
RUN install -d -o 10001 -g 10001 /secrets/db /secrets/webhook /secrets/bot /secrets/janitor /secrets/watcher /secrets/grafana /secrets/alertmanager /certificates /alerts /traces /spool \
    /configuration/proxy /configuration/miniapp /configuration/db /configuration/prometheus /configuration/alertmanager \
    /configuration/grafana /configuration/dashboards /configuration/tempo

WORKDIR /app
# The modes are fixed because a checkout under umask 027 or 077 has others, and the services run as another user than its owner.
# One mode serves files and folders: older engines know none that differ.
COPY --chmod=755 proxy/Caddyfile configuration/proxy/Caddyfile
COPY --chmod=755 miniapp configuration/miniapp
COPY --chmod=755 db/init.sql configuration/db/10-init.sql
COPY --chmod=755 db/passwords.sh configuration/db/20-passwords.sh
COPY --chmod=755 prometheus/prometheus.yml configuration/prometheus/prometheus.yml
COPY --chmod=755 prometheus/rules configuration/prometheus/rules
COPY --chmod=755 alertmanager configuration/alertmanager
COPY --chmod=755 grafana/provisioning configuration/grafana
COPY --chmod=755 grafana/dashboards configuration/dashboards
COPY --chmod=755 tempo configuration/tempo
# The library is installed from its wheel, as another bot would have it. The processes are found in the working directory, which
# an image built on this one can change.
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
COPY --chmod=755 services services
RUN python -m compileall -q services

ARG REVISION=unknown
ENV REVISION=$REVISION
LABEL org.opencontainers.image.title="coffee-ledger" org.opencontainers.image.revision=$REVISION
USER 10001:10001
CMD ["python", "-m", "services.webhook"]

# The stand-ins of the demo, which production has no use for.
FROM product AS sandbox
COPY --chmod=755 sandbox sandbox
CMD ["python", "-m", "sandbox"]
