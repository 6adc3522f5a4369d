"""Loopback ports: find a free one, see whether one is taken, wait for a server to answer."""

import contextlib
import http.client
import itertools
import os
import socket
import time
from collections.abc import Callable, Mapping

HOST = "127.0.0.1"
# Below what Linux gives to outgoing connections: one of these could take a port before the server that it is for.
LOWEST, SLICES, SLICE = 20_000, 120, 100
_given = itertools.count()


def free_port() -> int:
    """A port nobody listens on right now, and another one each time. OSError if there is none.

    Each process has a slice of its own, so that two which run at once are not given the same.
    """
    first = LOWEST + os.getpid() % SLICES * SLICE
    for _ in range(SLICE):
        if is_free(port := first + next(_given) % SLICE):
            return port
    raise OSError("no port is free")


def is_free(port: int) -> bool:
    """Whether a server could listen on this port now; a socket in TIME_WAIT does not count as taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def wait_until_free(port: int, seconds: float) -> bool:
    """Give an earlier run that is just going away some time to let its port go."""
    deadline = time.monotonic() + seconds
    while not is_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def answers(
    port: int,
    path: str,
    timeout: float = 5.0,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> int | None:
    """The HTTP status of a request on loopback, or None while nothing answers."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    with contextlib.closing(connection):
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            response.read()
            return response.status
        except (OSError, http.client.HTTPException):
            return None


def wait_for_answer(port: int, path: str, seconds: float, alive: Callable[[], bool], wanted: int = 200) -> bool:
    """Poll until the path answers with the wanted status; give up when the process behind it has ended."""
    return wait_until(lambda: answers(port, path) == wanted, seconds, alive)


def wait_until(ready: Callable[[], bool], seconds: float, alive: Callable[[], bool]) -> bool:
    """Ask until it is ready; give up after `seconds`, or when the process behind it has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and alive():
        if ready():
            return True
        time.sleep(0.05)
    return False
