"""An answer of many parts: their variables are gathered once, and the token that let its form in is read once."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from flask import Flask, g, session
from flask_wtf.csrf import generate_csrf, validate_csrf
from itsdangerous.encoding import base64_encode
from wtforms import ValidationError

from app.web import csrf
from app.web.fragments import Parts
from tests.routes.browser import Browser, soup
from tests.support import make_account


@pytest.fixture
def browser(app, store) -> Browser:
    make_account(store, credits=100)
    browser = Browser(app)
    assert browser.sign_in("ada@example.com").status_code == 303
    return browser


def test_the_parts_of_a_submit_are_made_of_variables_gathered_once(app, browser):
    form = browser.composer() | {"description": "Compare the quotes"}

    with patch.object(
        Flask, "update_template_context", autospec=True, side_effect=Flask.update_template_context
    ) as asked:
        answer = browser.client.post("/tasks", data=form, headers={"HX-Request": "true"})

    page = soup(answer)
    assert asked.call_count == 1
    assert len(page.select("#composer, #balance, #live, #notices, #balance-chip, hx-partial")) == 6
    assert page.select_one("#composer").get("data-hx-swap-oob") is None
    assert len(page.select("[data-hx-swap-oob]")) == 4
    assert "90" in page.select_one("#balance-chip").text


def test_a_template_with_blocks_is_no_part_of_another(app):
    with app.test_request_context("/"), pytest.raises(ValueError, match=r"base\.html has blocks"):
        Parts("dashboard/show.html", {}).whole("base.html")


def test_the_token_that_let_a_form_in_is_not_read_again(browser):
    form = browser.composer() | {"description": "Compare the quotes"}
    headers = {"HX-Request": "true", "X-CSRFToken": form["csrf_token"]}

    with patch.object(csrf, "validate_csrf", side_effect=csrf.validate_csrf) as again:
        answer = browser.client.post("/tasks", data=form, headers=headers)

    assert answer.status_code == 200
    assert csrf.TOKEN_HEADER not in answer.headers
    assert not again.called


def test_a_page_whose_own_token_is_old_gets_a_new_one_though_its_form_was_let_in(browser):
    form = browser.composer() | {"description": "Compare the quotes"}

    answer = browser.client.post("/tasks", data=form, headers={"HX-Request": "true", "X-CSRFToken": "an-old-one"})

    assert answer.status_code == 200
    assert answer.headers[csrf.TOKEN_HEADER]


def test_a_page_makes_its_token_without_a_try_to_compress_it_and_flask_wtf_takes_it(app):
    with app.test_request_context():
        first = csrf.token()  # of a session that has none yet
        secret = session["csrf_token"]
        del g.csrf_token
        with patch("itsdangerous.url_safe.zlib.compress", side_effect=AssertionError("tried to compress")):
            second = csrf.token()

        assert second == csrf.token() == generate_csrf()  # one a page, whoever asks
        assert session["csrf_token"] == secret
        validate_csrf(first)
        validate_csrf(second)


@pytest.mark.threat(76)
@pytest.mark.parametrize("change", ["of another session", "of another key", "another payload", "unsigned"])
def test_a_token_opens_the_session_alone_that_it_was_made_for(app, monkeypatch, change):
    with app.test_request_context():
        session["csrf_token"] = "a" * 40
        made = csrf.token()
        validate_csrf(made)
        if change == "of another session":
            session["csrf_token"] = "b" * 40
        elif change == "of another key":
            monkeypatch.setitem(app.config, "SECRET_KEY", "another")
            assert csrf.token() == made
            del g.csrf_token
            assert csrf.token() != made
        else:
            payload, moment, signature = made.split(".")
            other = base64_encode(b'"' + b"b" * 40 + b'"').decode()
            made = f"{other}.{moment}.{signature}" if change == "another payload" else payload

        with pytest.raises(ValidationError):
            validate_csrf(made)


def test_the_composer_that_is_shown_makes_no_token_beside_that_of_its_page(app, browser):
    with patch("flask_wtf.csrf.generate_csrf", side_effect=AssertionError("made another")):
        page = browser.page("/dashboard")

    tokens = {field["value"] for field in page.select("[name=csrf_token]")}
    assert len(tokens) == 1
    assert browser.client.post("/tasks", data=browser.composer() | {"description": "Compare"}).status_code == 303
