"""Requests as they are measured: by the template of their route, whatever is asked; and who may read it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app import create_app
from app.domain import webhooks
from app.domain.accounts import AccountKey
from app.domain.clock import utcnow
from app.domain.heartbeats import CommandEnd
from app.services import measurements
from app.telemetry.switch import switch
from app.web.deps import KEY
from app.web.measured import Measured
from app.web.work_slots import SLOTS
from tests.conftest import COMPILED_TEMPLATES
from tests.support import make_account

TOKEN = "5d1f0c9e7ab8426390" * 2
SHOWN = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def measured(config: Any, store: Any, sender: Any, stripe: Any) -> Iterator[Any]:
    app = create_app(replace(config, metrics_token=TOKEN), store=store, sender=sender, stripe=stripe)
    app.jinja_env.bytecode_cache = COMPILED_TEMPLATES
    yield app
    switch.off()


def scrape(app: Any) -> dict[str, list[Any]]:
    answer = app.test_client().get("/metrics", headers=SHOWN)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {family.name: family.samples for family in text_string_to_metric_families(answer.text)}


def values(samples: list[Any], **labels: str) -> list[float]:
    return [sample.value for sample in samples if labels.items() <= sample.labels.items()]


def test_a_thousand_addresses_are_no_thousand_series(measured):
    client = measured.test_client()
    before = sum(map(len, scrape(measured).values()))
    for turn in range(1000):
        client.open(f"/api/{secrets.token_urlsafe(9)}/{turn}?x={turn}", method="GET" if turn % 2 else f"M{turn}")
    for turn in range(20):
        client.get(f"/tasks/task_{turn}")

    found = scrape(measured)
    assert sum(map(len, found.values())) - before < 100
    count = "dashboard_request_duration_seconds"
    counted = [sample for sample in found[count] if sample.name.endswith("_count")]
    assert values(counted, route="none", method="GET", status="4xx") == [500]
    assert values(counted, route="none", method="other", status="4xx") == [500]
    assert values(counted, route="/tasks/<task_id>") == [20]
    assert values(found["dashboard_metrics_dropped"]) == [0]


def endpoint(endpoint_id: str, now: datetime, **more: str) -> webhooks.Endpoint:
    paused_at = now if more.get("paused_by") else None
    where = {"account_id": "acc_1", "user_email": AccountKey("ada@example.com"), "url": "https://example.com/hooks"}
    return webhooks.Endpoint(
        endpoint_id, **where, types=webhooks.TYPES, created_at=now, secret="sealed", paused_at=paused_at, **more
    )


def test_what_waits_is_read_from_what_the_sender_has_seen(measured, store):
    now = utcnow()
    assert "dashboard_oldest_seconds" in scrape(measured)
    assert scrape(measured)["dashboard_oldest_seconds"] == [], "nobody has looked"
    make_account(store, credits=10)
    with measured.app_context():
        client = measured.test_client()
        client.post("/forgot", data={"email": "ada@example.com"})
    for number, why in enumerate(("owner", "gone", "")):
        with store.transaction() as tx:
            tx.webhooks.add_endpoint(endpoint(f"we_{number}", now, paused_by=why))
            tx.webhooks.promise(
                webhooks.test_event(now - timedelta(minutes=5) if number else now + timedelta(hours=1)), "we_2"
            )
    measurements.look(store, now)
    store.updates.heartbeats.note_command("books check", CommandEnd(now, 1))

    found = scrape(measured)
    waiting = {what: values(found["dashboard_waiting"], what=what) for what in ("task", "webhook", "webhook_paused")}
    assert waiting == {"task": [0], "webhook": [2], "webhook_paused": [1]}
    assert values(found["dashboard_oldest_seconds"], what="webhook")[0] >= 300
    assert {sample.labels["what"] for sample in found["dashboard_oldest_seconds"]} == {
        "mail",
        "task",
        "check",
        "payment",
        "ses",
        "webhook",
    }
    assert 0 <= values(found["dashboard_looked_seconds"])[0] < 600
    assert values(found["dashboard_command_status"], command="books check") == [1]
    assert values(found["dashboard_store_read"]) == [1]


def test_a_store_that_is_away_is_a_reading_and_no_failure(config, proxy, store, sender, stripe):
    app = create_app(
        replace(config, metrics_token=TOKEN, dynamodb_endpoint_url=proxy.url, store_timeout_seconds=1),
        sender=sender,
        stripe=stripe,
    )
    try:
        proxy.every("throttle")
        found = scrape(app)
        assert values(found["dashboard_store_read"]) == [0]
        turned_away = {"action": "GetItem", "table": "Status", "outcome": "throttled"}
        assert values(found["dashboard_dynamodb_tries"], **turned_away) == [3], "one the short way, two by botocore"
        proxy.every("pass")
        found = scrape(app)
        assert values(found["dashboard_store_read"]) == [1]
        assert values(found["dashboard_dynamodb_tries"], **turned_away) == [3]
        assert sum(values(found["dashboard_dynamodb_units"], action="GetItem", table="Status")) > 0
    finally:
        switch.off()


def test_a_scrape_waits_for_no_slot(measured):
    """All of them are taken, and who measures is answered: that they are is what it came for."""
    slots = measured.extensions[KEY].places._slots
    for _ in range(SLOTS):
        slots._take()

    found = scrape(measured)

    assert values(found["dashboard_slots_used"]) == [SLOTS]
    for _ in range(SLOTS):
        slots._give()
    assert values(scrape(measured)["dashboard_slots_used"]) == [0]


def test_where_no_token_is_set_the_address_is_not_there_and_nothing_is_measured(client, app):
    assert client.get("/metrics", headers=SHOWN).status_code == 404
    assert not switch.on
    assert not isinstance(app.wsgi_app, Measured)


def report(directive: str, blocked: str = "inline") -> dict[str, Any]:
    secret = "http://dashboard.test/reset/secret-token"
    return {"csp-report": {"document-uri": secret, "effective-directive": directive, "blocked-uri": blocked}}


def test_reports_of_browsers_are_counted_by_directive_and_nothing_else_of_them_is_kept(measured, caplog, monkeypatch):
    monkeypatch.setattr("app.routes.csp._told_at", {})
    client = measured.test_client()
    for turn in range(3):
        assert client.post("/csp-reports", json=report("script-src-elem")).status_code == 204
        assert client.post("/csp-reports", json=report(f"made-up-{turn}", "https://evil.example")).status_code == 204
    for body in (b"", b"[]", b'{"csp-report": 1}', b"{" * 9000, b"\xff"):
        answer = client.post("/csp-reports", data=body, content_type="application/csp-report")
        assert (answer.status_code, answer.data) == (204, b"")
    assert client.post("/csp-reports", data=b" " * 20_000, content_type="application/csp-report").status_code == 413

    found = scrape(measured)["dashboard_csp_reports"]
    assert values(found, directive="script-src") == [3]
    assert values(found, directive="other") == [8]
    assert len(found) == 2
    told = [record for record in caplog.records if "has refused something" in record.getMessage()]
    assert [(each.directive, each.blocked) for each in told] == [("script-src", "page"), ("other", "elsewhere")]
    assert "secret-token" not in caplog.text
    assert "evil.example" not in caplog.text


def test_every_page_says_where_to_report(client):
    assert client.get("/login").headers["Content-Security-Policy"].endswith("; report-uri /csp-reports")
