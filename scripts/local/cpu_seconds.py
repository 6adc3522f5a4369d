"""CPU seconds of a process and of all that it started."""

from __future__ import annotations

import os
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def spent(process: int | None = None) -> float:
    """CPU seconds of a process, of the children that it has waited for, and of those that are alive."""
    process = process or os.getpid()
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        own = sum(int(ticks) for ticks in fields[11:15]) / TICKS  # utime, stime, cutime, cstime
        children = [child for tasks in Path(f"/proc/{process}/task").iterdir() for child in _children(tasks)]
    except OSError:  # it is over
        return 0.0
    return own + sum(spent(child) for child in children)


def _children(task: Path) -> list[int]:
    try:
        return [int(child) for child in (task / "children").read_text().split()]
    except OSError:
        return []
