# The app as it runs in production. The same image is the web server and the mail sender (docs/operating.md).

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /venv
COPY requirements-image.txt /build/
RUN /venv/bin/python -m pip install --require-hashes --only-binary=:all: -r /build/requirements-image.txt \
    && /venv/bin/python -m pip uninstall --yes pip setuptools
COPY app /srv/app
COPY scripts/setup_db.py /srv/scripts/setup_db.py
RUN /venv/bin/python -m compileall -q /venv/lib /srv

FROM python:3.11-slim
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin app
COPY --from=build /venv /venv
COPY --from=build /srv /srv
WORKDIR /srv
USER 10001
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PORT=8000 WEB_CONCURRENCY=2 DRAIN_SECONDS=0
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/livez', timeout=4)"]
STOPSIGNAL SIGTERM
# A wrong setting ends the container with one sentence; a worker that dies is started again, and takes none along.
CMD ["sh", "-c", "exec python -m app.web.serve --host 0.0.0.0 --port \"$PORT\" --workers \"$WEB_CONCURRENCY\" --drain \"$DRAIN_SECONDS\""]
