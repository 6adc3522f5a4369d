"""Behind the edge: whose a request is counts only when the edge has signed it; around the edge nobody comes in."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from flask import request

from app import create_app
from app.services.edge import HEADER, SECONDS, Visitor, written
from app.web.guards import public
from tests.support import PASSWORD, post_webhook, session_event

SECRET, OLDER = "of-the-edge-8e2c41b7d09f", "of-the-edge-before-5a1d93c2"
ADA = Visitor("203.0.113.9", "00c0ffee00c0ffee")
ARRIVED = b"/arrived"


def signed(
    path: bytes = ARRIVED, *, secret: str = SECRET, visitor: Visitor = ADA, method: str = "GET", ago: int = 0
) -> dict[str, str]:
    return {HEADER: written(secret, int(time.time()) - ago, visitor, method, path)}


@pytest.fixture
def guarded(config, store, sender, stripe):
    settings = replace(config, edge_secrets=(SECRET, OLDER), trusted_proxies=2, signups_per_hour=1)
    app = create_app(settings, store=store, sender=sender, stripe=stripe)
    app.add_url_rule("/arrived", "arrived", public(lambda: str(request.remote_addr)))
    return app.test_client()


@pytest.mark.threat(119)
def test_the_address_is_the_one_that_the_edge_has_signed_whatever_else_is_said(guarded):
    forwarded = {"X-Forwarded-For": "6.6.6.6, 192.0.2.1, 198.51.100.1", "CF-Connecting-IP": "6.6.6.6"}

    told = guarded.get("/arrived", headers=signed() | forwarded)
    long = Visitor("2001:db8::7", ADA.reference)

    assert (told.status_code, told.text) == (200, "203.0.113.9")
    assert told.headers["X-Request-Id"] == ADA.reference, "one reference at the edge, in the answer and in the log"
    assert guarded.get("/arrived", headers=signed(visitor=long)).text == "2001:db8::7"
    assert guarded.get("/arrived", headers=signed(secret=OLDER)).text == "203.0.113.9"
    assert guarded.head("/arrived", headers=signed(method="HEAD")).status_code == 200


def cut(header: str) -> dict[str, str]:
    return {HEADER: header}


def good() -> str:
    return signed()[HEADER]


# Made when they are sent: a time of minutes ago would be another case.
FORGED = {
    "nothing": (dict, "missing"),
    "empty": (lambda: cut(""), "missing"),
    "of another secret": (lambda: signed(secret="of-nobody-8e2c41b7d09f"), "its secret"),
    "for another path": (lambda: signed(b"/login"), "its secret"),
    "for another method": (lambda: signed(method="POST"), "its secret"),
    "too old": (lambda: signed(ago=SECONDS + 60), "its time"),
    "from times to come": (lambda: signed(ago=-SECONDS - 60), "its time"),
    "another address under the same signature": (
        lambda: cut(good().replace("203.0.113.9", "203.0.113.8")),
        "its secret",
    ),
    "another reference": (lambda: cut(good().replace("00c0ffee", "00c0ffef", 1)), "its secret"),
    "another time": (lambda: cut(good().replace("time=1", "time=2")), "its secret"),
    "twice": (lambda: cut(f"{good()},{good()}"), "unreadable"),
    "cut off": (lambda: cut(good()[:-1]), "unreadable"),
    "another version": (lambda: cut(good().replace("v1", "v2", 1)), "unreadable"),
    "digits of another script": (lambda: cut(good().replace("time=1", "time=١")), "unreadable"),
    "no address": (lambda: signed(visitor=replace(ADA, address="999.0.0.1")), "unreadable"),
}


@pytest.mark.threat(119)
@pytest.mark.parametrize(("headers", "why"), FORGED.values(), ids=FORGED.keys())
def test_whoever_comes_around_the_edge_is_refused_and_that_rings(guarded, caplog, headers, why):
    answer = guarded.get("/arrived", headers=headers() | {"X-Forwarded-For": "6.6.6.6, 192.0.2.1, 198.51.100.1"})

    assert answer.status_code == 403
    assert "through its public address" in answer.text
    (told,) = [record for record in caplog.records if record.getMessage() == "not from the edge"]
    assert (told.alert, told.why) == ("edge", why)


@pytest.mark.threat(119)
def test_every_way_in_is_shut_but_those_that_prove_themselves(guarded):
    assert [guarded.get(path).status_code for path in ("/", "/login", "/static/app.css", "/nowhere")] == [403] * 4
    refused = guarded.get("/api/admin/tasks")
    assert (refused.status_code, refused.json["code"]) == (403, "forbidden")

    assert [guarded.get(path).status_code for path in ("/livez", "/readyz", "/healthz")] == [200] * 3
    assert guarded.get("/healthz/as-seen").status_code == 404, "whoever cannot prove to be the doctor"


@pytest.mark.threat(119)
def test_a_payment_is_credited_whatever_way_stripe_came(guarded, store, caplog):
    answer = post_webhook(guarded, session_event("ada@example.com", cents=1000))

    assert answer.status_code == 200
    assert store.accounts.get("ada@example.com").credits_balance == 1000
    assert [record.why for record in caplog.records if record.getMessage() == "not from the edge"] == ["missing"]


@pytest.mark.threat(119)
def test_limits_count_by_the_signed_address(guarded):
    """One account an hour for each address."""

    def signs_up(name: str, address: str) -> int:
        headers = signed(b"/api/auth/signup", visitor=replace(ADA, address=address), method="POST")
        sent = {"email": f"{name}@example.com", "password": PASSWORD}
        return guarded.post("/api/auth/signup", json=sent, headers=headers).status_code

    assert signs_up("ada", "203.0.113.9") == 201
    assert signs_up("bob", "203.0.113.9") == 429
    assert signs_up("cyd", "198.51.100.20") == 201


def test_without_the_setting_nothing_is_asked_and_nothing_believed(client, app):
    app.add_url_rule("/arrived", "arrived", public(lambda: str(request.remote_addr)))

    assert client.get("/arrived", headers=signed()).text == "127.0.0.1"
