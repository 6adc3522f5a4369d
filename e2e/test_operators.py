"""A task from the customer's composer to the operator's answer and back, each in a browser of their own."""

from __future__ import annotations

import pyotp
import pytest
from playwright.sync_api import Page, expect

from app.domain.clock import utcnow
from app.services import queue, tasks
from e2e.pages.eyes import RULES, problems
from tests.support import PASSWORD, make_account


def sign_in(page: Page, email: str) -> None:
    page.goto("/login")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/dashboard")


def prove(page: Page) -> None:
    """An operator changes nothing before a second factor is set up: here, an authenticator app."""
    page.goto("/account/second-factor")
    form = page.locator("form[action$='/second-factor/totp']")
    form.locator("[name=password]").fill(PASSWORD)
    form.get_by_role("button").click()
    secret = page.locator("#totp-secret").inner_text()
    code = page.locator("form[action$='/totp/code'] [name=code]")
    code.fill(pyotp.TOTP(secret.replace(" ", "")).now())
    code.press("Enter")
    expect(page.get_by_text("recovery codes").first).to_be_visible()


@pytest.fixture
def ada(site, open_browser) -> Page:
    make_account(site.store, credits=100)
    page = open_browser()
    sign_in(page, "ada@example.com")
    return page


@pytest.fixture
def op(site, open_browser) -> Page:
    make_account(site.store, "op@example.com", role="admin")
    page = open_browser()
    sign_in(page, "op@example.com")
    prove(page)
    return page


def test_the_customers_open_page_shows_the_answer_when_an_operator_completes_the_task(site, ada, op, tmp_path):
    report = tmp_path / "report.csv"
    report.write_text("region,revenue\nnorth,1204\n")
    ada.get_by_label("What should we do?").fill("Summarise the quarterly report in five points")
    ada.get_by_role("button", name="Submit task").click()
    ada.get_by_role("status").get_by_role("link").click()
    expect(ada.get_by_text("It is next in the queue.")).to_be_visible()
    ada.evaluate("window.untouched = true")  # a reload would lose it

    op.goto("/admin")
    op.get_by_role("button", name="Claim the next task").click()
    expect(ada.get_by_text("Someone is working on it.")).to_be_visible()
    op.get_by_label("Result").fill("# Summary\n\n- Revenue **up** 12 %")
    op.get_by_label("Files").set_input_files(report)
    op.get_by_role("button", name="Complete the task").click()
    expect(op.get_by_text("Completed. The customer has been told.")).to_be_visible()

    expect(ada.locator("#result strong")).to_have_text("up")
    expect(ada.locator(".pill")).to_have_text("Completed")
    assert ada.evaluate("window.untouched") is True
    with ada.expect_download() as download:
        ada.get_by_role("link", name="report.csv").click()
    assert download.value.path().read_text() == report.read_text()
    (mail,) = [mail for mail in site.mails() if mail["subject"].startswith("Done")]
    assert mail["to"] == "ada@example.com"
    assert ada.url in mail["text"]

    op.goto("/admin/audit?action=task.")
    expect(op.locator("td code")).to_have_text(["task.complete", "task.claim"])


def test_the_open_queue_follows_when_customers_and_operators_are_busy(site, ada, op):
    op.goto("/admin")
    expect(op.get_by_text("Nothing is waiting.")).to_be_visible()

    account = site.store.accounts.get("ada@example.com")
    first = tasks.submit(site.store, account, "First", now=utcnow()).task
    expect(op.locator("#queue .queue a")).to_have_text(["First"])
    op.get_by_label("Tick: First").check()
    tasks.submit(site.store, site.store.accounts.get("ada@example.com"), "Second", now=utcnow())

    expect(op.locator("#queue .queue a")).to_have_text(["First", "Second"])
    expect(op.get_by_label("Tick: First")).to_be_checked()
    queue.claim(site.store, "two@example.com", first.task_id, now=utcnow())
    expect(op.locator("#queue .queue a")).to_have_text(["Second"])


def test_a_customer_cancels_and_has_the_credits_back_when_work_has_not_begun(site, ada):
    task = tasks.submit(site.store, site.store.accounts.get("ada@example.com"), "Not this one", now=utcnow()).task
    ada.goto(f"/tasks/{task.task_id}")

    ada.get_by_text("Cancel this task").click()
    ada.get_by_role("button", name="Cancel it").click()

    expect(ada.locator("#balance-chip")).to_contain_text("100")
    expect(ada.get_by_text("You cancelled this task before work began.")).to_be_visible()


def test_the_queue_is_worked_when_javascript_is_off(site, ada, op, open_browser):
    task = tasks.submit(site.store, site.store.accounts.get("ada@example.com"), "Plain work", now=utcnow()).task
    plain = open_browser(java_script_enabled=False)
    plain.context.add_cookies(op.context.cookies())

    plain.goto("/admin")
    plain.get_by_label("Tick: Plain work").check()
    plain.get_by_role("button", name="Claim", exact=True).click()
    plain.get_by_role("link", name="Plain work").click()
    plain.get_by_label("Result").fill("Done plainly")
    plain.get_by_role("button", name="Complete the task").click()

    assert site.store.tasks.get(task.task_id, owner="ada@example.com").status == "completed"


def test_the_pages_are_accessible_and_fit_when_they_are_looked_at(site, ada, open_browser):
    store, now = site.store, utcnow()
    make_account(store, "op@example.com", role="admin")

    def submit(text):
        return tasks.submit(store, store.accounts.get("ada@example.com"), text, now=utcnow()).task

    done, held, waiting = submit("Done " * 30), submit("Held"), submit("Waiting")
    queue.claim(store, "op@example.com", done.task_id, now=now)
    queue.complete(store, "op@example.com", done.task_id, "# Title\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n`x`", now=now)
    queue.claim(store, "op@example.com", held.task_id, now=now)
    page = open_browser(reduced_motion="reduce")
    sign_in(page, "op@example.com")
    paths = ["", "?view=mine", "/customers", "/corrections", "/mails?view=due", "/audit"]
    paths.append(f"/customers/{store.accounts.get('ada@example.com').account_id}")
    paths += ["/overview", *(f"/tasks/{task.task_id}" for task in (done, held, waiting))]
    customer = open_browser(reduced_motion="reduce")
    sign_in(customer, "ada@example.com")

    found = []
    seen = [(page, f"/admin{path}") for path in paths]
    seen += [(customer, f"/tasks/{task.task_id}") for task in (done, held, waiting)]
    for tab, path in seen:
        tab.goto(path)
        found += problems(tab, path, dark=RULES)
    assert found == []
