"""Whether this server was asked to stop and serves on for a moment: one byte that all its processes see."""

from __future__ import annotations

import mmap

KEY = "dashboard.draining"  # of a request's environment


class Draining:
    """Made before the workers are forked; no lock, so that nobody can hold it while forking."""

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)

    def begin(self) -> None:
        self._byte[0] = 1

    def __bool__(self) -> bool:
        return self._byte[0] == 1
