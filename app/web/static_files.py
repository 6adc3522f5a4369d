"""Static files: each has an address with a hash of its content, and is sent as small as it gets: compressed once at the
highest of what a client reads, brotli or gzip, kept in memory, sent to all. What is compressed of a script is its code.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Callable
from functools import cache, lru_cache, partial
from pathlib import Path

import brotli  # type: ignore[import-untyped]
from flask import Flask, Response, request

from app.web.compression import best_of

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "br": partial(brotli.compress, quality=11),
    "gzip": partial(gzip.compress, compresslevel=9, mtime=0),
}
COMPRESSIBLE = frozenset({"text/css", "text/javascript", "image/svg+xml"})
MIN_BYTES = 200
AT_THE_ROOT = ("favicon.ico", "apple-touch-icon.png", "manifest.webmanifest")  # where they are looked for unasked
HASH_CHARACTERS = 12
BESIDE_THE_CODE = re.compile(rb"^[ \t]*//.*$|^[ \t]+", re.MULTILINE)


@cache
def content_hash(path: Path) -> str:
    """Of a file as this process serves it. Raises OSError where there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:HASH_CHARACTERS]


def shows_its_own_hash(static_folder: str | None) -> bool:
    """Whether the file that is asked for is the one that the address means.

    In a release servers of two versions stand behind one address: what an older one has for the newer one's address
    must be kept by nobody.
    """
    versions = request.args.getlist("v")
    if not versions or not static_folder or not request.view_args:
        return False
    return versions == [content_hash(Path(static_folder) / request.view_args["filename"])]


def code_of(script: bytes) -> bytes:
    """Our own script without indentation and comments that are lines; each line keeps its number.

    Nothing in it may go on over lines but code: tests/test_budgets.py holds that of every script.
    """
    return BESIDE_THE_CODE.sub(b"", script)


def register(app: Flask) -> None:
    """Call after compression.py: what ran later is asked first, and a compressed answer is left alone there."""
    for name in AT_THE_ROOT:
        app.add_url_rule(f"/{name}", "static", app.view_functions["static"], defaults={"filename": name})

    @lru_cache(maxsize=64)
    def smaller(filename: str, version: str, encoding: str) -> bytes:
        content = Path(app.root_path, "static", filename).read_bytes()
        ours = filename.endswith(".js") and not filename.startswith("vendor/")
        return COMPRESS[encoding](code_of(content) if ours else content)

    @app.after_request
    def compress_static(response: Response) -> Response:
        if request.endpoint != "static":
            return response
        version, _ = response.get_etag()
        encoding = best_of(tuple(COMPRESS), request.headers.get("Accept-Encoding", ""))
        if (
            request.method != "GET"
            or response.status_code != 200
            or response.mimetype not in COMPRESSIBLE
            or (response.content_length or 0) < MIN_BYTES
            or not version
            or not encoding
        ):
            return response
        assert request.view_args is not None  # nosec B101
        compressed = smaller(request.view_args["filename"], version, encoding)
        response.close()  # the file that send_file has opened
        response.direct_passthrough = False
        response.set_data(compressed)
        response.headers["Content-Encoding"] = encoding
        response.set_etag(f"{version}:{encoding}")
        response.make_conditional(request)
        return response
