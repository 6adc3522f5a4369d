"""What each of eleven requests may cost: instructions as a ratio to the floor's, counted in the same run.

A ratio that is beyond its budget by more than ROOM fails `scripts/bench --judge`. Who makes a request cheaper lowers
its budget in the same commit; who has to raise one says why.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from scripts.benchmarks.cpu import FLOOR, Found
from scripts.local.aws import REPO

ROOM = 1.05
BUDGETS = {
    "dashboard": 0.74,
    "poll": 0.20,
    "news": 0.61,  # with the late read that saw it: decision 41
    "submit": 0.78,
    "task": 0.35,
    "transactions": 0.37,
    "search": 0.79,
    "tasks of the API": 0.53,
    "queue": 0.67,
    "sign-in page": 0.28,
    "webhook": 0.58,
}
HISTORY = Path(__file__).with_name("history.jsonl")


@dataclass(frozen=True)
class Beyond:
    name: str
    ratio: float
    budget: float

    def __str__(self) -> str:
        return f"{self.name} costs {self.ratio:.2f} × the floor, its budget is {self.budget:.2f}"


def beyond(found: Found) -> list[Beyond]:
    """The requests that cost more than they may. Raises KeyError for one that was not measured."""
    ratios = {name: found.ratio(name) for name in BUDGETS}
    return [Beyond(name, ratio, BUDGETS[name]) for name, ratio in ratios.items() if ratio > BUDGETS[name] * ROOM]


def keep(found: Found, file: Path = HISTORY) -> None:
    """A line more in the history: when, of which commit, at which load, and each ratio."""
    line = {
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "commit": subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=REPO, capture_output=True, text=True, check=True
        ).stdout.strip(),
        "load": round(os.getloadavg()[0], 1),
        "floor": round(found.least(FLOOR)),
        "ratios": {name: round(found.ratio(name), 3) for name in found.by_round if name != FLOOR},
    }
    with file.open("a") as history:
        history.write(json.dumps(line) + "\n")
