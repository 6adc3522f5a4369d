"""Reads of many rows are made in the places beside the common slots, on every page and call that makes any."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from typing import Any

import pytest
from urllib3.connectionpool import HTTPConnectionPool

from app.web.work_slots import Places
from tests.routes.test_looking import World, paths

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
def noted(monkeypatch):
    """Each read of more rows than a page has, or of all there are, that is made outside of the places."""
    outside: list[str] = []
    inside = 0
    send, held = HTTPConnectionPool.urlopen, Places.held

    @contextmanager
    def counting(places, who, what):
        nonlocal inside
        with held(places, who, what):
            inside += 1
            try:
                yield
            finally:
                inside -= 1

    def note(pool, method, url, body=None, headers=None, **more):
        target = (headers or {}).get("X-Amz-Target", "")
        name = (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]
        asked: dict[str, Any] = json.loads(body) if name in ("Query", "Scan") else {"Limit": 0}
        if not inside and not 0 <= asked.get("Limit", -1) <= A_PAGE:
            outside.append(f"{name} {asked['TableName']} {asked.get('IndexName', '')} {asked.get('Limit')}")
        return send(pool, method, url, body=body, headers=headers, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Places, "held", counting)
        patched.setattr(HTTPConnectionPool, "urlopen", note)
        yield outside


@pytest.mark.threat(40)
def test_whatever_reads_many_rows_has_a_place(app, store, monkeypatch):
    world, wrong = World(app, store), {}
    asked = [*paths(app, world.values), *(path.format(**world.values) for path in MORE)]
    allowed = {re.sub(r"\{(\w+)\}", lambda name: world.values[name[1]], path) for path in ALLOWED}
    for path in asked:
        with noted(monkeypatch) as outside:
            assert world.ask("GET", path).status_code < 500, path
        if outside and path not in allowed:
            wrong[path] = outside

    assert wrong == {}
