"""Every page is valid HTML, names its parts, and guards its forms."""

from __future__ import annotations

from collections import Counter

import html5lib
import pytest
from bs4 import BeautifulSoup

from app.services import tasks
from app.services.links import RESET, SET_PASSWORD, Links
from tests.routes.browser import Browser
from tests.support import NOW, make_account

# html5lib knows HTML as of 2014: what has been made valid since.
SINCE_ALLOWED = {"unexpected-token-in-doctype"}


@pytest.fixture
def pages(browser, store, config) -> dict[str, str]:
    """The text of every page of a customer, by name."""
    account = make_account(store, credits=45, confirmed_at=None, link_nonces={RESET: "r", SET_PASSWORD: "s"})
    task = tasks.submit(store, account, "Summarise <the> report & more", now=NOW).task
    links = Links(config.jwt_secrets, config.app_url)
    paths = [links.url(account, purpose).removeprefix("http://dashboard.test") for purpose in (RESET, SET_PASSWORD)]
    paths += ["/", "/login?out=1", "/signup", "/forgot", "/reset/x", "/confirm/x", "/set-password/x", "/nothing"]
    found = {path: browser.follow(path).text for path in paths}
    browser.sign_in()
    signed_in = ["/", "/dashboard", "/dashboard?q=nothing", f"/tasks/{task.task_id}", "/tasks/none", "/account"]
    signed_in += ["/account/keys", "/account/webhooks", "/credits", "/transactions", "/transactions/statement/2026-11"]
    found |= {f"{path}, signed in": browser.get(path).text for path in signed_in}
    refused = {"description": "", "request_id": "r"}
    found["composer, 422"] = browser.post("/tasks", refused).text
    found["sign-up, 422"] = Browser(browser.client.application).post("/signup", {"email": "x", "password": "y"}).text
    found["sign-in, 401"] = Browser(browser.client.application).sign_in("x@example.com", "wrong").text
    return found


def test_pages_parse_without_an_error(pages):
    for name, text in pages.items():
        parser = html5lib.HTMLParser()
        parser.parse(text)
        errors = [(where, code, data) for where, code, data in parser.errors if code not in SINCE_ALLOWED]
        assert not errors, f"{name}: {errors}"


def test_ids_are_unique_and_references_lead_somewhere(pages):
    for name, text in pages.items():
        page = BeautifulSoup(text, "html5lib")
        ids = Counter(str(element["id"]) for element in page.select("[id]"))
        assert not [key for key, count in ids.items() if count > 1], name
        for attribute in ("for", "aria-labelledby", "aria-describedby", "aria-controls"):
            for element in page.select(f"[{attribute}]"):
                missing = set(str(element[attribute]).split()) - set(ids)
                assert not missing, f"{name}: {attribute} {missing}"


def test_pages_have_a_language_a_title_one_heading_and_a_main_part(pages):
    for name, text in pages.items():
        page = BeautifulSoup(text, "html5lib")
        assert page.html["lang"] == "en", name
        assert page.title.text.strip(), name
        assert len(page.select("h1")) == 1, name
        assert len(page.select("main#main")) == 1, name
        assert page.select_one("a.skip")["href"] == "#main", name


def test_every_form_that_posts_carries_a_csrf_token(pages):
    checked = 0
    for name, text in pages.items():
        for form in BeautifulSoup(text, "html5lib").select("form[method=post]"):
            token = form.select_one("input[name=csrf_token]")
            assert token, f"{name}: {form.get('action')}"
            assert token["value"], name
            checked += 1

    assert checked > 10


def test_every_input_has_a_label(pages):
    for name, text in pages.items():
        page = BeautifulSoup(text, "html5lib")
        labelled = {str(label["for"]) for label in page.select("label[for]")}
        for field in page.select("input:not([type=hidden], [type=submit]), textarea, select"):
            named = field.get("id") in labelled or field.get("aria-label") or field.find_parent("label")
            assert named, f"{name}: {field}"


def test_links_of_our_own_lead_somewhere(app, browser, pages):
    adapter = app.url_map.bind("dashboard.test")
    for name, text in pages.items():
        for link in BeautifulSoup(text, "html5lib").select("a[href^='/'], form[action^='/']"):
            target = str(link.get("href") or link.get("action")).partition("?")[0].partition("#")[0]
            method = "POST" if link.get("method") == "post" else "GET"
            assert adapter.test(target, method), f"{name}: {method} {target}"
