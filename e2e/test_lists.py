"""Filtering a list in a browser takes along what belongs to it: the file and the statement, also after going back."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from app.domain.clock import utcnow
from app.services import queue, tasks
from e2e.test_operators import sign_in
from tests.support import make_account


@pytest.fixture
def ada(site, open_browser) -> Page:
    account = make_account(site.store, credits=100)
    for word in ("first", "second"):
        account = tasks.submit(site.store, account, f"The {word} task", now=utcnow()).account
    page = open_browser()
    sign_in(page, "ada@example.com")
    return page


@pytest.fixture
def op(site, open_browser) -> Page:
    account = make_account(site.store, credits=100)
    make_account(site.store, "op@example.com", role="admin")
    task = tasks.submit(site.store, account, "A task", now=utcnow()).task
    queue.claim(site.store, "op@example.com", task.task_id, now=utcnow())
    queue.release(site.store, "op@example.com", task.task_id, now=utcnow())
    page = open_browser()
    sign_in(page, "op@example.com")
    return page


def rows_of_file(page: Page) -> list[list[str]]:
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    with Path(download.value.path()).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))[1:-1]


def test_the_file_is_of_the_filter_when_transactions_are_filtered_in_the_page(ada):
    ada.goto("/transactions")
    ada.evaluate("window.untouched = true")  # a reload would lose it
    assert len(rows_of_file(ada)) == 3

    ada.get_by_label("Type").select_option("spend")
    expect(ada.locator("#movements tbody tr")).to_have_count(2)
    assert {row[1] for row in rows_of_file(ada)} == {"spend"}
    ada.get_by_label("Month").select_option(f"{utcnow():%Y-%m}")
    expect(ada.get_by_role("link", name="Statement of")).to_have_attribute(
        "href", f"/transactions/statement/{utcnow():%Y-%m}"
    )
    assert ada.evaluate("window.untouched") is True

    ada.goto("/account")
    ada.go_back()
    expect(ada.get_by_label("Type")).to_have_value("spend")
    assert {row[1] for row in rows_of_file(ada)} == {"spend"}


def test_the_file_is_of_the_filter_when_the_audit_log_is_filtered_in_the_page(op):
    op.goto("/admin/audit")
    assert len(rows_of_file(op)) == 2

    op.get_by_label("What").select_option("account.")
    expect(op.get_by_text("No act matches.")).to_be_visible()
    assert rows_of_file(op) == []
    op.get_by_label("What").select_option("task.")
    expect(op.locator("#log tbody tr")).to_have_count(2)
    assert [row[2] for row in rows_of_file(op)] == ["task.release", "task.claim"]
