"""What tests and browser tests share: how they are spread over several processes (scripts/test), failures named as they
come, and no connection that leaves this machine."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256

import httpx._transports.default as connections
import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

# Servers that are started, loaded, stopped and killed, and times that are measured: one after the other, never two at
# once, so that none is a load on another. They take long, so they are begun first.
ONE_AT_A_TIME = (
    "tests/http/",
    "tests/faults/test_workers.py",
    "tests/local/test_dev.py",
    "tests/local/test_local_run.py",
)
SEED = os.environ.get("TEST_SEED", "")
LONG = ("e2e/test_look.py", "tests/services/test_payments.py")


def scope_of(test: str) -> str:
    """What is run in one process, in one go: a file, or all that bears no company."""
    return "one at a time" if test.startswith(ONE_AT_A_TIME) else test.partition("::")[0]


class Spread(LoadScopeScheduling):  # type: ignore[misc]
    """A file stays together: what its tests share is made once."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


@pytest.hookimpl(optionalhook=True)  # `-p no:xdist` has no such hook
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Spread | None:
    """For `--dist loadscope`; the order of the scopes is that of the tests (`--no-loadscope-reorder`)."""
    return Spread(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first: at the end no process waits for another one's long work. Those of one world together.

    With TEST_SEED, an order of its own for each number, the same in each process: files, and the tests of a file.
    """
    items.sort(key=lambda item: (_turn(item.nodeid), "world" not in getattr(item, "fixturenames", ())))
    if SEED:
        items.sort(key=lambda item: (_turn(item.nodeid), *map(_drawn, item.nodeid.split("::", 1))))


def _drawn(name: str) -> str:
    return sha256(f"{SEED} {name}".encode()).hexdigest()


def _turn(test: str) -> int:
    return 0 if test.startswith(ONE_AT_A_TIME) else 1 if test.startswith(LONG) else 2


class AsTheyCome:
    """Names each failure at once: what failed among a thousand dots should not have to be waited for."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._terminal.ensure_newline()
            self._terminal.write_line(f"{report.nodeid} ({report.when})", red=True)


LOOPBACK = ("127.", "localhost", "::1")
_let_out: set[str] = set()
ASKED = {"socket.connect": 1, "socket.sendto": 1, "socket.getaddrinfo": 0, "socket.gethostbyname": 0}
_led_away: list[str] = []


def stay_here(event: str, arguments: tuple[object, ...]) -> None:
    """Refuse each connection, datagram and look-up of a name that leads away, in every thread (an audit hook).

    What is under test may swallow the refusal: the test fails all the same.
    """
    if event not in ASKED:
        return
    address = arguments[ASKED[event]]
    host = address[0] if isinstance(address, tuple) else address if event.startswith("socket.get") else None
    away = isinstance(host, str) and host and not host.startswith(LOOPBACK)  # else a socket in a file, or any address
    if away and host not in _let_out:
        _led_away.append(f"{event}: {host}")
        raise ConnectionRefusedError(f"Tests stay on this machine: {host}")


def let_out(host: str) -> None:
    """To the server that somebody has named to be tested."""
    _let_out.add(host)
    _let_out.update(str(found[4][0]) for found in socket.getaddrinfo(host, None))


@pytest.fixture(autouse=True)
def nothing_leads_away() -> Iterator[None]:
    _led_away.clear()
    yield
    assert _led_away == []


@pytest.fixture(scope="session", autouse=True)
def certificates_read_once() -> Iterator[None]:
    """httpx reads those of the whole world for each connection, 14 ms, to ask a server on loopback without TLS."""
    plain = connections.create_ssl_context  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(connections, "create_ssl_context", cache(plain))
        yield


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What was imported stays: to look through all of it for garbage, again and again, was most of what a page cost."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


HEEDED: dict[int, signal.Handlers | Callable[..., object]] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGQUIT: signal.SIG_DFL,
}


def heed_signals() -> list[str]:
    """The names of those that were ignored or blocked, and are not any more.

    A shell starts what it puts in the background with Ctrl+C ignored, `nohup` ignores the end of a session, and a
    command that has stopped ignores a second order to (app/web/stops.py). Whatever we start would inherit that, and a
    command that a test interrupts would go on for ever.
    """
    deaf = signal.pthread_sigmask(signal.SIG_UNBLOCK, HEEDED) & HEEDED.keys()
    for number, heeded in HEEDED.items():
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, heeded)
            deaf.add(number)
    return sorted(signal.Signals(number).name for number in deaf)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    left = heed_signals()
    assert not left, f"It left {', '.join(left)} ignored or blocked."


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # until all is collected
    heed_signals()
    sys.addaudithook(stay_here)
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:  # a worker has none
        config.pluginmanager.register(AsTheyCome(terminal))
        if SEED:
            terminal.write_line(f"In the order of TEST_SEED={SEED}")
