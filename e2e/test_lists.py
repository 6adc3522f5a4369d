"""Filtering a list in a browser takes along what belongs to it: the file and the statement, also after going back."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from app.domain.clock import utcnow
from e2e.pages import AccountPage, AuditLog, SignIn, Transactions


@pytest.fixture
def transactions(site, page) -> Transactions:
    ada = site.states.account(credits=100)
    for word in ("first", "second"):
        site.api(ada).submit(f"The {word} task")
    SignIn(page).enter(ada)
    return Transactions(page).open()


@pytest.fixture
def log(site, page) -> AuditLog:
    op = site.states.operator_with_code()
    (task_id,) = site.states.tasks(pending=1).tasks["pending"]
    site.api(op).claim(task_id).release(task_id)
    watcher = site.states.operator()
    SignIn(page).enter(watcher)
    return AuditLog(page).open(query=f"actor={op.email}")


@pytest.mark.money
def test_the_file_is_of_the_filter_when_transactions_are_filtered_in_the_page(transactions):
    transactions.mark()
    assert len(transactions.rows_of_file()) == 3

    transactions.type.select_option("spend")
    expect(transactions.rows).to_have_count(2)
    assert {row[1] for row in transactions.rows_of_file()} == {"spend"}
    transactions.month.select_option(f"{utcnow():%Y-%m}")
    statement = f"/transactions/statement/{utcnow():%Y-%m}"
    expect(transactions.statement_link).to_have_attribute("href", statement)
    assert transactions.is_the_same()

    AccountPage(transactions.page).open()
    transactions.page.go_back()
    expect(transactions.type).to_have_value("spend")
    assert {row[1] for row in transactions.rows_of_file()} == {"spend"}


@pytest.mark.operators
def test_the_file_is_of_the_filter_when_the_audit_log_is_filtered_in_the_page(log):
    assert len(log.rows_of_file()) == 2

    log.what.select_option("account.")
    expect(log.page.get_by_text("No act matches.")).to_be_visible()
    assert log.rows_of_file() == []
    log.what.select_option("task.")
    expect(log.rows).to_have_count(2)
    assert [row[2] for row in log.rows_of_file()] == ["task.release", "task.claim"]
