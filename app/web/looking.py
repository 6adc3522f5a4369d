"""Requests that only look: HEAD, and what a browser fetches before anybody has asked for it.

They are answered as a GET is, but nothing is counted, used up or written for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import has_request_context, request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEAD = "app.head"
# https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Purpose, and what older browsers and proxies send
PURPOSES = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
AHEAD = ("prefetch", "prerender", "preview")


class HeadAsGet:
    """Every view sees a GET where HEAD was asked, so none can take it for a form that was sent; the body is dropped."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "HEAD":
            return self._app(environ, start_response)
        answer = self._app(environ | {"REQUEST_METHOD": "GET", HEAD: True}, start_response)
        if hasattr(answer, "close"):
            answer.close()  # a body that is made as it is read is not made
        return []


def is_head() -> bool:
    return bool(request.environ.get(HEAD))


def only_looking() -> bool:
    """Whether this request is nobody's act yet."""
    if not has_request_context() or request.method != "GET":
        return False
    said = " ".join(request.headers.get(name, "") for name in PURPOSES).lower()
    return is_head() or any(word in said for word in AHEAD)
