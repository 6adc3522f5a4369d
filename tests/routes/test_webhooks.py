"""Webhook endpoints, on the pages of their owner and over JSON."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bs4 import BeautifulSoup

from app.gateways.receivers import Answer, Receivers
from app.services.webhook_sender import WebhookSender
from app.web.deps import KEY
from tests.routes.browser import Browser
from tests.support import PASSWORD, all_mails, make_account

ADA = "ada@example.com"
URL = "https://receiver.example/hooks"
NEW = {"url": URL, "types": ["task.completed"], "name": "Shop", "password": PASSWORD}


class Public(Receivers):
    """Every name leads to the internet, and what is sent is answered there."""

    def __init__(self):
        super().__init__(resolve=lambda host, port: ["10.0.0.1" if host.startswith("inside.") else "93.184.215.14"])

    def post(self, target, body, headers):
        return Answer(7, 200, headers={"X-A": "b"}, body=b"<b>thanks</b>")


@pytest.fixture
def found(app):
    app.extensions[KEY] = replace(app.extensions[KEY], receivers=Public())
    return app.extensions[KEY]


@pytest.fixture
def sent(found):
    sender = WebhookSender(found.store, found.sealer, found.receivers)

    def send():
        while sender.look():
            sender.finish()

    return send


@pytest.fixture
def ada(browser, store, found):
    make_account(store, ADA)
    browser.enter(ADA)
    return browser


@pytest.fixture
def call(client, store, found):
    make_account(store, ADA)
    token = client.post("/api/auth/login", json={"email": ADA, "password": PASSWORD}).json["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    return lambda method, path, **body: client.open(path, method=method, headers=bearer, json=body or None)


def test_an_owner_makes_tests_pauses_and_removes_an_endpoint(ada, store, sent):
    made = ada.post("/account/webhooks", NEW)
    assert made.status_code == 200
    assert "whsec_" in made.text
    endpoint_id = next(iter(store.accounts.get(ADA).webhooks))
    there = f"/account/webhooks/{endpoint_id}"
    ada.post(f"{there}/test", {})
    sent()

    page = ada.page(there)
    assert page.select_one("#log .pill").get_text() == "delivered"
    delivery = page.select_one("#log a")["href"]
    shown = ada.page(delivery)
    assert "<b>thanks</b>" in shown.get_text()
    assert "webhook-signature" not in shown.get_text()
    assert ada.post(f"{delivery}/again", {}).status_code == 303
    sent()
    assert len(shown.select(".dots li")) == 1
    assert len(ada.page(delivery).select(".dots li")) == 2
    assert "whsec_" not in ada.page(there).get_text()
    assert ada.post(f"{there}/secret", {"password": "wrong"}).status_code == 422
    assert "whsec_" in ada.post(f"{there}/secret", {"password": PASSWORD}).text
    assert "whsec_" in ada.post(f"{there}/secret", {"password": PASSWORD, "rotate": "y"}).text
    ada.post(f"{there}/pause", {})
    assert "Paused" in ada.page("/account/webhooks").get_text()
    assert "paused" in ada.page(there).get_text()
    ada.post(f"{there}/resume", {})
    ada.post(f"{there}/remove", {})
    assert store.accounts.get(ADA).webhooks == {}
    assert ada.get(there).status_code == 404
    assert [mail.context["what"][:30] for mail in all_mails(store) if mail.kind == "security"] == [
        "A webhook endpoint was made: w"
    ]


@pytest.mark.threat(160)
@pytest.mark.threat(163)
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"password": "wrong"}, "not your current password"),
        ({"url": "https://inside.example/"}, "public internet"),
        ({"url": "http://example.com/"}, "Only https"),
        ({"url": "https://127.0.0.1/"}, "Name a host"),
        ({"types": []}, "Choose one event"),
        ({"name": "x" * 61}, "60 characters"),
    ],
)
def test_what_is_wrong_with_a_new_endpoint_is_said_at_its_field(ada, store, wrong, words):
    answer = ada.post("/account/webhooks", NEW | wrong)

    assert answer.status_code == 422
    assert words in answer.text
    assert store.accounts.get(ADA).webhooks == {}


OTHER = "https://other.example/hooks"


def endpoint_of(store):
    return store.webhooks.find_endpoint(next(iter(store.accounts.get(ADA).webhooks)))


def test_an_owner_changes_an_endpoint_and_its_address_after_the_password(ada, store):
    ada.post("/account/webhooks", NEW)
    first = endpoint_of(store)
    there = f"/account/webhooks/{first.endpoint_id}"
    form = ada.page(there).select_one("#change form")
    typed = [box["value"] for box in form.select("[name=types]") if box.has_attr("checked")]
    assert (form.select_one("[name=url]")["value"], typed) == (URL, list(first.types))

    renamed = ada.post(form["action"], {"url": URL, "name": "Results", "types": ["credits.low"]})
    moved = ada.post(form["action"], {"url": OTHER, "types": ["credits.low"], "password": PASSWORD})

    assert (renamed.status_code, renamed.location, moved.status_code) == (303, there, 303)
    found = endpoint_of(store)
    assert (found.url, found.name, found.types, found.secret) == (OTHER, "", ("credits.low",), first.secret)
    assert store.accounts.get(ADA).webhooks == {first.endpoint_id: "credits.low"}
    assert [mail.context["what"] for mail in all_mails(store) if mail.kind == "security"][-1].endswith(OTHER[8:] + ".")


@pytest.mark.threat(160)
@pytest.mark.threat(163)
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"url": OTHER}, "not your current password"),
        ({"url": OTHER, "password": "wrong"}, "not your current password"),
        ({"url": "https://inside.example/", "password": PASSWORD}, "public internet"),
        ({"url": "http://example.com/", "password": PASSWORD}, "Only https"),
        ({"types": []}, "Choose one event"),
        ({"name": "x" * 61}, "60 characters"),
    ],
)
def test_a_change_that_is_refused_changes_nothing_and_stands_there_as_it_was_typed(ada, store, wrong, words):
    ada.post("/account/webhooks", NEW)
    before = endpoint_of(store)
    sent = {"url": URL, "name": "Typed", "types": ["credits.low"]} | wrong

    answer = ada.post(f"/account/webhooks/{before.endpoint_id}/change", sent)

    form = BeautifulSoup(answer.data, "html.parser").select_one("#change form")
    assert (answer.status_code, words in form.get_text()) == (422, True)
    assert [form.select_one(f"[name={name}]")["value"] for name in ("url", "name")] == [sent["url"], sent["name"]]
    assert endpoint_of(store) == before


def test_an_endpoint_of_somebody_else_is_not_changed(ada, app, store):
    ada.post("/account/webhooks", NEW)
    before = endpoint_of(store)
    make_account(store, "eve@example.com")
    eve = Browser(app)
    eve.sign_in("eve@example.com")

    answer = eve.post(f"/account/webhooks/{before.endpoint_id}/change", NEW | {"name": "Mine"})

    assert (answer.status_code, endpoint_of(store)) == (404, before)


def test_a_program_manages_endpoints_with_a_session(call, store, sent):
    made = call("POST", "/api/webhooks", **NEW)
    assert made.status_code == 201
    endpoint_id, secret = made.json["endpoint_id"], made.json["secret"]
    there = f"/api/webhooks/{endpoint_id}"
    assert secret.startswith("whsec_")
    assert [one["url"] for one in call("GET", "/api/webhooks").json["endpoints"]] == [URL]
    tried = call("POST", f"{there}/test").json
    sent()
    log = call("GET", f"{there}/deliveries").json["deliveries"]
    assert [(one["delivery_id"], one["state"]) for one in log] == [(tried["delivery_id"], "delivered")]
    one = call("GET", f"{there}/deliveries/{tried['delivery_id']}").json
    assert (one["answer"], one["tries"][0]["status"], one["headers"]["webhook-id"]) == (
        "<b>thanks</b>",
        200,
        tried["event_id"],
    )
    assert call("POST", f"{there}/deliveries/{tried['delivery_id']}/again").json["state"] == "waiting"
    changed = call("PATCH", there, types=["credits.low"], paused=True).json
    assert (changed["types"], changed["paused"], changed["paused_by"]) == (["credits.low"], True, "owner")
    assert store.accounts.get(ADA).webhooks == {endpoint_id: "credits.low"}
    assert call("PATCH", there, url="https://other.example/").status_code == 401
    assert call("PATCH", there, url="https://inside.example/", password=PASSWORD).status_code == 422
    assert call("PATCH", there, url="https://other.example/", password=PASSWORD).json["url"] == "https://other.example/"
    assert call("POST", f"{there}/secret", password=PASSWORD).json["secret"] == secret
    assert call("POST", f"{there}/secret", password=PASSWORD, rotate=True).json["secret"] != secret
    assert call("DELETE", there).status_code == 200
    assert call("GET", there).status_code == 404


def test_what_is_wrong_is_a_refusal(call, store):
    assert call("POST", "/api/webhooks", **NEW | {"password": "wrong"}).status_code == 401
    assert call("POST", "/api/webhooks", **NEW | {"types": ["task.invented"]}).status_code == 422
    assert call("POST", "/api/webhooks", **NEW | {"url": "https://[::1]/"}).status_code == 422
    made = call("POST", "/api/webhooks", **NEW).json
    there = f"/api/webhooks/{made['endpoint_id']}"
    assert call("POST", "/api/webhooks", **NEW).status_code == 422
    assert call("GET", f"{there}/deliveries?cursor=WyJhIiwid2VfeCNiIiwiYyJd").status_code == 400
    assert call("GET", f"{there}/deliveries/W10").status_code == 404
    assert call("GET", "/api/webhooks/we_unknown").status_code == 404
