# The app as it runs in production. The same image is the web server and the mail sender (docs/operating.md).
# Nothing of the image is run while it is built, so an image for arm64 is made on amd64 without an emulator.
# --target local is everything that scripts/run starts, for compose.yaml.

ARG BASE=python:3.11-slim

FROM --platform=$BUILDPLATFORM ${BASE} AS build
ARG TARGETARCH=
# With requirements-telemetry.txt it can send metrics and traces to a collector, too (docs/metrics.md).
ARG PACKAGES=requirements-image.txt
COPY requirements-image.txt requirements-telemetry.txt scripts/images/packages.py /build/
RUN python /build/packages.py --lock "/build/$PACKAGES" --to /srv/packages --arch "$TARGETARCH"
COPY app /srv/app
COPY scripts/setup_db.py /srv/scripts/setup_db.py
RUN python -m compileall -q --invalidation-mode unchecked-hash /srv/app /srv/scripts

FROM --platform=$BUILDPLATFORM ${BASE} AS build-local
ARG TARGETARCH=
COPY requirements.txt scripts/images/packages.py /build/
RUN python /build/packages.py --lock /build/requirements.txt --to /srv/packages --arch "$TARGETARCH" --whole \
    && mkdir -m 0777 /var/local/dashboard

FROM ${BASE} AS local
COPY --from=build-local /srv/packages /srv/packages
COPY --from=build-local --chown=10001 /var/local/dashboard /var/local/dashboard
COPY app /srv/app
COPY scripts /srv/scripts
WORKDIR /srv
USER 10001
ENV PYTHONPATH=/srv/packages PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 VAR_DIR=/var/local/dashboard
STOPSIGNAL SIGTERM
CMD ["python", "-m", "scripts.local.supervisor"]

FROM ${BASE}
COPY --from=build /srv /srv
WORKDIR /srv
USER 10001
ENV PYTHONPATH=/srv/packages PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PORT=8000 WEB_CONCURRENCY=2 DRAIN_SECONDS=0 \
    PYTHONWARNINGS="ignore:Pillow could not be imported - fpdf2 will not be able to add any image"
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/livez', timeout=4)"]
STOPSIGNAL SIGTERM
# A wrong setting ends the container with one sentence; a worker that dies is started again, and takes none along.
CMD ["sh", "-c", "exec python -m app.web.serve --host 0.0.0.0 --port \"$PORT\" --workers \"$WEB_CONCURRENCY\" --drain \"$DRAIN_SECONDS\""]
