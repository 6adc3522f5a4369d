"""Files of many rows: whole, with their count, or not at all.

A file is written to its end before its first byte leaves: an answer that broke off half-way would pass for the whole.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from flask import Response, request, send_file

from app.domain.errors import InvalidInput, Malformed, PlacesTaken
from app.web.csv_lines import csv_line
from app.web.looking import is_head, only_looking

IN_MEMORY = 1024 * 1024
MAX_BYTES = 256 * 1024 * 1024  # of one file, on the disk of the worker
MAX_ROWS = 50_000
BYTE_ORDER_MARK = "\ufeff"  # without it Excel takes UTF-8 for the letters of its system
READERS = ("", "excel", "program")
NAMED, COUNTED, SUMMED = "Content-Disposition", "X-Row-Count", "X-Sum"  # headers of a file

Row = tuple[Any, ...]


@contextmanager
def spooled(max_bytes: int | None = None) -> Iterator[tuple[IO[str], IO[bytes]]]:
    """A text to write to and the file behind it, wound back for reading when the block ends; closed if it fails.

    Raises InvalidInput for more than fits.
    """
    file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 - closed with the response
    text = io.TextIOWrapper(cast(Any, _Bounded(file, max_bytes or MAX_BYTES)), encoding="utf-8", newline="")
    try:
        yield text, cast(Any, file)
        text.flush()
        text.detach()
        file.seek(0)
    except BaseException:
        file.close()
        raise


def csv_file(
    name: str,
    columns: Row,
    rows: Iterable[Row],
    *,
    total: Callable[[int, int], Row],
    adding: Callable[[Row], int] = lambda row: 0,
    max_rows: int | None = None,
) -> Response:
    """`rows` as a CSV file. It ends with the row that `total` makes of their number and of the sum of `adding`.

    With `?for=program` it has neither byte-order mark nor that last row: both numbers are in the headers anyway.
    Raises Malformed; InvalidInput for more than `max_rows`; and whatever reading the rows raises: then nothing is sent.
    """
    reader = request.args.get("for", "")
    if reader not in READERS:
        raise Malformed("for must be excel or program.")
    if only_looking():
        return announced("text/csv", name)
    most, count, sum_ = max_rows or MAX_ROWS, 0, 0
    with spooled() as (text, file):
        text.write(("" if reader == "program" else BYTE_ORDER_MARK) + csv_line(columns))
        for row in rows:
            count, sum_ = count + 1, sum_ + adding(row)
            if count > most:
                raise InvalidInput(f"That is more than {most:,} rows. Choose a filter that names fewer.")
            text.write(csv_line(row))
        if reader != "program":
            text.write(csv_line(total(count, sum_)))
    response = attachment(file, "text/csv", name)
    response.headers[COUNTED] = str(count)
    response.headers[SUMMED] = str(sum_)
    return response


def attachment(file: IO[bytes], kind: str, name: str) -> Response:
    """A spooled file as an answer that says how long it is: one that breaks off is seen to."""
    response = send_file(cast(Any, file), kind, as_attachment=True, download_name=name)
    response.content_length = file.seek(0, io.SEEK_END)
    file.seek(0)
    return response


def announced(kind: str, name: str) -> Response:
    """The answer to HEAD, without the file: nothing is read for it, and no length is claimed.

    Raises PlacesTaken for a browser that fetches ahead: it may show what it got, and an empty file would look whole.
    """
    if not is_head():
        raise PlacesTaken("Making files")
    response = send_file(io.BytesIO(), kind, as_attachment=True, download_name=name)
    response.response = iter(())
    response.headers.pop("Content-Length", None)
    return response


class _Bounded:
    """A file that refuses to grow beyond its size."""

    def __init__(self, file: Any, max_bytes: int) -> None:
        self._file = file
        self._left = max_bytes

    def write(self, content: bytes) -> int:
        self._left -= len(content)
        if self._left < 0:
            raise InvalidInput("That is more than fits into one file. Choose a filter that names less.")
        written: int = self._file.write(content)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
