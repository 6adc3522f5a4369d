"""Finance's list of payments: found by month, state, address and id, summed by currency, the same in a file."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from bs4 import BeautifulSoup

from app.data.migrations import MONTHS_OF_PAYMENTS, Migrations
from app.domain.money import plain_amount
from app.domain.payment_list import STATES, state_of
from app.domain.payments import DisputeFact, PaymentRecord, RefundFact
from app.services import payment_list, payments
from tests.services.test_payments import paid, record
from tests.support import NOW, calls_made, make_account, session_event

OPERATOR = "op@example.com"
PAGE, FILE = "/admin/finance/payments", "/admin/finance/payments.csv"


@pytest.fixture
def operator(app, store, browser):
    Migrations(store.client, store.prefix).note_new(NOW)
    make_account(store, OPERATOR, role="admin")
    browser.enter(OPERATOR)
    return browser


@pytest.fixture
def world(store):
    """A payment in each state, of November 2026, and one of December."""
    for number in (1, 2, 3, 4):
        record(store, paid(number, email=f"buyer{number}@example.com"))
    record(store, RefundFact("pi_2", "re_2", 250, "succeeded"), RefundFact("pi_3", "re_3", 1000, "succeeded"))
    record(store, DisputeFact("pi_4", "dp_4", 1000, "needs_response"))
    odd = {"parked_reason": "paid in jpy, not in usd", "currency": "jpy", "total_cents": 1500, "credits": 0}
    record(store, paid(5, email="buyer5@example.com", **odd))
    book = session_event("reader@example.com", session="cs_6", metadata={}, payment_link="plink_book", cents=2900)
    payments.handle_event(store, book, livemode=False, now=NOW)
    failed = session_event("buyer7@example.com", session="cs_7", type="checkout.session.async_payment_failed")
    payments.handle_event(store, failed, livemode=False, now=NOW)
    later = session_event("buyer8@example.com", session="cs_8")
    payments.handle_event(store, later, livemode=False, now=NOW + timedelta(days=31))


def ask(operator, path, *, reader="", **query):
    return operator.get(f"{path}?{urlencode(query | {'for': reader})}")


def listed(response) -> list[tuple[str, str]]:
    rows = BeautifulSoup(response.data, "html.parser").select("#payments tbody:not(.totals) tr")
    return sorted((row.code.text, row.select_one(".state .tag").text) for row in rows)


def totals(response) -> list[str]:
    row = BeautifulSoup(response.data, "html.parser").select_one(".totals tr")
    return [" ".join(cell.get_text(" ").split()) for cell in row.select("th, td")]


def lines(response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(response.text)))


NOVEMBER = [
    ("pi_1", "credited"),
    ("pi_2", "partly refunded"),
    ("pi_3", "refunded"),
    ("pi_4", "disputed"),
    ("pi_5", "parked"),
    ("pi_cs_6", "not ours"),
    ("pi_cs_7", "failed"),
]


def test_a_month_is_listed_with_the_state_of_each_and_sums_in_each_currency(operator, world):
    page = operator.get(f"{PAGE}?month=2026-11")

    assert listed(page) == NOVEMBER
    assert totals(page) == ["7 payments", "1,500 JPY $69.00", "$12.50", "$10.00", "1,750"]
    assert "$2.50 of $10.00" in page.text
    assert listed(operator.get(f"{PAGE}?month=2026-12")) == [("pi_cs_8", "credited")]
    assert "No payment matches" in operator.get(f"{PAGE}?month=2025-01").text


@pytest.mark.parametrize(("name", "state"), NOVEMBER)
def test_each_state_can_be_asked_for(operator, world, name, state):
    assert listed(ask(operator, PAGE, month="2026-11", state=state)) == [(name, state)]


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("buyer3", ["pi_3"]),
        ("BUYER4@EXAMPLE", ["pi_4"]),
        ("cs_5", ["pi_5"]),
        ("re_2", ["pi_2"]),
        ("dp_", ["pi_4"]),
        ("plink_book", ["pi_cs_6"]),
        ("nobody", []),
    ],
)
def test_any_part_of_an_address_or_an_id_is_found_within_a_month(operator, world, q, found):
    assert [name for name, _ in listed(ask(operator, PAGE, month="2026-11", q=q))] == found


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("pi_2", ["pi_2"]),
        ("cs_2", ["pi_2"]),
        ("re_2", ["pi_2"]),
        (" re_3 ", ["pi_3"]),
        ("dp_4", ["pi_4"]),
        ("du_4", ["pi_4"]),
        ("re_unknown", []),
        ("dp_", []),
        ("buyer2@example.com", ["pi_2"]),
        (" Buyer2@Example.com ", ["pi_2"]),
        ("cus_2", ["pi_2"]),
        ("cus_unknown", []),
        ("nobody@example.com", []),
    ],
)
def test_without_a_month_a_whole_address_or_id_is_found_whenever_it_was(operator, store, world, q, found):
    account = store.accounts.get("buyer2@example.com")
    store.updates.accounts.change(account, stripe_customer_id="cus_2")
    record(store, DisputeFact("pi_4", "du_4", 500, "warning_needs_response"))

    answer = ask(operator, PAGE, q=q)

    assert [name for name, _ in listed(answer)] == found
    assert answer.status_code == (200 if found or "@" in q else 422)


def test_every_payment_of_a_customer_is_found_by_the_id_at_stripe_newest_first(operator, store, world):
    """Also those that came from another address, which no account stands for."""
    account = store.accounts.get("buyer2@example.com")
    store.updates.accounts.change(account, stripe_customer_id="cus_2")
    stranger = session_event(
        "else@example.com", session="cs_9", customer="cus_2", payment_link="plink_book", metadata={}
    )
    payments.handle_event(store, stranger, livemode=False, now=NOW + timedelta(days=1))

    listing = ask(operator, PAGE, q="cus_2")

    rows = BeautifulSoup(listing.data, "html.parser").select("#payments tbody:not(.totals) tr code")
    assert [row.text for row in rows] == ["pi_cs_9", "pi_2"]
    assert [line["payment"] for line in lines(ask(operator, FILE, q="re_2", reader="program"))] == ["pi_2"]


def test_an_id_that_is_not_kept_says_which_one_is(operator, world):
    answer = ask(operator, PAGE, q="ch_3PqXyz1")

    assert answer.status_code == 422
    assert "The ids of charges are not kept" in answer.text


def test_what_can_only_be_looked_for_within_a_month_says_so(operator, world):
    answer = ask(operator, PAGE, q="buyer")

    assert answer.status_code == 422
    assert "Without a month" in answer.text


def test_the_file_has_what_the_page_has_and_runs_nothing(operator, store, world):
    record(store, paid(9, email="=cmd@example.com"))

    rows = lines(ask(operator, FILE, month="2026-11", reader="program"))
    by_id = {row["payment"]: row for row in rows}

    assert sorted((row["payment"], row["state"]) for row in rows) == sorted([*NOVEMBER, ("pi_9", "credited")])
    assert (by_id["pi_2"]["paid"], by_id["pi_2"]["currency"], by_id["pi_2"]["refunded"]) == ("10.00", "USD", "2.50 USD")
    assert (by_id["pi_5"]["paid"], by_id["pi_5"]["currency"]) == ("1500", "JPY")
    assert by_id["pi_9"]["payer"] == "'=cmd@example.com"
    assert len(lines(ask(operator, FILE, month="2026-11", state="disputed", reader="program"))) == 1


def test_pages_hold_each_payment_once(operator, store):
    for number in range(7):
        record(store, paid(number))
    seen, path = [], f"{PAGE}?month=2026-11&limit=3"
    while path:
        page = operator.get(path)
        seen += listed(page)
        assert totals(page)[0] == "7 payments in all"
        older = BeautifulSoup(page.data, "html.parser").find("a", string="Older")
        path = f"{older['href']}&limit=3" if older else None

    assert sorted(seen) == [(f"pi_{number}", "credited") for number in range(7)]


def test_a_page_asks_the_store_a_bounded_number_of_times(operator, store, world, monkeypatch):
    with calls_made(monkeypatch) as few:
        ask(operator, PAGE, month="2026-11")
    for number in range(20, 50):
        record(store, paid(number))

    with calls_made(monkeypatch) as many:
        ask(operator, PAGE, month="2026-11")

    assert len(many) <= len(few) + 1


def test_a_month_with_too_many_to_add_up_says_so(operator, store, world, monkeypatch):
    monkeypatch.setattr(payment_list, "MOST_SUMMED", 3)

    page = ask(operator, PAGE, month="2026-11")

    assert "more than 3 payments" in " ".join(page.text.split())
    assert len(listed(page)) == 7


def test_payments_of_before_get_their_month_by_the_migration(operator, store, world):
    key = {"payment_id": {"S": "pi_1"}}
    store.client.update_item(TableName="ImpacterAGI_Payments", Key=key, UpdateExpression="REMOVE created_month")
    status = {"TableName": "ImpacterAGI_Status", "Key": {"name": {"S": "migration#5"}}}
    store.client.delete_item(**status)
    assert "This list is not whole" in ask(operator, PAGE, month="2026-11").text
    assert ask(operator, FILE, month="2026-11").status_code == 422

    Migrations(store.client, store.prefix).run(MONTHS_OF_PAYMENTS, NOW)

    page = ask(operator, PAGE, month="2026-11")
    assert ("pi_1", "credited") in listed(page)
    assert "not whole" not in page.text


@pytest.mark.parametrize("query", ["month=2026-13", "month=x", "state=odd", "limit=x"])
def test_a_filter_that_makes_no_sense_is_refused(operator, query):
    assert operator.get(f"{PAGE}?{query}").status_code == 400


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"resolution": "dismissed", "parked_reason": "odd", "state": "paid"}, "dismissed"),
        ({"resolution": "refunded", "parked_reason": "odd", "state": "paid"}, "refunded"),
        ({"resolution": "refunding", "parked_reason": "odd", "state": "paid"}, "parked"),
        ({"state": "unpaid"}, "waiting"),
    ],
)
def test_states_of_what_was_not_credited(fields, state):
    assert state_of(PaymentRecord("pi_1", **fields)) == state
    assert state in STATES


def test_amounts_for_programs_have_the_decimals_of_their_currency():
    found = [
        plain_amount(1234567, "usd"),
        plain_amount(5, "eur"),
        plain_amount(1500, "jpy"),
        plain_amount(-1234, "kwd"),
    ]

    assert found == ["12345.67", "0.05", "1500", "-1.234"]
