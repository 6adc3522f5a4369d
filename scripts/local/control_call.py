"""Asking the control API of a stand-in for Stripe that runs, wherever it was started."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

# Straight to loopback, whatever proxy the environment names.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ControlError(Exception):
    """The control API said no; `body` is its answer."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body


def control(url: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Ask the stand-in at `url`: POST `body` to /_control/`path`; GET it when there is no body."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    call = urllib.request.Request(f"{url}/_control/{path.lstrip('/')}", data, headers)  # noqa: S310
    try:
        with _OPENER.open(call, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise ControlError(error.code, _json(error.read())) from None


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
