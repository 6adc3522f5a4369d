"""Switching it on, once in a process: the numbers of a server's workers, and what is sent away."""

from __future__ import annotations

from collections.abc import Callable

from . import otlp
from .cells import Cells
from .instruments import ALL, begin
from .scrape import kept_names


class Switch:
    """`on` is what busy places ask before they measure anything."""

    def __init__(self) -> None:
        self.on = self.counts = False
        self.cells: Cells | None = None
        self.worker = 0
        self._send_the_rest: Callable[[], None] | None = None

    def join(self, cells: Cells, worker: int) -> None:
        """This process is a worker of a server that keeps its numbers there."""
        self.cells, self.worker = cells, worker

    def count(self) -> Cells:
        """Keep numbers from here on, with the other workers of this server, where there is one. Safe to repeat."""
        cells = self.cells = self.cells or Cells()
        if self.counts:
            return cells
        part = cells.part(self.worker)
        part.take_over(kept_names())
        for instrument in ALL.values():
            instrument.part = part
        self.on = self.counts = True
        begin()
        return cells

    def send(self, endpoint: str, release: str) -> None:
        """Send everything to a collector from here on. Safe to repeat. Raises otlp.Missing."""
        self._send_the_rest = self._send_the_rest or otlp.send(endpoint, release)
        self.on = True

    def send_the_rest(self) -> None:
        """What has not been sent yet, before this process ends in a way that runs nothing more."""
        if self._send_the_rest:
            self._send_the_rest()

    def off(self) -> None:
        """For tests."""
        self.on = self.counts = False
        self.cells = None
        otlp.stop()
        for instrument in ALL.values():
            instrument.part = None


switch = Switch()
