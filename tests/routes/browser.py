"""A browser without a screen and a program with a token, for the tests of the views."""

from __future__ import annotations

import re
from typing import Any

from bs4 import BeautifulSoup
from flask import Flask
from werkzeug.test import TestResponse

from app.data import Store
from app.domain.accounts import BROWSER, AccountKey, Session, new_session_id, session_key
from app.domain.clock import utcnow
from tests.support import PASSWORD

TOKEN = re.compile(r'<input[^>]* name="csrf_token"[^>]* value="([^"]+)"')


def soup(response: TestResponse) -> BeautifulSoup:
    """For what a page says: five times as fast as a strict parser, whose place is test_html.py."""
    return BeautifulSoup(response.text, "html.parser")


class Browser:
    """Keeps cookies, sends a form's hidden fields along, and can ask as HTMX does."""

    def __init__(self, app: Flask):
        self.client = app.test_client()

    def get(self, path: str, *, fragment: bool = False, **headers: str) -> TestResponse:
        return self.client.get(path, headers=_headers(fragment, headers))

    def page(self, path: str) -> BeautifulSoup:
        response = self.get(path)
        assert response.status_code == 200, response.text
        return soup(response)

    def csrf(self) -> str:
        field = TOKEN.search(self.get("/login").text)
        assert field
        return field[1]

    def post(self, path: str, data: dict[str, Any], *, fragment: bool = False, **headers: str) -> TestResponse:
        """Post a form with a good CSRF token."""
        return self.client.post(path, data={"csrf_token": self.csrf()} | data, headers=_headers(fragment, headers))

    def sign_in(self, email: str = "ada@example.com", password: str = PASSWORD, **more: str) -> TestResponse:
        return self.post("/login", {"email": email, "password": password} | more)

    def enter(self, email: str = "ada@example.com") -> None:
        """Signed in as whoever has no second factor is by `sign_in`, which has tests of its own: the same session,
        without the two pages, the password and the counting of tries on the way to it."""
        app, now = self.client.application, utcnow()
        store: Store = app.extensions["impacteragi"].store
        account, session_id = store.accounts.get(AccountKey(email)), new_session_id()
        assert not account.has_second_factor
        store.updates.accounts.add_session(account, Session(session_key(session_id), BROWSER, now, now), now)
        with self.client.session_transaction() as session:
            session.permanent = True
            session.update(email=account.email, sid=session_id)

    def follow(self, link: str) -> TestResponse:
        """What a person sees who follows a mailed link."""
        return self.client.get(link, follow_redirects=True)

    def confirm(self, link: str) -> TestResponse:
        """Follow a mailed link and press the button that it leads to."""
        self.follow(link)
        return self.post("/confirm", {})

    def set_by_link(self, link: str, password: str) -> TestResponse:
        """Follow a mailed link and send the form that it leads to."""
        form = soup(self.follow(link)).select_one("input[name=link]")
        shown = {"link": str(form["value"])} if form else {}
        return self.post(link.rpartition("/")[0], {"password": password} | shown)

    def composer(self) -> dict[str, str]:
        """The hidden fields of the form on the dashboard."""
        form = self.page("/dashboard").select_one("form#composer")
        assert form
        return {str(field["name"]): str(field["value"]) for field in form.select("input[type=hidden]")}

    def cookie(self) -> str:
        found = self.client.get_cookie("session")
        assert found
        return found.value


class Program:
    """A client of the JSON API, signed in as one customer."""

    def __init__(self, app: Flask, email: str = "ada@example.com", password: str = PASSWORD):
        self.client = app.test_client(use_cookies=False)
        answer = self.client.post("/api/auth/login", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        self.token = answer.get_json()["token"]

    def get(self, path: str, **query: Any) -> TestResponse:
        return self.client.get(path, query_string=query, headers=self._headers())

    def submit(self, body: Any, **headers: str) -> TestResponse:
        return self.client.post("/api/tasks", json=body, headers=self._headers() | headers)

    def post(self, path: str, **kwargs: Any) -> TestResponse:
        headers = self._headers() | kwargs.pop("headers", {})
        return self.client.post(path, headers=headers, **kwargs)

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def _headers(fragment: bool, headers: dict[str, str]) -> dict[str, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ({"HX-Request": "true"} | named) if fragment else named
