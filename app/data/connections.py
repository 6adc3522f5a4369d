"""Connections on which a whole answer is bounded: a read time-out alone begins anew with each byte that dribbles in."""

from __future__ import annotations

import http.client
import io
import socket
from functools import cache
from time import monotonic
from typing import Any


def bound_answers(client: Any) -> Any:
    """The botocore client, each of whose tries now ends when its read time-out is over, however the answer comes."""
    pools = client._endpoint.http_session._pool_classes_by_scheme  # of the session, and of its proxies
    pools.update({scheme: bounded_pool(pool) for scheme, pool in pools.items()})
    return client


def bound_pools(manager: Any) -> Any:
    """The same for a manager of urllib3's pools, and its read time-out."""
    manager.pool_classes_by_scheme = {
        scheme: bounded_pool(pool) for scheme, pool in manager.pool_classes_by_scheme.items()
    }
    return manager


@cache
def bounded_pool(pool: Any) -> Any:
    """A pool class of urllib3 whose connections bound a whole answer."""
    return type(pool.__name__, (pool,), {"ConnectionCls": bounded_connection(pool.ConnectionCls)})


@cache
def bounded_connection(connection: Any) -> Any:
    return type(connection.__name__, (connection,), {"response_class": BoundedResponse})


class BoundedResponse(http.client.HTTPResponse):
    """An answer that has to be there, headers and body, within the time-out that its socket has as it is begun."""

    def __init__(self, sock: socket.socket, *given: Any, **named: Any) -> None:
        file_of: Any = _Sock(sock)  # all that it asks a socket for
        super().__init__(file_of, *given, **named)


class _Sock:
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock))


class _Reader(io.RawIOBase):
    """Reads of a socket; each waits no longer than what is left of the whole. Raises TimeoutError."""

    def __init__(self, sock: socket.socket) -> None:
        self._raw = sock.makefile("rb", buffering=0)
        self._sock = sock
        self._seconds = sock.gettimeout()
        self._ends = monotonic() + self._seconds if self._seconds is not None else None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._ends is None:
            return self._raw.readinto(buffer)
        left = self._ends - monotonic()
        if left <= 0:
            raise TimeoutError("the answer did not come to its end in time")
        self._sock.settimeout(left)
        try:
            return self._raw.readinto(buffer)
        finally:
            self._sock.settimeout(self._seconds)  # for what is asked next on the same connection

    def close(self) -> None:
        self._raw.close()
        super().close()
