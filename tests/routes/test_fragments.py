"""An answer of many parts: their variables are gathered once, and the token that let its form in is read once."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from flask import Flask

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
