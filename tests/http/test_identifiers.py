"""Odd but legal addresses through the real server, which decodes paths in its own way."""

from __future__ import annotations

import http.client
import json
from urllib.parse import quote, unquote, urlencode, urlsplit

import pytest
from bs4 import BeautifulSoup

from app.domain.accounts import API, Session, new_session_id, session_key
from app.domain.clock import utcnow
from app.services.tokens import Tokens
from tests.crawl import Answer, crawl
from tests.http.server import SETTINGS
from tests.routes.test_identifiers import ADDRESSES, OPERATOR, furnish
from tests.support import PASSWORD, make_account


class Client:
    """Sends each address exactly as it is written; a library would tidy it up first."""

    def __init__(self, server, **headers: str):
        self._at = (urlsplit(server.url).hostname, server.port)
        self._headers = headers

    def send(self, method: str, address: str, body: str | None = None, **headers: str) -> tuple[Answer, object]:
        connection = http.client.HTTPConnection(*self._at, timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in (self._headers | headers).items()}
            connection.request(method, address, body=body, headers=named)
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        finally:
            connection.close()
        is_page = answer.status == 200 and answer.headers.get_content_type() == "text/html"
        location = answer.headers.get("Location", "")
        return Answer(answer.status, location, text if is_page else ""), (answer.headers, text)

    def get(self, address: str) -> Answer:
        return self.send("GET", address)[0]


def browser(server, email: str) -> Client:
    """Signed in through the form, as a person would."""
    answer, (headers, _) = Client(server).send("GET", "/login")
    token = BeautifulSoup(answer.html, "html5lib").select_one("input[name=csrf_token]")["value"]
    form = urlencode({"csrf_token": token, "email": email, "password": PASSWORD})
    kind = "application/x-www-form-urlencoded"
    cookie = headers["Set-Cookie"].partition(";")[0]
    answer, (headers, _) = Client(server).send("POST", "/login", form, Content_Type=kind, Cookie=cookie)
    assert answer.status == 303
    cookies = [cookie.partition(";")[0] for cookie in headers.get_all("Set-Cookie")]  # the device's and the session's
    return Client(server, Cookie="; ".join(cookies))


def program(server, store, email: str) -> Client:
    now, session_id = utcnow(), new_session_id()
    store.updates.accounts.add_session(
        store.accounts.get(email), Session(session_key(session_id), API, now, now, mfa_at=now), now
    )
    token = Tokens((SETTINGS["JWT_SECRET"],)).issue(email, session_id, now)
    return Client(server, Authorization=f"Bearer {token}")


@pytest.mark.threat(111)
def test_every_link_opens_through_the_server(app, store, server):
    address = ADDRESSES[5]

    for email, start in furnish(app, store, address).items():
        found = crawl(browser(server, email).get, app.url_map, start, pages=90)

        answers = {link: answer.status for link, answer in found.answers.items()}
        receipts = [answers.pop(link) for link in list(answers) if "/receipt/" in link]  # Stripe is not here
        wrong = [f"{status} {link}" for link, status in answers.items() if status not in (200, 302, 303)]
        assert set(receipts) <= {503}
        assert (wrong, found.lost) == ([], [])
        assert not [path for path in found.paths() if "@" in unquote(path)]


@pytest.mark.threat(111)
def test_calls_of_before_find_every_address_through_the_server(store, server):
    make_account(store, OPERATOR, role="admin")
    op = program(server, store, OPERATOR)
    for address in ADDRESSES:
        account = make_account(store, address, credits=10)
        for written in {quote(address, safe=""), quote(address, safe="@/+")}:
            path = f"/api/admin/users/{written}"
            answer, (headers, text) = op.send("GET", path)
            assert (answer.status, json.loads(text)["email"]) == (200, address), written
            assert account.account_id in headers["Link"]
            body = json.dumps({"amount": 1, "reason": "Goodwill"})
            answer, _ = op.send("POST", f"{path}/adjust", body, Content_Type="application/json")
            assert answer.status == 201, written
        answer, (_, text) = op.send("GET", f"/api/admin/customers?{urlencode({'email': address})}")
        assert json.loads(text)["customers"][0]["account_id"] == account.account_id


@pytest.mark.threat(111)
def test_pages_of_before_lead_every_address_on_through_the_server(store, server):
    make_account(store, OPERATOR, role="admin")
    op = browser(server, OPERATOR)
    for address in ADDRESSES:
        account = make_account(store, address)
        answer = op.get(f"/admin/customers/{quote(address, safe='')}")
        assert (answer.status, answer.location) == (308, f"/admin/customers/{account.account_id}")
        heading = BeautifulSoup(op.get(answer.location).html, "html5lib").h1
        assert heading.text == address
