"""A clock that a test moves while real workers serve: libfaketime reads how far it is off out of a file."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path


class Clock:
    """How far the clock of a server's workers is from the real one, which the store keeps."""

    def __init__(self, path: Path):
        self.path = path
        self.set()

    def set(self, **ahead: float) -> None:
        """As of the next look at it: `set(hours=12)`, `set(minutes=-10)`, `set()` for the real time."""
        new = self.path.with_suffix(".new")
        new.write_text(f"{timedelta(**ahead).total_seconds():+.0f}")
        os.replace(new, self.path)  # a half-written file would be no time at all

    def settings(self, library: str) -> dict[str, str]:
        """The environment of a process that goes by this clock."""
        return {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(self.path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DISABLE_SHM": "1",  # or a worker would go on from the moment that its parent wrote there
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # locks and time-outs wait in real time
            "DONT_FAKE_MONOTONIC": "1",
        }
