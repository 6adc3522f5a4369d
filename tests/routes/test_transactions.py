"""The customer's ledger: rows, filters, CSV, statement and receipts."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime, timedelta

import pytest
from bs4 import BeautifulSoup

from app.domain.payments import RefundFact
from app.services import queue, tasks
from app.services.payments import record_fact
from app.web.csv_lines import OPERATORS, csv_line, formula_safe
from tests.routes.browser import Program
from tests.services.test_payments import paid, record
from tests.support import NOW, PASSWORD, make_account

EMAIL = "ada@example.com"


@pytest.fixture
def browser(app, store):
    """A browser of a customer with a purchase in October, and a task and a refund in November."""
    app.config["WTF_CSRF_ENABLED"] = False
    account = make_account(store, EMAIL)
    store.updates.accounts.change(store.accounts.get(EMAIL), created_at=NOW - timedelta(days=60))
    record_fact(store, paid(), now=NOW - timedelta(days=30))
    tasks.submit(store, store.accounts.get(account.email), "=HYPERLINK(1)", now=NOW)
    record(store, RefundFact("pi_1", "re_1", 250, "succeeded"))
    client = app.test_client()
    client.post("/login", data={"email": EMAIL, "password": PASSWORD})
    return client


def rows(response) -> list[str]:
    return [" ".join(row.text.split()) for row in BeautifulSoup(response.data, "html.parser").select("tbody tr")]


def test_rows_are_newest_first_with_a_running_balance(browser):
    table = rows(browser.get("/transactions"))

    assert len(table) == 3
    assert "−250 740" in table[0]
    assert "−10 990" in table[1]
    assert "+1,000 1,000" in table[2]
    assert "Receipt" in table[2]


@pytest.mark.parametrize(
    ("query", "count"),
    [("type=spend", 1), ("month=2026-10", 1), ("month=2026-11", 2), ("type=clawback&month=2026-10", 0), ("limit=2", 2)],
)
def test_rows_are_filtered(browser, query, count):
    response = browser.get(f"/transactions?{query}")

    assert len(rows(response)) == count


@pytest.mark.parametrize("query", ["type=nonsense", "month=2026-13", "month=x", "limit=x", "cursor=%00", "cursor=e30"])
def test_a_filter_that_makes_no_sense_is_a_400(browser, query):
    assert browser.get(f"/transactions?{query}").status_code == 400


def test_paging_reaches_every_row(browser):
    first = browser.get("/transactions?limit=2")
    older = BeautifulSoup(first.data, "html.parser").select_one(".pager a")["href"]

    assert len(rows(browser.get(older))) == 1


@pytest.mark.threat(91)
def test_the_csv_holds_every_row_and_no_formula(browser):
    response = browser.get("/transactions.csv?for=program")

    table = list(csv.DictReader(io.StringIO(response.text)))
    assert response.mimetype == "text/csv"
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in response.headers["Content-Disposition"]
    assert [(row["type"], row["credits"], row["balance_after"]) for row in table] == [
        ("clawback", "-250", "740"),
        ("spend", "-10", "990"),
        ("purchase", "1000", "1000"),
    ]
    assert not any(cell[:1] in "=@" for row in table for cell in row.values())


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@x", " =1", "\tx", "\rx", "\nx", "\t", "\uff1d1", "\uff20x", "\uff0d1"],
)
def test_text_that_a_spreadsheet_would_run_is_quoted(text):
    assert formula_safe(text) == "'" + text
    assert formula_safe(f"\t{text.strip()}\r=1").startswith("'\t")


@pytest.mark.parametrize(
    "text",
    [
        "plan;=1+1",
        "plan; =cmd|' /C calc'!A0;x",
        'plan;"=1+1"',
        "plan\n=1+1",
        "plan\r\n\t@x",
        "plan\t+1",
        "=1;=2\n-3",
        "plan;\uff1d1",
        "a;;-1",
    ],
)
@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
def test_no_cell_runs_whatever_delimiter_the_spreadsheet_of_a_country_takes(text, delimiter):
    """Excel opens a CSV file by the list separator of the system, in much of Europe a semicolon."""
    line = csv_line((1, f"Task: {text}", text, -5))

    pieces = re.split(f"[{delimiter}\r\n]", line) if delimiter != "," else next(csv.reader([line], strict=True))
    run = [piece for piece in pieces if piece.strip('" \t').startswith(OPERATORS) and piece != "-5"]
    assert run == []


def test_numbers_stay_numbers_and_other_text_stays_as_it_is():
    assert formula_safe(-10) == -10
    for text in ("a = b", "a; b - c", "one\ntwo", "x, -5"):
        assert formula_safe(text) == text


def test_the_statement_leads_from_opening_to_closing(browser):
    words = " ".join(
        BeautifulSoup(browser.get("/transactions/statement/2026-11").data, "html.parser").get_text(" ").split()
    )

    for part in ("Opening balance 1,000", "Came in 0", "Went out −260", "Closing balance 740"):
        assert part in words


def test_the_statement_names_the_money_of_payments_and_its_sums(browser, store):
    october, november = (rows(browser.get(f"/transactions/statement/2026-{month}")) for month in (10, 11))

    assert "Bought 1,000 credits for $10.00 Purchase $10.00 +1,000 1,000" in october[1]
    assert [row for row in october if row.startswith("Paid")] == ["Paid $10.00"]
    assert "−$2.50 −250 740" in november[2]
    assert [row for row in november if row.startswith("Paid")] == ["Paid back −$2.50"]


def test_the_money_of_a_second_refund_is_what_that_one_gave_back(browser, store):
    record(store, RefundFact("pi_1", "re_2", 100, "succeeded"))

    november = rows(browser.get("/transactions/statement/2026-11"))

    assert ["−$2.50" in row for row in november[2:4]] == [True, False]
    assert ["−$1.00" in row for row in november[2:4]] == [False, True]
    assert "Paid back −$3.50" in november


def test_a_purchase_whose_payment_nobody_knows_says_so(browser, store):
    store.client.delete_item(TableName=f"{store.prefix}Payments", Key={"payment_id": {"S": "pi_1"}})

    page = browser.get("/transactions/statement/2026-10")

    assert "Purchase – +1,000 1,000" in rows(page)[1]
    assert "what was paid is not known here" in page.text


def test_the_statement_has_the_whole_words_of_a_task_and_its_sums_once_at_the_end(browser, store):
    words = "Compare " + "the quotes in the attachment, and " * 140 + "say which is best."
    done = tasks.submit(store, store.accounts.get(EMAIL), words, now=NOW)
    queue.cancel(store, store.accounts.get(EMAIL), done.task.task_id, now=NOW)

    page = BeautifulSoup(browser.get("/transactions/statement/2026-11").data, "html.parser")

    shown = [cell.text for cell in page.select("tbody .what bdi")]
    assert f"Task: {words}" in shown
    assert any(text.startswith("Refund, ") and text.endswith(f": {words}") for text in shown)
    assert page.select("tfoot") == []
    assert [row.th.text for row in page.select("tbody")[-1].select("tr")][-3:] == [
        "Came in",
        "Went out",
        "Closing balance",
    ]


@pytest.mark.parametrize(("name", "most"), [("MAX_IN_FULL", 1), ("MAX_WORDS", 90)])
def test_a_statement_of_very_many_words_has_the_first_of_each_task(browser, store, monkeypatch, name, most):
    tasks.submit(store, store.accounts.get(EMAIL), "Compare the quotes. " * 20, now=NOW)
    monkeypatch.setattr(f"app.services.statements.{name}", most)

    page = browser.get("/transactions/statement/2026-11")

    assert "each is shown by its first words" in page.text
    assert any("Compare the quotes. Compare the quotes. Compare the quotes.…" in row for row in rows(page))
    assert "Closing balance 730" in rows(page)[-1]


def test_the_statement_of_a_quiet_month_keeps_the_balance(browser):
    quiet = " ".join(
        BeautifulSoup(browser.get("/transactions/statement/2026-12").data, "html.parser").get_text(" ").split()
    )
    before = " ".join(
        BeautifulSoup(browser.get("/transactions/statement/2026-09").data, "html.parser").get_text(" ").split()
    )

    assert "Opening balance 740" in quiet
    assert "Closing balance 740" in quiet
    assert "Closing balance 0" in before


def test_a_receipt_is_stripes_and_only_the_payers(browser, store):
    record(store, paid(7, email="bob@example.com"))

    assert browser.get("/transactions/receipt/pi_1").location == "https://pay.stripe.com/receipts/pi_1"
    assert browser.get("/transactions/receipt/pi_7").status_code == 404
    assert browser.get("/transactions/receipt/pi_none").status_code == 404


def test_a_program_reads_a_statement_and_a_receipt_as_the_pages_show_them(app, browser, store):
    record(store, paid(7, email="bob@example.com"))
    program = Program(app)

    told = program.get("/api/statement", month="2026-11").get_json()

    assert {name: told[name] for name in ("month", "opening", "credits_in", "credits_out", "closing")} == {
        "month": "2026-11",
        "opening": 1000,
        "credits_in": 0,
        "credits_out": 260,
        "closing": 740,
    }
    assert [(row["amount"], row["money_cents"], row["currency"]) for row in told["transactions"]] == [
        (-10, None, None),
        (-250, -250, "usd"),
    ]
    assert "=HYPERLINK(1)" in told["transactions"][0]["words"]
    assert [program.get("/api/statement", **asked).status_code for asked in ({}, {"month": "2026-13"})] == [400, 400]
    assert program.get("/api/receipts/pi_1").location == "https://pay.stripe.com/receipts/pi_1"
    assert [program.get(f"/api/receipts/{name}").status_code for name in ("pi_7", "pi_none")] == [404, 404]


def test_a_negative_balance_is_explained(browser, store):
    for number in range(70):
        tasks.submit(store, store.accounts.get(EMAIL), f"Task {number}", now=datetime.now(UTC))
    record(store, RefundFact("pi_1", "re_2", 750, "succeeded"))

    note = BeautifulSoup(browser.get("/transactions").data, "html.parser").select_one(".note.bad").text

    assert "refunded or disputed" in note
