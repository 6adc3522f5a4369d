"""What each request costs beside the floor: in CPU time, and in instructions, which do not depend on what else the
machine does. Both are taken in a process of its own with production's settings, over TLS to a store on loopback.

Instructions are counted by valgrind's callgrind. It has no SHA instructions, so hashing counts for more than it costs;
that is true of the floor, which signs too.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from flask import Flask

from app.data import Store
from app.data.tables import TASK_INDEX
from scripts.benchmarks.recorded import INSTRUCTIONS, NEXT, SECONDS, Answer
from scripts.benchmarks.world import Visitor, World, secure
from scripts.local.aws import REPO

RECORDED = Path(__file__).with_name("recorded.py")
# What the floor reads, whatever the app's own rows have grown to: an account of 0.3 KB, 20 tasks of 0.35 KB.
FLOOR_EMAIL = "floor@example.com"
FLOOR_ACCOUNT = {
    "email": {"S": FLOOR_EMAIL},
    "account_id": {"S": "acc_00000000000000000000"},
    "name": {"S": "A customer of the floor"},
    "credits_balance": {"N": "1000"},
    "version": {"N": "12"},
    "ledger_sequence": {"N": "12"},
    "created_at": {"S": "2026-01-01T00:00:00.000000+00:00"},
    "password_hash": {"S": "$2b$12$" + "x" * 53},
    "note": {"S": "x" * 56},
}
FLOOR_TASKS = [
    {
        "task_id": {"S": f"task_floor_{number:010d}"},
        "user_email": {"S": FLOOR_EMAIL},
        "description": {
            "S": f"{number:02d}. Compare the three quotes and say which is best value, with reasons. " + "x" * 90
        },
        "status": {"S": "completed"},
        "credits_spent": {"N": "10"},
        "created_at": {"S": f"2026-01-01T00:{number:02d}:00.000000+00:00"},
        "updated_at": {"S": f"2026-01-01T00:{number:02d}:00.000000+00:00"},
        "version": {"N": "2"},
    }
    for number in range(20)
]
FLOOR, TRANSACTION = "floor", "transaction"


@dataclass(frozen=True)
class Found:
    """By act: what one of it cost, by round."""

    by_round: dict[str, list[float]]

    def ratio(self, name: str, to: str = FLOOR) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios(name, to))

    def ratios(self, name: str, to: str = FLOOR) -> list[float]:
        return [one / other for one, other in zip(self.by_round[name], self.by_round[to], strict=True)]

    def least(self, name: str) -> float:
        return min(self.by_round[name])


def put_floor(store: Store) -> None:
    """The rows that the floor reads, and the peers. Safe to repeat."""
    store.client.put_item(TableName=store.prefix + "Users", Item=FLOOR_ACCOUNT)
    for task in FLOOR_TASKS:
        store.client.put_item(TableName=store.prefix + "Tasks", Item=task)


class Recording:
    """Requests as browsers and programs send them, to be asked again in processes of their own."""

    def __init__(self, world: World, small: Visitor, large: Visitor | None, operator: Visitor) -> None:
        self._world = world
        store = world.store
        prefix = store.prefix
        put_floor(store)
        query = {
            "TableName": prefix + "Tasks",
            "IndexName": TASK_INDEX,
            "KeyConditionExpression": "user_email = :e",
            "ExpressionAttributeValues": {":e": {"S": FLOOR_EMAIL}},
            "ScanIndexForward": False,
            "Limit": 20,
        }
        get_item = {"TableName": prefix + "Users", "Key": {"email": {"S": FLOOR_EMAIL}}}
        self.told = {
            "hello": small.get("/"),
            "floor": {"get_item": get_item, "query": query},
            "transaction": _writes_of(world, small.submit("recorded")),
            "requests": {
                name: [(secure(environ), status) for environ, status in asked]
                for name, asked in _requests(small, large, operator, world.direct_app).items()
            },
        }

    def run(
        self, unit: str, *, rounds: int, batch: int, tree: str = str(REPO), only: frozenset[str] = frozenset()
    ) -> Found:
        """Ask all of it again with the app of `tree`. Raises RuntimeError when it does not end well."""
        port = self._world.start_replay(certificate=True)
        wanted = {name: asked for name, asked in self.told["requests"].items() if not only or name in only}
        told = self.told | {"requests": wanted, "unit": unit, "rounds": rounds, "batch": batch}
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "told")
            file.write_bytes(pickle.dumps(told))
            command = [os.path.join(REPO, ".venv", "bin", "python"), str(RECORDED), str(file)]
            if unit == INSTRUCTIONS:
                command = [*_callgrind(folder), *command]
            environment = os.environ | self._world.production(port) | {"PYTHONPATH": tree, "PYTHONHASHSEED": "0"}
            done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"what was recorded was not asked to its end:\n{done.stderr[-3000:]}")
            said = json.loads(done.stdout)
            if unit == SECONDS:
                return Found(said)
            return Found(_counts(Path(folder), said, batch))


def _callgrind(folder: str) -> list[str]:
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        sys.exit("valgrind is not installed: apt-get install valgrind")
    out = f"--callgrind-out-file={folder}/out"
    return [valgrind, "--tool=callgrind", "--instr-atstart=no", "--dump-before=erand48_r", "--dump-line=no", "-q", out]


def _counts(folder: Path, order: list[str], batch: int) -> dict[str, list[float]]:
    """The dumps come in the order of the batches: one before each, which is of no interest, and one behind it."""
    found: dict[str, list[float]] = {}
    for number, name in enumerate(order):
        text = (folder / f"out.{2 * number + 2}").read_text()
        told = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
        if told is None:
            raise RuntimeError("callgrind has counted nothing")
        found.setdefault(name, []).append(int(told[1]) / batch)
    return found


def _requests(
    small: Visitor, large: Visitor | None, operator: Visitor, app: Flask
) -> dict[str, list[tuple[dict[str, Any], int]]]:
    """Eleven of the requests that there are, and the newest page of a history with one deep in it."""
    htmx = {"HX_Request": "true"}
    tag, task_id = str(small.account.version), small.task_id(0)
    asked = {
        "dashboard": (small.get("/dashboard"), 200),
        "poll": (small.get("/dashboard/live", **htmx, HX_PTag=tag), 304),
        "news": (small.get("/dashboard/live", **htmx, HX_PTag="0"), 200),
        "submit": (small.submit(NEXT.decode()), 200),
        "task": (small.get(f"/tasks/{task_id}"), 200),
        "transactions": (small.get("/transactions"), 200),
        "search": (small.get("/dashboard?q=attachment", **htmx), 200),
        "tasks of the API": (small.bearer("/api/tasks"), 200),
        "queue": (operator.get("/admin"), 200),
        "sign-in page": (small.stranger("/login"), 200),
        "webhook": (small.bought(), 200),  # no write is kept, so each is the first that is told of the purchase
    }
    found = {name: [one] for name, one in asked.items()}
    if large:
        for name, visitor in (("small", small), ("large", large)):
            deep = visitor.get(f"/dashboard?cursor={_cursor_of_page(app, visitor, 5)}")
            found[name] = [(visitor.get("/dashboard"), 200), (deep, 200)]
    return found


def _cursor_of_page(app: Flask, visitor: Visitor, page: int) -> str:
    cursor = ""
    for _ in range(page):
        path = f"/dashboard?cursor={cursor}" if cursor else "/dashboard"
        environ = visitor.get(path, Accept_Encoding="identity")
        # The emulator itself reads a whole history for each page, longer than the app waits: ask until it is read.
        answers = (Answer(app, environ) for _ in range(5))
        text = next(answer.body.decode() for answer in answers if answer.status == 200)
        cursor = text.rpartition("cursor=")[2].partition('"')[0].partition("&")[0]
    return cursor


def _writes_of(world: World, environ: dict[str, Any]) -> dict[str, Any]:
    """The request that a submit sends to the store."""
    from app.web import deps

    with world.direct_app.app_context():
        client = deps.store().client
    with patch.object(client, "transact_write_items", return_value={}) as sent:
        answer = Answer(world.direct_app, environ)
    if answer.status != 200:
        raise RuntimeError(f"a submit answered {answer.status}: {answer.body[:300]!r}")
    return {"TransactItems": sent.call_args.kwargs["TransactItems"]}
