"""`python -m app.web.serve`: the app on a port, by worker processes that live, die and stop without each other.

granian does the serving. Its own watch is replaced: it ends the whole server when one worker dies twice within 5.5 s,
and it lets a client that dribbles delay a stop until the workers are killed (docs/decisions/0017).
"""

from __future__ import annotations

import argparse
import faulthandler
import multiprocessing
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from multiprocessing.util import Finalize
from typing import Any

from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import logger
from granian.server import MPServer, mp

from app.data.client import read_descriptions
from app.telemetry.switch import switch
from app.web.in_flight import InFlight
from app.web.server_state import ServerState
from app.web.stops import heed_no_stop
from app.web.waiters import with_waiters

CONNECTIONS = 2_048  # of a worker: 1,500 may wait without a thread (app/web/waiters.py), and there is room for others
# For what holds a thread all the while, as a body does that dribbles; app/web/work_slots.py says how many work at once.
THREADS = 512
FILES = CONNECTIONS + 256  # that a worker may have open: its connections, those to the store, and what it reads
IDLE_SECONDS = 75.0  # longer than a balancer keeps a connection that nobody uses (ELB: 60), so that it is who closes it
REQUEST_SECONDS = 20.0  # what a request in flight may still take once the server was asked to stop
BODY_SECONDS = 1.0  # and clients that have not sent their whole request, or not read their whole answer
LONGEST_PAUSE = 1.0  # before a worker that keeps dying is started again; a start takes a second of a core
STUCK_SECONDS = 5.0  # for a worker that owes nothing
TELLING_SECONDS = 2.0  # for a collector to take the last metrics and traces
SENDING_SECONDS = 0.2  # the last answer's way out of the process, or a whole body's way in
STEADY_SECONDS = 10.0  # a worker that lived that long is well


class Server(MPServer):
    """granian's server of worker processes with a watch of its own: see `_serve_loop`."""

    def __init__(self, target: str, host: str, port: int, workers: int, drain_seconds: float = 0.0) -> None:
        self._leash, self._leash_end = os.pipe()  # the workers read its end, and so learn of ours, however it comes
        super().__init__(
            target,
            address=host,
            port=port,
            interface=Interfaces.WSGI,
            workers=workers,
            websockets=False,
            backpressure=CONNECTIONS,
            blocking_threads=THREADS,
            http1_settings=HTTP1Settings(header_read_timeout=int(IDLE_SECONDS * 1000)),
            workers_kill_timeout=int(REQUEST_SECONDS + BODY_SECONDS) + 2,  # they end by themselves before
        )
        self.main_loop_interrupt = Bell()  # type: ignore[assignment]
        self._pauses = [0.0] * workers
        self._state = ServerState(workers)
        self._drain_seconds = drain_seconds
        self._stops_at: float | None = None

    def run(self) -> None:
        loader = partial(load, self.target, self._leash, self._leash_end, self._state)
        self.serve(target_loader=loader, wrap_loader=False)

    def _spawn_worker(self, idx: int, target: Any, callback_loader: Callable[..., Any]) -> Any:  # type: ignore[override]
        """A worker, which learns which of them it is."""
        return super()._spawn_worker(idx, target, partial(callback_loader, idx))

    def signal_handler_interrupt(self, *_: object, **__: object) -> None:
        """The first signal begins the end, after the time that a balancer needs to notice; a second one hurries it."""
        now = time.monotonic()
        self._stops_at = now if self._stops_at is not None else now + self._drain_seconds
        self._state.begin_draining()
        self.main_loop_interrupt.set()

    def _serve_loop(self, spawn_target: Callable[..., None], target_loader: Callable[..., Any]) -> None:
        """Start again who died, each by itself and after a pause of its own, until the stop that somebody asked for."""
        signal.signal(signal.SIGHUP, self.signal_handler_interrupt)  # the terminal is gone
        due: dict[int, float] = {}
        while self._stops_at is None or self._stops_at > time.monotonic():
            waits = [*due.values(), *([] if self._stops_at is None else [self._stops_at])]
            self.main_loop_interrupt.wait(max(0.0, min(waits) - time.monotonic()) if waits else None)
            self.main_loop_interrupt.clear()  # before the look, so that what comes now is seen in the next round
            for index, worker in enumerate(self.wrks):
                if index not in due and not worker.is_alive():
                    due[index] = time.monotonic() + self._pause(index, time.monotonic() - worker.birth)
            for index in [index for index, at in due.items() if at <= time.monotonic()]:
                del due[index]
                self.wrks[index] = self._spawn_worker(index, spawn_target, target_loader)
                self.wrks[index].start()

    def _stop_workers(self) -> None:
        """Let go of the workers. Whatever ends from here on was asked to: granian would call it a crash, and its stop
        would end with status 1.

        granian gives its thread a millisecond to note the end of a worker, and then says that it kills who is long
        gone: too little on a busy machine. So here they are waited for, and granian finds them ended.
        """
        for worker in self.wrks:
            worker.interrupt_by_parent = True
        os.close(self._leash_end)
        for worker in self.wrks:
            worker.terminate()
        deadline = time.monotonic() + (self.workers_kill_timeout or 0)
        while any(worker.is_alive() for worker in self.wrks) and time.monotonic() < deadline:
            time.sleep(0.02)
        super()._stop_workers()  # type: ignore[no-untyped-call]
        self.interrupt_children.clear()

    def _pause(self, index: int, lived: float) -> float:
        """At once after a steady life, then longer each time, so that one that cannot start leaves the others room."""
        if lived >= STEADY_SECONDS:
            self._pauses[index] = 0.0
        pause = self._pauses[index]
        self._pauses[index] = min(max(2 * pause, 0.1), LONGEST_PAUSE)
        logger.warning(f"Worker-{index + 1} ended after {lived:.1f} s, starting it again in {pause:g} s")
        return pause


class Bell:
    """What wakes the server, in place of granian's `threading.Event`: it holds no lock.

    A signal's handler rings it, whatever it interrupts: of an Event that could be what holds the very lock that the
    handler waits for. A worker that is forked while another thread rings would find the lock taken for ever, wait for
    it in its own handler, and neither serve nor stop.
    """

    def __init__(self) -> None:
        self._heard, self._rung = os.pipe()
        os.set_blocking(self._heard, False)
        os.set_blocking(self._rung, False)

    def set(self) -> None:
        with suppress(BlockingIOError):  # it is ringing
            os.write(self._rung, b"!")

    def clear(self) -> None:
        with suppress(BlockingIOError):  # it is silent
            os.read(self._heard, 4096)

    def wait(self, timeout: float | None = None) -> bool:
        return bool(select.select([self._heard], [], [], timeout)[0])


def load(target: str, leash: int, leash_end: int, state: ServerState, worker: int) -> InFlight:
    """Runs in each worker before anything else of ours: hold on to the server, then import the app."""
    switch.join(state.cells, worker)
    Finalize(None, tell_the_rest, exitpriority=1)  # granian ends a worker that nobody waits for by itself
    os.close(leash_end)  # only the server holds it: when the server goes, the leash ends
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until granian listens; the server's handler came with the fork
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)  # a worker may be asked to stop by itself, too
    loaded: list[InFlight] = []
    threading.Thread(target=stop_in_time, args=([leash, told], loaded), name="stop", daemon=True).start()
    loaded.append(InFlight(import_target(target), state))
    plain = mp._wsgi_call_wrap  # type: ignore[attr-defined]
    mp._wsgi_call_wrap = with_waiters(plain, loaded[0].waiters)  # type: ignore[attr-defined] # granian calls it next
    return loaded[0]


def stop_in_time(signs: list[int], loaded: list[InFlight]) -> None:
    """Wait for a sign of the stop, then for what is in flight; end the worker when clients are all it waits for."""
    select.select(signs, [], [])
    if not loaded:
        os._exit(0)  # it has not begun to serve
    # Should something hold on to the interpreter, this ends the process without it, and says where each thread was.
    ends_anyhow = partial(faulthandler.dump_traceback_later, exit=True)
    ends_anyhow(STUCK_SECONDS if loaded[0].owes_nothing else REQUEST_SECONDS + BODY_SECONDS + SENDING_SECONDS)
    loaded[0].waiters.stop()  # each is answered with what there is
    os.kill(os.getpid(), signal.SIGTERM)  # granian lets nobody in any more, and ends by itself if nobody is left
    time.sleep(BODY_SECONDS)
    ends_anyhow(REQUEST_SECONDS + SENDING_SECONDS + TELLING_SECONDS)  # begun anew: bodies may have come meanwhile
    if owed := loaded[0].wait_until_none(REQUEST_SECONDS, SENDING_SECONDS):
        logger.error(f"Stopped without the answers to {owed} requests, after {REQUEST_SECONDS:g} s")
    tell_the_rest()
    os._exit(0)


def tell_the_rest() -> None:
    """What a collector has not got yet; one that is away delays no stop for long."""
    tell = threading.Thread(target=switch.send_the_rest, name="telemetry", daemon=True)
    tell.start()
    tell.join(TELLING_SECONDS)


def allow_files() -> None:
    """As many open files as a full worker has. Where the system allows fewer, it is said, and connections wait."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if most == resource.RLIM_INFINITY else min(FILES, most)
    if allowed != resource.RLIM_INFINITY and allowed < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    if wanted < FILES:
        logger.warning(
            f"The system allows a process {most} open files: a worker of {CONNECTIONS} connections wants {FILES}"
        )


def import_target(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def problem(target: str, host: str, port: int) -> int:
    """What would keep every worker from starting ends the server at once, with this status and one sentence."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))  # the workers share the port, and would share it with a stranger as well
        except OSError as error:
            print(f"Cannot listen on {host}, port {port}: {error.strerror}", file=sys.stderr)  # noqa: T201
            return 1
    trial = multiprocessing.Process(target=import_target, args=(target,))
    trial.start()
    trial.join()
    return trial.exitcode or 0  # it has said itself what is wrong


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m app.web.serve", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=2, help="worker processes")
    parser.add_argument("--drain", type=float, default=0.0, help="seconds of serving on once a stop was asked for")
    parser.add_argument("--target", default="app.wsgi:app", help="the WSGI app, as module:name")
    given = parser.parse_args(arguments)
    allow_files()
    multiprocessing.set_start_method("fork")  # the leash is inherited, and so are the libraries that are imported here
    read_descriptions()
    if status := problem(given.target, given.host, given.port):
        return status
    Server(given.target, given.host, given.port, given.workers, given.drain).run()
    heed_no_stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
