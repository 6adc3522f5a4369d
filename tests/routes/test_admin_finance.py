"""Operators' finance pages."""

from __future__ import annotations

from datetime import timedelta

import pytest
from bs4 import BeautifulSoup

from app.data.codec import encode_item
from app.data.migrations import Migrations
from app.domain.clock import utcnow
from app.domain.heartbeats import BooksCheck, CatchUp, Finding
from app.domain.payments import DisputeFact, RefundFact
from app.services import checks, payments, tasks
from tests.services.test_payments import paid, record
from tests.support import NOW, PASSWORD, make_account, session_event

OPERATOR = "op@example.com"


def signed_in(app, email):
    app.config["WTF_CSRF_ENABLED"] = False
    client = app.test_client()
    client.post("/login", data={"email": email, "password": PASSWORD})
    return client


@pytest.fixture
def operator(app, store, second_factor_passed):
    make_account(store, OPERATOR, role="admin")
    return second_factor_passed(signed_in(app, OPERATOR), OPERATOR)


@pytest.fixture
def parked_payment(store) -> str:
    record(store, paid(parked_reason="paid in idr, not in usd", currency="idr", credits=0, email=None))
    return "/admin/finance/payments/pi_1"


def words(response) -> str:
    return " ".join(BeautifulSoup(response.data, "html.parser").get_text(" ").split())


def test_a_parked_payment_is_listed_with_its_reason(operator, parked_payment):
    assert "Paid in idr, not in usd" in words(operator.get("/admin/finance"))
    assert "Parked" in words(operator.get(parked_payment))


def test_crediting_a_parked_payment_makes_the_account_and_closes_it(operator, parked_payment, store):
    form = {"email": "buyer@example.com", "credits": "650", "reason": "paid the same in rupiah"}

    response = operator.post(f"{parked_payment}/credit", data=form, follow_redirects=True)

    assert "650 credits granted" in words(response)
    assert store.accounts.get("buyer@example.com").credits_balance == 650
    assert "Nothing is parked" in words(operator.get("/admin/finance"))
    assert operator.post(f"{parked_payment}/credit", data=form).status_code == 409


@pytest.mark.parametrize(
    ("field", "value"), [("email", "nobody"), ("credits", "0"), ("credits", "many"), ("reason", " ")]
)
def test_a_decision_is_refused_beside_the_field_and_keeps_what_was_typed(operator, parked_payment, store, field, value):
    form = {"email": "buyer@example.com", "credits": "650", "reason": "paid in rupiah"} | {field: value}

    response = operator.post(f"{parked_payment}/credit", data=form)

    page = BeautifulSoup(response.data, "html.parser")
    assert response.status_code == 422
    assert page.select_one(f"#{field}-error")
    assert page.select_one("#reason")["value"] == form["reason"]
    assert store.accounts.find("buyer@example.com") is None


def test_refunding_a_parked_payment_goes_through_stripe(operator, parked_payment, store, stripe):
    operator.post(f"{parked_payment}/refund", data={"reason": "wrong currency"})

    assert stripe.refunds == [("pi_1", None, "parked-refund-pi_1")]
    assert store.payments.find("pi_1").resolution == "refunded"


def test_dismissing_needs_a_reason(operator, parked_payment, store):
    assert operator.post(f"{parked_payment}/dismiss", data={"reason": ""}).status_code == 422
    assert store.payments.find("pi_1").is_parked

    operator.post(f"{parked_payment}/dismiss", data={"reason": "a test by hand"})
    page = BeautifulSoup(operator.get(parked_payment).data, "html.parser")
    assert page.select("main li span[title]")[-1].text == "dismissed a payment"
    assert store.payments.find("pi_1").resolution == "dismissed"


def test_the_unspent_part_of_a_payment_is_told(operator, store):
    record(store, paid(2))

    assert "1,000 credits, worth $10.00" in words(operator.get("/admin/finance/payments/pi_2"))


def test_every_amount_is_shown_in_its_currency(operator, store):
    record(
        store,
        paid(3, parked_reason="paid in jpy, not in usd", currency="jpy", total_cents=1500, credits=0),
        paid(2),
        RefundFact("pi_2", "re_1", 300, "succeeded", currency="usd"),
        DisputeFact("pi_2", "dp_1", 86, "lost", currency="eur"),
    )

    page = words(operator.get("/admin/finance/payments/pi_2"))
    assert "Paid $10.00 by" in page
    assert "Refunded $3.00 of $10.00 Held by disputes 0.86 EUR" in page
    assert "Stripe has not told what this payment was in EUR" in page
    assert "re_1 succeeded $3.00" in page
    assert "dp_1 lost 0.86 EUR" in page
    assert "1,500 JPY" in words(operator.get("/admin/finance"))
    assert "Paid 1,500 JPY by" in words(operator.get("/admin/finance/payments/pi_3"))
    assert "Refunded nothing Held by disputes nothing" in words(operator.get("/admin/finance/payments/pi_3"))


@pytest.mark.parametrize(
    ("currency", "cents", "shown"), [("eur", 1000, "10.00 EUR"), ("jpy", 1500, "1,500 JPY"), ("kwd", 1234, "1.234 KWD")]
)
def test_what_is_sold_beside_the_app_is_shown_with_the_decimals_of_its_currency(
    operator, store, currency, cents, shown
):
    told = session_event("reader@example.com", metadata={}, payment_link="plink_book", cents=cents, currency=currency)
    payments.handle_event(store, told, livemode=False, now=NOW)

    assert shown in words(operator.get("/admin/finance/sales/plink_book"))


def test_a_refund_of_a_part_says_of_how_much(operator, store):
    record(store, paid(2), RefundFact("pi_2", "re_1", 250, "succeeded"))
    record(store, paid(3), RefundFact("pi_3", "re_2", 1000, "succeeded"))

    assert "Refunded $2.50 of $10.00" in words(operator.get("/admin/finance/payments/pi_2"))
    assert "Refunded all of $10.00" in words(operator.get("/admin/finance/payments/pi_3"))


def figures_are_whole(store):
    Migrations(store.client, store.prefix).note_new(NOW)


def tiles(operator) -> dict[str, str]:
    found = BeautifulSoup(operator.get("/admin/finance").data, "html.parser").select(".tiles > div")
    return {tile.dt.text: " ".join(dd.text for dd in tile.select("dd")) for tile in found}


def test_the_tiles_say_what_is_owed_and_what_moved_this_month(operator, store):
    figures_are_whole(store)
    now = utcnow()
    payments.handle_event(store, session_event("ada@example.com", payment_intent="pi_2"), livemode=False, now=now)
    tasks.submit(store, store.accounts.get("ada@example.com"), "A task", now=now)
    payments.record_fact(store, RefundFact("pi_2", "re_1", 250, "succeeded"), now=now)
    payments.record_fact(store, DisputeFact("pi_2", "dp_1", 100, "needs_response"), now=now)
    payments.record_fact(store, DisputeFact("pi_2", "dp_1", 100, "won"), now=now)

    assert tiles(operator) == {
        "Owed to customers now": "740",
        "Sold this month": "1,000",
        "Spent this month": "10",
        "Refunded this month": "250",
        "Disputed this month": "100 100 won back",
    }


def test_figures_that_are_not_whole_say_so_and_make_no_file(operator, store):
    assert "These figures are not whole." in words(operator.get("/admin/finance"))
    assert operator.get("/admin/finance/months.csv").status_code == 422

    figures_are_whole(store)
    assert "not whole" not in words(operator.get("/admin/finance"))


def test_the_roll_forward_is_a_table_and_a_file_that_add_up(operator, store):
    figures_are_whole(store)
    account = make_account(store, credits=100)
    for months in range(3):
        account = tasks.submit(store, account, f"Task {months}", now=NOW + timedelta(days=31 * months)).account

    page = BeautifulSoup(operator.get("/admin/finance").data, "html.parser").select_one("table")
    lines = operator.get("/admin/finance/months.csv?for=program").text.splitlines()

    first = [cell.text for cell in page.select("tr")[-1].select("th, td")]
    assert first == ["November 2026", "0", "–", "−10", "–", "–", "+100", "90"]
    assert lines[0] == "month,opening,sold,spent,given_back,refunded,disputed,promotional,by_hand,closing"
    assert lines[1:4] == [
        "2026-11,0,0,-10,0,0,0,100,0,90",
        "2026-12,90,0,-10,0,0,0,0,0,80",
        "2027-01,80,0,-10,0,0,0,0,0,70",
    ]


def test_a_payment_whose_ledger_is_wrong_says_so_in_words(operator, store, log_watch):
    record(store, paid(2))
    row = store.client.get_item(TableName="ImpacterAGI_Transactions", Key={"transaction_id": {"S": "purchase#cs_2"}})
    wrong = row["Item"] | encode_item({"balance_after": 7})
    store.client.put_item(TableName="ImpacterAGI_Transactions", Item=wrong)

    response = operator.get("/admin/finance/payments/pi_2")

    assert response.status_code == 200
    assert "does not add up" in words(response)
    assert "not known" in words(response)
    assert "Bought 1,000 credits for $10.00" in words(response)
    store.client.put_item(TableName="ImpacterAGI_Transactions", Item=row["Item"])


def checks_of(response):
    return BeautifulSoup(response.data, "html.parser").select_one("#checks")


def test_an_operator_asks_for_a_check_and_the_page_follows_it(operator, store):
    assert "It has not run yet." in checks_of(operator.get("/admin/finance")).text

    operator.post("/admin/finance/checks", data={"kind": "check"})

    section = checks_of(operator.get("/admin/finance"))
    assert "asked for by op@example.com" in section.text
    assert section["data-hx-trigger"] == "every 2s"
    assert all(button.has_attr("disabled") for button in section.select("button"))
    assert operator.post("/admin/finance/checks", data={"kind": "reconcile"}).status_code == 409
    assert [row.action for row in store.audit.page_of("books", limit=5).items] == ["books.check"]

    run = store.updates.checks.take(store.checks.find(), utcnow())
    store.updates.checks.note_step(run, "ledger rows", 12_300, utcnow())
    fragment = operator.get("/admin/finance/checks", headers={"HX-Request": "true"})
    assert "at the ledger rows, 12,300 so far" in " ".join(fragment.text.split())
    assert fragment.text.lstrip().startswith("<section")
    assert operator.get("/admin/finance/checks").status_code == 303

    store.updates.checks.end(store.checks.find(), utcnow())
    ended = checks_of(operator.get("/admin/finance"))
    assert not ended.has_attr("data-hx-trigger")
    assert not any(button.has_attr("disabled") for button in ended.select("button"))


def test_what_was_found_is_listed(operator, store):
    findings = (Finding("ada@example.com", "balance and sum of the ledger", "5 expected, 6 found"),)
    store.updates.heartbeats.note_books(NOW, 3, findings)
    store.updates.heartbeats.note_reconciliation(BooksCheck(NOW, 0, (), 1200))

    page = " ".join(checks_of(operator.get("/admin/finance")).text.split())

    assert "3 differences, 22 November 2026" in page or "3 differences, 22 Nov" in page
    assert "balance and sum of the ledger: 5 expected, 6 found" in page
    assert "The first 1 of 3." in page
    assert "Nothing was missing, of 1,200 facts at Stripe" in page


@pytest.mark.parametrize(
    ("asked", "taken", "said"),
    [(120, None, "Nobody has begun it."), (600, 600, "It stopped half-way.")],
)
def test_a_check_that_nobody_runs_says_so(operator, store, asked, taken, said):
    now = utcnow()
    checks.ask(store, "check", actor=OPERATOR, now=now - timedelta(seconds=asked))
    if taken:
        store.updates.checks.take(store.checks.find(), now - timedelta(seconds=taken))

    section = checks_of(operator.get("/admin/finance"))

    assert said in section.text
    assert not any(button.has_attr("disabled") for button in section.select("button"))


def look(ended_at, *troubles, missed=()):
    return CatchUp(ended_at, ended_at - timedelta(hours=3), 12, len(missed), tuple(missed), troubles)


def test_what_keeps_stripe_from_reaching_us_is_said_until_a_look_finds_it_mended(operator, store):
    now = utcnow()
    store.updates.heartbeats.note_catch_up(look(now, "The endpoint we_1 is disabled at Stripe."))
    assert "The endpoint we_1 is disabled at Stripe." in words(operator.get("/admin/finance"))

    store.updates.heartbeats.note_catch_up(look(now))
    page = words(operator.get("/admin/finance"))

    assert "we_1" not in page
    assert "12 things that Stripe told since" in page
    assert "nothing had been missed" in page


def test_what_had_not_reached_us_is_said_and_stays_after_a_look_that_finds_nothing(operator, store):
    found = Finding("pi_1", "checkout.session.completed", "+1,000 credits")
    store.updates.heartbeats.note_catch_up(look(utcnow(), missed=[found]))
    assert "1 thing had not reached us and was recorded" in words(operator.get("/admin/finance"))

    store.updates.heartbeats.note_catch_up(look(utcnow()))
    page = words(operator.get("/admin/finance"))

    assert "nothing had been missed" in page
    assert "checkout.session.completed: +1,000 credits" in page


@pytest.mark.parametrize(("hours_ago", "said"), [(2, False), (4, True)])
def test_an_hourly_look_that_stopped_coming_is_said(operator, store, hours_ago, said):
    store.updates.heartbeats.note_catch_up(look(utcnow() - timedelta(hours=hours_ago)))

    assert ("Nobody looks every hour." in words(operator.get("/admin/finance"))) is said


def test_checkouts_that_nobody_paid_are_no_alarm(operator, store):
    for _ in range(3):
        store.updates.heartbeats.note_checkout(NOW)

    assert "does not reach us" not in words(operator.get("/admin/finance"))


def test_an_operator_makes_and_ends_a_code(operator, store):
    form = {"code": "spring-2099", "credits": "50", "max_uses": "10", "expires_at": "2099-01-01", "note": "fair"}

    assert "SPRING-2099" in words(operator.post("/admin/finance/codes", data=form, follow_redirects=True))
    assert store.codes.find("SPRING-2099").created_by == OPERATOR
    operator.post("/admin/finance/codes/SPRING-2099/disable", data={"reason": "leaked"})

    assert store.codes.find("SPRING-2099").disabled
    assert operator.post("/admin/finance/codes", data=form).status_code == 422


@pytest.fixture
def colleague(app, store):
    make_account(store, "two@example.com", role="admin")
    return signed_in(app, "two@example.com")


@pytest.mark.threat(105)
def test_a_large_code_and_a_generous_credit_wait_under_proposals(operator, colleague, parked_payment, store):
    form = {"code": "spring-2099", "credits": "50", "max_uses": "101", "expires_at": "2099-01-01", "request_id": "c"}
    wish = {"email": "buyer@example.com", "credits": "6000", "reason": "paid in rupiah", "request_id": "p"}

    for _ in range(2):  # pressed twice
        assert "Proposed" in words(operator.post("/admin/finance/codes", data=form, follow_redirects=True))
        assert "Proposed" in words(operator.post(f"{parked_payment}/credit", data=wish, follow_redirects=True))
    shown = words(operator.get("/admin/corrections"))

    assert (store.codes.find("SPRING-2099"), store.accounts.find("buyer@example.com")) == (None, None)
    for part in ("SPRING-2099", "+5,050", "50 credits for each of 101 accounts", "buyer@example.com", "pi_1", "+6,000"):
        assert part in shown
    waiting = store.proposals.list_waiting(limit=9).items
    assert len(waiting) == 2
    for found in waiting:
        assert operator.post(f"/admin/corrections/{found.adjustment_id}/approve").status_code == 403
        assert colleague.post(f"/admin/corrections/{found.adjustment_id}/approve").status_code == 303
    assert store.codes.find("SPRING-2099").approved_by == "two@example.com"
    assert store.accounts.get("buyer@example.com").credits_balance == 6000
    assert "SPRING-2099 can be redeemed now" in words(colleague.get("/admin/corrections"))


@pytest.mark.parametrize("key", ["", " ", "naïve", "k" * 256], ids=["empty", "blank", "not ASCII", "long"])
def test_money_by_hand_is_not_made_under_a_key_that_cannot_be_used(operator, parked_payment, books_sold, store, key):
    code = {"code": "spring-2099", "credits": "50", "max_uses": "1", "expires_at": "2099-01-01", "request_id": key}
    wish = {"email": "buyer@example.com", "credits": "60", "reason": "paid in rupiah", "request_id": key}

    for path, form in (("/admin/finance/codes", code), (f"{parked_payment}/credit", wish)):
        refused = operator.post(path, data=form)
        page = BeautifulSoup(refused.data, "html.parser").select_one(f"form[action='{path}']")
        fresh = page.select_one("[name=request_id]")["value"]
        assert (refused.status_code, "Nothing was done: send it again." in words(refused)) == (422, True)
        assert page.select_one("[name=credits]")["value"] == form["credits"]
        assert fresh not in ("", key)
        assert (store.codes.find("SPRING-2099"), store.accounts.find("buyer@example.com")) == (None, None)
    named = operator.post(f"{SALE}/name", data={"reason": "credits since May", "request_id": key})

    assert (named.status_code, "Nothing was done" in words(named)) == (400, True)
    assert list(store.ledger.every()) == []
    assert operator.post("/admin/finance/codes", data=code | {"request_id": "one"}).status_code == 303


def test_a_payment_whose_refund_is_at_stripe_can_only_be_finished(operator, parked_payment, store, stripe):
    stripe.down = True
    assert operator.post(f"{parked_payment}/refund", data={"reason": "wrong currency"}).status_code == 503

    page = BeautifulSoup(operator.get(parked_payment).data, "html.parser")
    refused = operator.post(f"{parked_payment}/dismiss", data={"reason": "tired of it"})

    assert [form["action"].rpartition("/")[2] for form in page.select(".decide form")] == ["refund"]
    assert refused.status_code == 409
    assert "is at Stripe" in words(refused)
    stripe.down = False
    operator.post(f"{parked_payment}/refund", data={"reason": "wrong currency"})
    assert store.payments.find("pi_1").resolution == "refunded"


def test_a_customer_sees_nothing_of_it(app, store, parked_payment):
    make_account(store)
    customer = signed_in(app, "ada@example.com")

    for path in ("/admin/finance", parked_payment, "/admin/finance/codes"):
        response = customer.get(path)
        assert response.status_code == 403
        assert "rupiah" not in response.text
        assert "pi_1" not in response.text
    assert customer.post(f"{parked_payment}/dismiss", data={"reason": "x"}).status_code == 403
    assert store.payments.find("pi_1").is_parked


SALE = "/admin/finance/sales/plink_book"


@pytest.fixture
def books_sold(store) -> list[str]:
    for number in range(3):
        fields = {"metadata": {}, "payment_link": "plink_book"}
        told = session_event(f"reader{number}@example.com", session=f"cs_{number}", **fields)
        payments.handle_event(store, told, livemode=False, now=NOW)
    return [f"/admin/finance/payments/pi_cs_{number}" for number in range(3)]


@pytest.mark.threat(103)
def test_books_stand_together_and_hide_no_parked_payment(operator, parked_payment, books_sold):
    page = BeautifulSoup(operator.get("/admin/finance").data, "html.parser")

    parked, not_ours = page.select("section ul.list")
    assert "Paid in idr" in parked.text
    assert len(parked.select("li")) == len(not_ours.select("li")) == 1
    assert "3 payments" in not_ours.text
    assert "reader1@example.com" in words(operator.get(SALE))
    assert "not ours, sold by plink_book" in words(operator.get(books_sold[0]))


@pytest.mark.threat(103)
def test_naming_a_link_for_good_credits_what_waits(operator, books_sold, store):
    assert operator.post(f"{SALE}/name", data={"reason": " "}).status_code == 422

    answer = operator.post(f"{SALE}/name", data={"reason": "credits since May"}, follow_redirects=True)

    assert "3 payments credited with 3,000 credits" in words(answer)
    assert store.accounts.get("reader2@example.com").credits_balance == 1000
    assert operator.post(f"{SALE}/name", data={"reason": "again"}).status_code == 409
    assert "0 payments credited" in words(operator.post(f"{SALE}/release", follow_redirects=True))


@pytest.mark.threat(105)
def test_a_name_for_more_than_one_makes_alone_is_approved_under_proposals(operator, colleague, books_sold, store):
    for number in range(3, 8):
        fields = {"metadata": {}, "payment_link": "plink_book"}
        told = session_event(f"reader{number}@example.com", session=f"cs_{number}", **fields)
        payments.handle_event(store, told, livemode=False, now=NOW)
    form = BeautifulSoup(operator.get(SALE).data, "html.parser").select_one("form[action$='/name']")
    request = {"reason": "credits since May", "request_id": form.select_one("[name=request_id]")["value"]}

    answers = [operator.post(f"{SALE}/name", data=request, follow_redirects=True) for _ in range(2)]

    assert all("it waits under Proposals" in words(answer) for answer in answers)
    assert list(store.ledger.every()) == []
    assert "Another operator must approve it" in words(operator.get("/admin/corrections"))
    (card,) = BeautifulSoup(colleague.get("/admin/corrections").data, "html.parser").select("ul.stack > li")
    assert (card.h2.a["href"], card.b.text) == (SALE, "+8,000")
    approve = card.select_one("form[action$='/approve']")["action"]
    assert "plink_book sells credits" in words(colleague.post(approve, follow_redirects=True))
    assert store.accounts.get("reader7@example.com").credits_balance == 1000
    # Sent again it is told the same.
    assert "plink_book sells credits" in words(colleague.post(approve, follow_redirects=True))
    assert sum(entry.amount for entry in store.ledger.every()) == 8000
    assert "Decided it sells credits, op@example.com and " in words(colleague.get(SALE))


@pytest.mark.threat(103)
def test_never_ours_is_quiet_until_it_is_taken_back(operator, books_sold, store):
    operator.post(f"{SALE}/never", data={"reason": "books"})
    section = BeautifulSoup(operator.get("/admin/finance").data, "html.parser").select("section")[-1]
    assert "No sale waits for a word" in section.text
    assert "never ours" in section.details.text
    assert operator.post(f"{SALE}/release", follow_redirects=True).status_code == 200

    operator.post(f"{SALE}/undo", data={"reason": "a mistake"})

    assert "3 payments" in words(operator.get("/admin/finance"))
    assert list(store.ledger.every()) == []


def test_one_of_them_is_adopted_alone(operator, books_sold, store):
    form = {"email": "reader0@example.com", "credits": "500", "reason": "bought the wrong thing"}

    operator.post(f"{books_sold[0]}/credit", data=form)

    assert store.accounts.get("reader0@example.com").credits_balance == 500
    assert "2 payments" in words(operator.get("/admin/finance"))


def test_a_sale_that_is_not_known_is_not_found(operator):
    assert operator.get(SALE).status_code == 404
    assert operator.post(f"{SALE}/release", follow_redirects=True).status_code == 404
