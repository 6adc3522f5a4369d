"""The app as it is deployed, whose answers name the worker process that gave them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from app.wsgi import app

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_deployed = app.wsgi_app


def named(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        return start_response(status, [*headers, ("X-Worker", str(os.getpid()))], exc_info)

    return _deployed(environ, start)


app.wsgi_app = named  # type: ignore[method-assign]
