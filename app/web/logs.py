"""Structured logs: one line of JSON for one event, with the request's id; never a body, a secret or a full e-mail."""

from __future__ import annotations

import json
import logging
import secrets
import sys
import time
from datetime import UTC, datetime

from flask import Flask, Response, g, has_request_context, request

from app.domain.accounts import mask_email
from app.telemetry.instruments import ALERTS, ERRORS
from app.web import edge, probes

log = logging.getLogger(__name__)

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """JSON escapes newlines, so nothing that a person typed can forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
        }
        if has_request_context():
            line |= {"request_id": g.get("request_id"), "method": request.method, "route": request.endpoint or "-"}
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(level: int = logging.INFO) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("botocore", "boto3", "urllib3", "stripe"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def count_lines() -> None:
    """What alarms ring for, as metrics."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_counted)


def _counted(record: logging.LogRecord) -> bool:
    if record.name.startswith("opentelemetry."):  # a collector that is away is told, and nobody is woken for it
        record.levelno = min(record.levelno, logging.WARNING)
        record.levelname = logging.getLevelName(record.levelno)
    if record.levelno >= logging.ERROR:
        ERRORS.add()
    if alert := getattr(record, "alert", None):
        ALERTS.add(kind=alert)
    return True


def register(app: Flask) -> None:
    """Call before whatever refuses requests, so that a refusal has a reference too."""

    @app.before_request
    def name_request() -> None:
        visitor = edge.visitor()
        g.request_id = visitor.reference if visitor else secrets.token_hex(8)
        g.account = g.api_key = None
        g.started = time.perf_counter()

    @app.after_request
    def log_request(response: Response) -> Response:
        """One line a request. The path stays out: it may hold the token of a mailed link."""
        if g.get("waits"):  # it has no answer yet: app/web/waiting.py
            return response
        quiet = request.endpoint in ("static", *probes.ENDPOINTS) and response.status_code < 400
        log.log(
            logging.DEBUG if quiet else logging.INFO,
            "request",
            extra={
                "status": response.status_code,
                "ms": round((time.perf_counter() - g.get("started", time.perf_counter())) * 1000, 1),
                "email": mask_email(g.account.email) if g.get("account") else None,
                **({"key_id": g.api_key.key_id} if g.get("api_key") else {}),
            },
        )
        return response
