"""What is typed survives the end of its session: an open page stays, and the same submit goes through once."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from app.domain.clock import utcnow
from app.services import queue, tasks
from e2e.pages.sign_in import sign_in
from tests.support import PASSWORD, every_task, make_account

EMAIL, OPERATOR = "ada@example.com", "olga@example.com"
TEXT = "A long plan.\n" + "Zeile für Zeile. " * 150


def sign_in_again(page, email: str) -> None:
    """In a tab that has led to the sign-in."""
    page.get_by_label("E-mail", exact=True).fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


@pytest.mark.threat(101)
def test_the_composer_goes_on_when_its_session_ended_and_was_renewed_in_another_tab(site, page):
    account = make_account(site.store, EMAIL, credits=100)
    dashboard = sign_in(page)
    site.store.updates.accounts.end_sessions(site.store.accounts.get(account.email))

    dashboard.submit(TEXT)

    bar = page.locator("#toasts")
    expect(bar).to_contain_text("You were signed out.")
    expect(dashboard.text).to_have_value(TEXT)
    with page.context.expect_page() as opened:
        bar.get_by_role("link", name="Sign in in a new tab").click()
    sign_in_again(opened.value, EMAIL)
    assert every_task(site.store) == []
    page.bring_to_front()
    dashboard.button.click()

    expect(page.locator("#composer")).to_contain_text("Submitted:")
    expect(bar).to_be_empty()
    dashboard.expect_balance("90")
    dashboard.submit("And another")
    dashboard.expect_balance("80")
    assert [task["description"].replace("\r\n", "\n") for task in every_task(site.store)].count(TEXT) == 1
    assert not site.store.accounts.get(EMAIL).unsent


@pytest.mark.threat(101)
@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_an_operators_answer_goes_on_when_the_session_has_ended(site, open_browser, script):
    customer = make_account(site.store, EMAIL, credits=100)
    make_account(site.store, OPERATOR, role="admin")
    task = tasks.submit(site.store, customer, "Answer me", now=utcnow(), idempotency_key="one").task
    queue.claim(site.store, OPERATOR, task.task_id, now=utcnow())
    page = open_browser(java_script_enabled=script)
    sign_in(page, OPERATOR)
    page.goto(f"/admin/tasks/{task.task_id}")
    page.get_by_label("Result").fill(TEXT)
    site.store.updates.accounts.end_sessions(site.store.accounts.get(OPERATOR))

    page.get_by_role("button", name="Complete the task").click()
    sign_in_again(page, OPERATOR)

    expect(page.get_by_role("heading", name="Not sent yet")).to_be_visible()
    expect(page.get_by_label("Result")).to_have_value(TEXT)
    page.get_by_role("button", name="Send it").click()
    expect(page.get_by_text("Completed. The customer has been told.")).to_be_visible()
    assert site.store.tasks.get_with_result(task.task_id)[1].text == TEXT


def test_files_that_do_not_fit_are_named_before_they_are_sent(site, page, tmp_path):
    customer = make_account(site.store, EMAIL, credits=100)
    make_account(site.store, OPERATOR, role="admin")
    task = tasks.submit(site.store, customer, "Answer me", now=utcnow(), idempotency_key="one").task
    queue.claim(site.store, OPERATOR, task.task_id, now=utcnow())
    sign_in(page, OPERATOR)
    page.goto(f"/admin/tasks/{task.task_id}")
    page.get_by_label("Result").fill("My answer")
    for number in range(11):
        (tmp_path / f"{number}.txt").write_text("x")
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(60 * 1024 * 1024)
    field, refused = page.locator("input[type=file]"), page.locator("#files-refused")

    field.set_input_files([tmp_path / f"{number}.txt" for number in range(11)])
    expect(refused).to_have_text(re.compile("At most 5 files fit"))
    field.set_input_files(large)
    expect(refused).to_have_text("large.bin is larger than 10 MB.")
    page.get_by_role("button", name="Complete the task").click()
    expect(page.get_by_label("Result")).to_have_value("My answer")
    field.set_input_files(tmp_path / "1.txt")
    expect(refused).to_be_hidden()
    page.get_by_role("button", name="Complete the task").click()

    expect(page.get_by_text("Completed. The customer has been told.")).to_be_visible()
