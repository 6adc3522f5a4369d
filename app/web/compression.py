"""Answers are sent as small as it is worth: zstd where the client reads it, else gzip. Static files have more time to
get smaller: static_files.py.
"""

from __future__ import annotations

import gzip
import sys
from collections import deque
from collections.abc import Callable
from functools import lru_cache, partial

from flask import Flask, Response, request
from werkzeug.datastructures import Accept
from werkzeug.http import parse_accept_header

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdCompressor
else:
    from backports.zstd import ZstdCompressor

COMPRESSIBLE = frozenset({"text/html", "text/plain", "text/xml", "application/json", "application/manifest+json"})
MIN_BYTES = 500
LEVEL = 3
IDENTITY = "identity"
KEPT = 8  # compressors of a process, about as many as work at once; each holds some 100 KB

_idle: deque[ZstdCompressor] = deque(maxlen=KEPT)


def zstd(data: bytes) -> bytes:
    """One frame. Making a compressor costs as much as compressing a page: they are used again."""
    try:
        compressor = _idle.pop()
    except IndexError:
        compressor = ZstdCompressor(level=LEVEL)
    packed = compressor.compress(data, ZstdCompressor.FLUSH_FRAME)
    _idle.append(compressor)  # not one that has failed
    return packed


COMPRESS: dict[str, Callable[[bytes], bytes]] = {"zstd": zstd, "gzip": partial(gzip.compress, compresslevel=6, mtime=0)}


@lru_cache(maxsize=256)
def best_of(offered: tuple[str, ...], accepted: str) -> str | None:
    """What a client likes best by its Accept-Encoding, the first of those that it likes as much; None: as it is."""
    found = parse_accept_header(accepted, Accept).best_match((*offered, IDENTITY))
    return None if found == IDENTITY else found


def register(app: Flask) -> None:
    offered = tuple(COMPRESS)

    @app.after_request
    def compress(response: Response) -> Response:
        headers = response.headers
        vary = headers.get("Vary")
        headers["Vary"] = f"{vary}, Accept-Encoding" if vary else "Accept-Encoding"
        encoding = best_of(offered, request.headers.get("Accept-Encoding", ""))
        if (
            encoding is None
            or not 200 <= response.status_code < 300
            or response.mimetype not in COMPRESSIBLE
            or response.is_streamed
            or "Content-Encoding" in headers
        ):
            return response
        data = response.get_data()
        if len(data) < MIN_BYTES:
            return response
        response.set_data(COMPRESS[encoding](data))
        headers["Content-Encoding"] = encoding
        etag, is_weak = response.get_etag()
        # Other bytes have another name: https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3.3
        if etag and not is_weak:
            response.set_etag(f"{etag}:{encoding}")
            response.make_conditional(request)
        return response
