"""What all processes of a server know of it together: was it asked to stop, were its tables seen, what was counted?"""

from __future__ import annotations

import mmap

from app.telemetry.cells import Cells

KEY = "dashboard.server"  # of a request's environment

_DRAINING, _TABLES_SEEN = 0, 1


class ServerState:
    """Two bytes, and numbers, made before the workers are forked; no lock, so that nobody can hold it while forking.

    A worker that is started again while the store is out of reach is as ready as the others of its server. Each byte is
    only ever set, so writing one again is harmless. `cells` are the numbers that its workers count, each its own.
    """

    def __init__(self, workers: int = 1) -> None:
        self._bytes = mmap.mmap(-1, 2)
        self.cells = Cells(workers)

    @property
    def is_draining(self) -> bool:
        return self._bytes[_DRAINING] == 1

    def begin_draining(self) -> None:
        self._bytes[_DRAINING] = 1

    @property
    def tables_seen(self) -> bool:
        """Whether the tables were found right once."""
        return self._bytes[_TABLES_SEEN] == 1

    def note_tables(self) -> None:
        self._bytes[_TABLES_SEEN] = 1
