"""Every page, export and call over rows exactly as the original product wrote them."""

from __future__ import annotations

import csv
import io
import json

import pytest

from app.adoption import service as adoption
from tests.originals import EMAIL, PAYMENT, TASK, put_account, put_history, put_task, put_transaction
from tests.routes.browser import Browser, Program, soup
from tests.support import NOW, make_account


@pytest.fixture
def originals(store):
    put_history(store)
    put_transaction(store, "txn-cs", 5, "purchase", payment="cs_old", day=4)  # no payment intent
    put_transaction(store, "txn-odd", -5, "bonus", day=5)  # a type that we do not have
    put_task(store, "task-done", "completed")
    return store


@pytest.fixture
def customer(app, originals):
    browser = Browser(app)
    assert browser.sign_in(EMAIL).status_code == 303
    return browser


@pytest.fixture
def operator(app, store):
    make_account(store, "op@example.com", role="admin")
    browser = Browser(app)
    browser.sign_in("op@example.com")
    return browser


@pytest.mark.parametrize(
    "path",
    [
        *("/dashboard", "/dashboard?status=pending", "/dashboard?q=report", "/dashboard?since=2025-01-01"),
        *(f"/tasks/{TASK}", "/tasks/task-done", f"/transactions?task={TASK}", "/tasks/batch"),
        *("/transactions", "/transactions?type=purchase", "/transactions?month=2025-03", "/transactions?limit=1"),
        *("/transactions.csv", "/transactions/statement/2025-03", "/transactions/statement/2025-02"),
        *("/transactions/statement/2099-01", "/credits", "/account", "/account/export.json"),
    ],
)
def test_a_customers_page_shows_rows_of_the_original(customer, path):
    assert customer.get(path).status_code == 200


@pytest.mark.parametrize("adopted", [False, True])
@pytest.mark.parametrize(
    "path",
    [
        *("/admin", "/admin?view=working", "/admin/customers", "/admin/customers?q=old", f"/admin/customers/{EMAIL}"),
        *(f"/admin/tasks/{TASK}", "/admin/tasks/task-done", "/admin/overview", "/admin/audit", "/admin/audit.csv"),
        *("/admin/finance", "/admin/mails", "/admin/corrections"),
    ],
)
def test_an_operators_page_shows_rows_of_the_original(operator, originals, path, adopted):
    if adopted:
        adoption.adopt(originals, apply=True, now=NOW)

    assert operator.client.get(path, follow_redirects=True).status_code == 200


def test_the_payment_of_the_original_has_its_page(operator, originals):
    adoption.adopt(originals, apply=True, now=NOW)

    page = operator.page(f"/admin/finance/payments/{PAYMENT}")

    assert "500" in page.text
    assert "Brought forward" not in page.text


def test_the_ledger_shows_old_rows_without_a_balance_and_the_opening_row_with_one(customer):
    page = customer.page("/transactions")

    rows = [" ".join(row.text.split()) for row in page.select("#movements tbody tr")]
    assert rows[0].endswith("Brought forward: a balance of 490 credits Adjustment 0 490")
    assert rows[1].endswith("bonus of the original bonus −5 –")
    assert rows[2].endswith("purchase of the original Purchase +5 –")
    assert rows[3].endswith("spend of the original Task −10 –")
    assert rows[4].endswith("purchase of the original Receipt Purchase +500 –")
    ids = [row.get("id") for row in page.select("#movements tbody tr")]
    assert ids == ["entry-1", None, None, None, None]


def test_a_statement_adds_up_when_its_month_is_older_than_the_ledger(customer, store):
    page = customer.page("/transactions/statement/2025-03")
    later = customer.page("/transactions/statement/2025-04")

    assert [cell.text for cell in page.select(".rule .num")] == ["0", "490"]
    assert [cell.text for cell in later.select(".rule .num")] == ["490", "490"]


def test_the_export_leaves_the_balance_of_old_rows_empty(customer):
    lines = list(csv.DictReader(io.StringIO(customer.get("/transactions.csv?for=program").text)))

    assert [line["balance_after"] for line in lines] == ["490", "", "", "", ""]


def test_a_program_reads_rows_of_the_original(app, originals):
    program = Program(app, EMAIL)

    found = program.get("/api/transactions").get_json()["transactions"]
    tasks = program.get("/api/tasks").get_json()["tasks"]

    assert [(row["amount"], row["balance_after"], row["sequence"]) for row in found][:2] == [
        (0, 490, 1),
        (-5, None, None),
    ]
    assert sum(row["amount"] for row in found) == program.get("/api/user").get_json()["credits"]
    assert {task["task_id"] for task in tasks} == {TASK, "task-done"}
    assert program.get(f"/api/tasks/{TASK}").status_code == 200
    assert program.get("/api/user").get_json()["created_at"] == "2025-03-01T09:30:00.250000Z"


def test_a_customer_is_told_when_the_balance_cannot_be_read(app, empty_store, config):
    put_account(empty_store, balance="10.5")
    browser = Browser(app)
    browser.sign_in(EMAIL)

    page = browser.page("/dashboard")
    answer = browser.post("/tasks", browser.composer() | {"description": "A task"})

    assert "We are putting your balance in order" in page.select_one("#notices").text
    assert answer.status_code == 503
    assert "put in order" in soup(answer).text


@pytest.mark.parametrize(
    "words", [("accounts", "list"), ("accounts", "show", EMAIL), ("tasks", "list", "--user", EMAIL)]
)
def test_the_command_line_shows_rows_of_the_original(app, originals, words):
    result = app.test_cli_runner().invoke(args=list(words))

    assert result.exit_code == 0, result.output
    assert EMAIL in result.output or "old report" in result.output or "txn" in result.output


def test_the_command_says_what_it_would_do_and_then_does_it(app, originals):
    def run(*words):
        result = app.test_cli_runner().invoke(args=["accounts", "adopt", *words])
        return result.exit_code, result.stdout

    dry, done, again = run(), run("--apply"), run("--apply", "--json")

    assert dry[0] == 1
    assert f"{EMAIL}  490      490              +0" in dry[1]
    assert "1 accounts and 2 tasks to adopt (nothing was changed; --apply does it); 0 refused." in dry[1]
    assert done[0] == 0
    assert "1 accounts and 2 tasks adopted; 0 refused." in done[1]
    nothing = {key: [] for key in ("accounts", "tasks", "untraced", "refused", "to_mend")}
    assert (again[0], json.loads(again[1])) == (0, nothing)
    assert app.test_cli_runner().invoke(args=["books", "check"]).exit_code == 0


def test_the_command_ends_with_1_and_names_what_it_cannot_adopt(app, empty_store):
    put_account(empty_store, balance="10.5")
    put_account(empty_store, "other@example.com", balance=5)
    put_transaction(empty_store, "txn-1", 5, "purchase", email="other@example.com")

    result = app.test_cli_runner().invoke(args=["accounts", "adopt", "--apply"])

    assert result.exit_code == 1
    assert f"To mend: Users {EMAIL}, credits_balance: '10.5' is no whole number; a person has to say" in result.output
    assert "1 to mend; --mend does it for 0. For the others say it with --set" in result.output
    assert "other@example.com: the purchase txn-1 names no payment." in result.output
    assert "1 accounts and 0 tasks adopted; 0 refused." in result.output
