"""The bench cannot flatter: its floor is constant, and a request beyond its budget is told."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from jinja2 import Environment

from app.data.codec import item_size
from app.domain.errors import InvalidSignature
from app.gateways.stripe import verify_webhook
from scripts.benchmarks import budgets, certificates, peers, recorded
from scripts.benchmarks.cpu import FLOOR_ACCOUNT, FLOOR_TASKS, Found


def found(**dearer: float) -> Found:
    costs = {"floor": 1.0} | {name: budget * dearer.get(name, 1) for name, budget in budgets.BUDGETS.items()}
    return Found({name: [100 * cost, 300 * cost, 200 * cost] for name, cost in costs.items()})


def test_rows_of_the_floor_stay_as_large_as_they_are():
    assert 290 <= item_size(FLOOR_ACCOUNT) <= 320

    assert len(FLOOR_TASKS) == 20
    assert {340 <= item_size(task) <= 370 for task in FLOOR_TASKS} == {True}


@pytest.mark.parametrize(("times", "told"), [(1.0, []), (1.04, []), (1.06, ["poll"])])
def test_request_beyond_its_budget_is_named(times, told):
    assert [each.name for each in budgets.beyond(found(poll=times))] == told


def test_request_that_was_not_measured_is_not_within_its_budget():
    measured = found()
    del measured.by_round["submit"]

    with pytest.raises(KeyError):
        budgets.beyond(measured)


def test_history_gets_a_line_for_each_run(tmp_path):
    file = tmp_path / "history.jsonl"

    budgets.keep(found(), file)
    budgets.keep(found(poll=2), file)

    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["ratios"]["poll"] for line in lines] == [budgets.BUDGETS["poll"], 2 * budgets.BUDGETS["poll"]]
    assert all(line["commit"] and line["floor"] == 100 for line in lines)


def test_batches_are_marked_in_turns(monkeypatch):
    done: list[str] = []
    monkeypatch.setattr(recorded.ctypes, "CDLL", lambda _: type("C", (), {"drand48": lambda self: done.append("|")})())

    order = recorded.mark({"a": lambda: done.append("a"), "b": lambda: done.append("b")}, rounds=2, batch=2)

    assert order == ["a", "b", "b", "a"]
    assert "".join(done) == "aaabbb|aa||bb||bb||aa|"


def test_what_stripe_tells_is_signed_when_the_run_begins():
    environ = {"body": b'{"id": "evt_1", "type": "charge.refunded", "data": {"object": {}}}', "signed_by": "whsec_1"}

    sent = recorded.signed(environ)

    assert verify_webhook(sent["body"], sent["HTTP_STRIPE_SIGNATURE"], ("whsec_1",))["id"] == "evt_1"
    with pytest.raises(InvalidSignature):
        verify_webhook(sent["body"] + b" ", sent["HTTP_STRIPE_SIGNATURE"], ("whsec_1",))
    assert recorded.signed({"body": b""}) == {"body": b""}


def test_store_on_loopback_is_trusted_by_its_own_certificate_alone(tmp_path):
    file = certificates.make(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)

    assert shaken_hands(server, ssl.create_default_context(cafile=str(file)))
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken_hands(server, ssl.create_default_context())


def shaken_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> bool:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(6):
        for end in list(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)
    return not ends


def test_packages_of_the_peers_are_locked_by_their_hashes_and_by_no_registry():
    packages = json.loads((peers.HERE / "package-lock.json").read_text())["packages"]
    names = [line for line in (peers.HERE / "requirements.txt").read_text().splitlines() if "==" in line]

    assert [name for name, told in packages.items() if name and ("integrity" not in told or "resolved" in told)] == []
    assert {name.split("==")[0] for name in names} > {"boto3", "fastapi", "flask", "gunicorn", "uvicorn"}
    assert "https:" not in (peers.HERE / "requirements.txt").read_text()


def test_a_peers_page_shows_what_it_has_read():
    rows = [{name: value.get("S") or int(value["N"]) for name, value in row.items()} for row in FLOOR_TASKS]
    account = {name: value.get("S") or int(value["N"]) for name, value in FLOOR_ACCOUNT.items()}

    page = Environment(autoescape=True).from_string((peers.HERE / "dashboard.html").read_text())
    text = page.render(account=account, tasks=rows)

    assert all(row["description"] in text for row in rows)
    assert 15_000 < len(text) < 25_000


def test_what_a_process_and_its_children_have_spent_is_counted():
    spin = "import os, sys; os.fork(); sum(range(3_000_000)); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", spin], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as two:
        assert two.stdout is not None
        two.stdout.readline()
        two.stdout.readline()
        alone = sum(map(int, Path(f"/proc/{two.pid}/stat").read_text().rpartition(")")[2].split()[11:13])) / peers.TICKS
        both = peers.cpu_seconds(two.pid)

    assert both > alone > 0
