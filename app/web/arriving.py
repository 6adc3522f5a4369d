"""Bodies that arrive slowly: who waits for the client needs nothing that others wait for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream

Read = TypeVar("Read")


class ArrivingBody:
    """`wsgi.input`; `meanwhile` is entered for as long as the server waits for what the client has not sent yet."""

    def __init__(self, source: InputStream, meanwhile: Callable[[], AbstractContextManager[None]]) -> None:
        self._source = source
        self._meanwhile = meanwhile

    def read(self, size: int = -1) -> bytes:
        return self._wait(self._source.read, *(() if size is None or size < 0 else (size,)))

    def readline(self, size: int = -1) -> bytes:
        return self._wait(self._source.readline)

    def readlines(self, hint: int = -1) -> list[bytes]:
        return self._wait(self._source.readlines)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def _wait(self, read: Callable[..., Read], *arguments: int) -> Read:
        with self._meanwhile():
            return read(*arguments)
