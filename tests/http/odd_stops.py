"""Servers of a two-line app whose stop meets what is rare: python -m tests.http.odd_stops <kind> <port>."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from app.web import serve

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"here"]


class LateToTell(serve.Server):
    """Time passes between the end of its watch and its word to the workers: they may be gone by then."""

    def _drop_shared_socket(self) -> None:
        time.sleep(3)
        super()._drop_shared_socket()  # type: ignore[no-untyped-call]


class SlowToNote(serve.Server):
    """The thread that waits for a worker gets its turn a while after the worker's end: the machine is busy."""

    def _spawn_workers(self, *given: Any) -> None:
        wait = os.waitpid

        def waitpid(pid: int, options: int) -> tuple[int, int]:
            if threading.current_thread() is threading.main_thread():
                time.sleep(0.5)  # so that it is the thread that the kernel tells
                return wait(pid, options)
            found = wait(pid, options)
            time.sleep(2)
            return found

        os.waitpid = waitpid
        super()._spawn_workers(*given)  # type: ignore[no-untyped-call]


class SlowToTerminate(serve.Server):
    """Its workers learn of the stop by their leash a while before the signal: what holds them is there by then."""

    def _stop_workers(self) -> None:
        for worker in self.wrks:
            worker.terminate = partial(terminate_late, worker.terminate)  # type: ignore[method-assign]
        super()._stop_workers()


def terminate_late(terminate: Callable[[], None]) -> None:
    time.sleep(3)
    terminate()


def held_app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Once its worker is asked to stop, something holds on to the interpreter and never gives it back."""
    arm = faulthandler.dump_traceback_later

    def hold(*given: Any, **named: Any) -> None:
        arm(*given, **named)
        if threading.current_thread().name == "stop":
            ctypes.PyDLL(None).sleep(600)

    faulthandler.dump_traceback_later = hold
    return app(environ, start_response)


if __name__ == "__main__":
    kind, port = sys.argv[1:]
    serve.Server = {"late": LateToTell, "unnoted": SlowToNote, "held": SlowToTerminate}.get(kind, serve.Server)  # type: ignore[misc]
    target = "tests.http.odd_stops:held_app" if kind == "held" else "tests.http.odd_stops:app"
    sys.exit(serve.main(["--port", port, "--workers", "1", "--target", target]))
