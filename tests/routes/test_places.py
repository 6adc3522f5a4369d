"""Reads of many rows are made in the places beside the common slots, on every page and call that makes any."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import Any

import pytest

from app.web.work_slots import Places
from tests.routes.test_looking import World, paths
from tests.support import note_calls

A_PAGE = 102  # rows: the longest page, and one to see whether there are more
MORE = [  # what an address may ask for beyond its page
    *("/dashboard?q=needle", "/dashboard?q=needle&status=pending&sort=oldest", "/dashboard/live?q=needle"),
    *("/transactions?type=spend", "/transactions.csv", "/transactions.csv?task={task_id}", "/account/export.json"),
    *("/admin?q=needle", "/admin?q=needle&view=working", "/admin?view=mine", "/admin/customers?q=example"),
    *("/admin/audit?actor=a@example.com", "/admin/audit?action=task.", "/admin/audit.csv", "/admin/mails?view=due"),
    *("/api/tasks?q=needle", "/api/transactions?type=spend", "/api/admin/tasks?q=needle"),
]
ALLOWED = {
    "/admin": "what is in progress, for leases that have run out: every open page of an operator asks for it",
    "/admin/overview": "counts, each by one call a shard",
    "/tasks/{task_id}": "counts of the queue before a task, each by one call a shard",
}


@contextmanager
def noted(monkeypatch, seen):
    """Each read of more rows than a page has, or of all there are, that is made outside of the places; `seen` gets the
    name of each call.
    """
    outside: list[str] = []
    inside = 0
    held = Places.held

    @contextmanager
    def counting(places, who, what):
        nonlocal inside
        with held(places, who, what):
            inside += 1
            try:
                yield
            finally:
                inside -= 1

    def note(name, body):
        seen.append(name)
        asked: dict[str, Any] = json.loads(body) if name in ("Query", "Scan") else {"Limit": 0}
        if not inside and not 0 <= asked.get("Limit", -1) <= A_PAGE:
            outside.append(f"{name} {asked['TableName']} {asked.get('IndexName', '')} {asked.get('Limit')}")

    with monkeypatch.context() as patched:
        patched.setattr(Places, "held", counting)
        note_calls(patched, note)
        yield outside


@pytest.mark.threat(40)
def test_whatever_reads_many_rows_has_a_place(app, store, monkeypatch):
    world, wrong, seen = World(app, store), {}, []
    asked = [*paths(app, world.values), *(path.format(**world.values) for path in MORE)]
    allowed = {re.sub(r"\{(\w+)\}", lambda name: world.values[name[1]], path) for path in ALLOWED}
    for path in asked:
        with noted(monkeypatch, seen) as outside:
            assert world.ask("GET", path).status_code < 500, path
        if outside and path not in allowed:
            wrong[path] = outside

    assert wrong == {}
    assert {"GetItem", "Query"} <= set(seen)  # it does see what is asked
