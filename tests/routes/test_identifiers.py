"""Each identifier that people choose, or that others give, in each address that carries it.

The links are those of the rendered pages, followed as they stand. tests/http does the same through the real server.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote, unquote

import pytest

from app.data.accounts import AccountReads
from app.domain import webhooks
from app.domain.accounts import normalise_email
from app.domain.clock import utcnow
from app.domain.webhooks import Endpoint
from app.services import codes, customers, payments, queue, sales, tasks
from tests.crawl import Answer, crawl
from tests.originals import put_account, put_task, put_transaction
from tests.routes.browser import Browser, Program, soup
from tests.support import all_mails, make_account, make_key, make_operators, post_webhook, session_event

pytestmark = pytest.mark.long

OPERATOR = "o'pera/tor+1&x=y?z%2f#!@example.com"
ADDRESSES = [
    "a/b@example.com",
    "a//b@example.com",
    "/a/./b/@example.com",
    "acc_1/adjust@example.com",
    "what?q=1&r=2#top@example.com",
    "100%2f%00+{~}|^`*$!'@example.com",
    "ada@bücher.example",
    "ada@пример.рф",
    "x" * 64 + "@" + ".".join(["y" * 58] * 3) + ".example",
]
TASK = "old task #1 ?&%2f+ü\N{SNOWMAN}"  # the original product gave ids of its own
FILE = 'Über 100% #1 & "so" +?;=\'.txt'
SEARCH = 'what? 100% #1 & "so" +;=\'ü'
NOT_IN_LINKS = {
    "static": "files",
    "auth.confirm": "mailed",
    "auth.open_set_password": "mailed",
    "auth.open_confirm": "mailed",
    "auth.open_reset": "mailed",
    "address.open_agree": "mailed",
    "address.open_refuse": "mailed",
    "unsubscribe.one_kind": "mailed",
    "admin.customer_by_address": "the addresses of before",
}


def getter(browser: Browser):
    def get(address: str) -> Answer:
        answer = browser.get(address)
        is_page = answer.status_code == 200 and answer.mimetype == "text/html"
        return Answer(answer.status_code, answer.headers.get("Location", ""), answer.text if is_page else "")

    return get


def signed_in(app, email: str) -> Browser:
    browser = Browser(app)
    browser.sign_in(email)
    return browser


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_as_it_was_given(address):
    assert normalise_email(address) == address


@pytest.mark.threat(111)
@pytest.mark.parametrize("address", ADDRESSES)
def test_every_operators_act_reaches_an_odd_address(app, store, address):
    make_account(store, OPERATOR, role="admin")
    make_account(store, "two@example.com", role="admin")
    account = make_account(store, address, credits=100)
    op, two = signed_in(app, OPERATOR), signed_in(app, "two@example.com")

    found = op.page(f"/admin/customers?q={quote(address)}").select_one("main table a")
    assert found.text == address
    page = op.page(found["href"])
    assert page.h1.text == address
    actions = {form["action"].rpartition("/")[2]: form["action"] for form in page.select("main form[method=post]")}
    adjust = {"amount": "5", "reason": "Goodwill", "request_id": "r-1"}
    preview = op.post(actions["adjust"], adjust)
    assert preview.status_code == 200
    confirm = soup(preview).select_one("main form[method=post]")["action"]
    assert op.post(confirm, adjust | {"confirmed": "yes"}).status_code == 303
    assert op.post(confirm, adjust | {"amount": "9000", "request_id": "r-2", "confirmed": "yes"}).status_code == 303
    waiting = two.page("/admin/corrections")
    assert two.page(waiting.select_one("main h2 a")["href"]).h1.text == address
    assert two.post(waiting.select_one("form[action$=approve]")["action"], {}).status_code == 303
    assert op.post(actions["end-sessions"], {}).status_code == 303
    assert op.post(actions["disable"], {"reason": "Asked for it"}).status_code == 303
    enable = op.page(found["href"]).select_one("form[action$=enable]")["action"]
    assert op.post(enable, {"reason": "Asked for it"}).status_code == 303

    assert store.accounts.get(address).credits_balance == 9105
    assert [row.subject for row in store.audit.page_of(address, limit=9).items] == [address] * 6
    log = op.page("/admin/audit")
    subjects = [a for a in log.select("#log td a") if a.text == address]
    assert len(subjects) == 6
    assert {a["href"] for a in subjects} == {f"/admin/customers/{account.account_id}"}


@pytest.mark.threat(111)
@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_of_before_lead_on_and_calls_of_before_say_so(app, store, address):
    make_account(store, OPERATOR, role="admin")
    account = make_account(store, address, credits=100)
    op, program = signed_in(app, OPERATOR), Program(app, OPERATOR)
    old, new = f"/admin/customers/{quote(address, safe='')}", f"/admin/customers/{account.account_id}"

    assert (op.get(old).status_code, op.get(old).headers["Location"]) == (308, new)
    for act in ("adjust", "disable", "enable", "end-sessions"):
        answer = op.post(f"{old}/{act}", {"reason": "x"})
        assert (answer.status_code, answer.headers["Location"]) == (308, f"{new}/{act}")
    assert op.get(f"/admin/customers/{quote('nobody/' + address[-100:], safe='')}").status_code == 404

    by_address = program.get(f"/api/admin/users/{quote(address, safe='')}")
    assert by_address.get_json()["email"] == address
    assert by_address.headers["Deprecation"].startswith("@17")
    assert by_address.headers["Link"] == f'</api{new}>; rel="successor-version"'
    done = program.post(
        f"/api/admin/users/{quote(address, safe='')}/adjust",
        json={"amount": 5, "reason": "x"},
        headers={"Idempotency-Key": "k-1"},
    )
    assert (done.status_code, done.headers["Link"]) == (201, f'</api{new}/adjust>; rel="successor-version"')
    again = program.post(f"/api{new}/adjust", json={"amount": 5, "reason": "x"}, headers={"Idempotency-Key": "k-1"})
    assert again.get_json() == done.get_json()
    assert "Deprecation" not in again.headers
    now = program.get(f"/api{new}").get_json()
    assert now == by_address.get_json() | {"credits": 105}
    assert program.get("/api/admin/customers", email=address).get_json() == {"customers": [now]}
    assert program.get("/api/admin/customers", email="nobody@example.com").get_json() == {"customers": []}
    for name in (address, account.account_id):
        shown = app.test_cli_runner().invoke(args=["accounts", "show", name, "--json"])
        assert f'"account_id": "{account.account_id}"' in shown.output


@pytest.mark.threat(111)
def test_every_link_of_every_page_opens_what_it_names(app, store):
    address = ADDRESSES[5]
    endpoints, broken, with_address = set(), [], []
    starts = furnish(app, store, address)
    for email, start in starts.items():
        found = crawl(getter(signed_in(app, email)), app.url_map, start)
        endpoints |= found.endpoints
        broken += found.lost
        for link, answer in found.answers.items():
            leads_on = answer.status in (302, 303) and not answer.location.startswith("/login")
            if answer.status != 200 and not leads_on:
                broken.append(f"{answer.status} {link}")
        with_address += [path for path in found.paths() if "@" in unquote(path)]

    with_parts = {
        (method, rule.endpoint)
        for rule in app.url_map.iter_rules()
        if "<" in rule.rule and not rule.rule.startswith("/api/") and rule.endpoint not in NOT_IN_LINKS
        for method in rule.methods & {"GET", "POST"}
    }
    assert broken == []
    assert with_address == []
    assert with_parts - endpoints == set(), "routes with a variable part that no page has led to"


def furnish_webhook(store, found, address, now):
    """An endpoint, and an event that it has taken."""
    account = store.accounts.get(address)
    endpoint = Endpoint(
        *("we_1", account.account_id, account.email, "https://example.com/hooks", ("task.completed",), now),
        found.sealer.seal(webhooks.new_secret()),
    )
    event = webhooks.test_event(now)
    with store.transaction() as tx:
        tx.webhooks.add_endpoint(endpoint)
        tx.accounts.change_settings(account, still="webhooks", webhooks={"we_1": "task.completed"})
        tx.webhooks.promise(event, "we_1")
    store.updates.webhooks.note(replace(webhooks.delivery_of(event, "we_1"), sent_at=now), due_at=None)
    paused = replace(endpoint, endpoint_id="we_2", url="https://example.com/more", paused_at=now, paused_by="owner")
    with store.transaction() as tx:
        account = store.accounts.get(address)
        tx.webhooks.add_endpoint(paused)
        named = {**account.webhooks, "we_2": "task.completed"}
        tx.accounts.change_settings(account, still="webhooks", webhooks=named)


def furnish(app, store, address: str) -> dict[str, list[str]]:
    """One of everything that has a page, with odd names; the pages to begin at, by who looks."""
    now, found = utcnow(), app.extensions["impacteragi"]
    found.files.create_bucket()
    make_account(store, OPERATOR, role="admin")
    make_account(store, address, credits=1000)
    post_webhook(app.test_client(), session_event(address, session="cs_first"))
    post_webhook(app.test_client(), session_event(None, session="cs_parked", payment_intent=None))
    for link in ("plink_book", "plink_pens"):  # sales that are not of credits: one to be decided, one named for good
        told = session_event(address, session=f"cs_{link}", payment_intent=f"pi_{link}", metadata={}, payment_link=link)
        payments.handle_event(store, told, livemode=False, now=now)
    sales.name_for_good(store, "plink_pens", reason="ours", actor=OPERATOR, limit=5000, now=now)
    sales.name_for_good(store, "plink_book", reason="ours", actor=OPERATOR, limit=0, now=now)  # proposed
    done, held, pending = [
        tasks.submit(store, store.accounts.get(address), f"{SEARCH} {number}", now=now).task for number in range(3)
    ]
    file = found.files.put(done.task_id, FILE, b"x")
    queue.claim(store, OPERATOR, done.task_id, now=now)
    queue.complete(store, OPERATOR, done.task_id, "Done", files=[file], now=now)
    queue.claim(store, OPERATOR, held.task_id, now=now)
    make_key(store, address)
    furnish_webhook(store, found, address, now)
    put_task(store, TASK, email=address)
    store.tasks.find(TASK)
    make_operators(store, OPERATOR, "two@example.com")
    for operator in (OPERATOR, "two@example.com"):
        customers.adjust(store, operator, address, 9000, "x", idempotency_key="r", limit=5000, now=now)
    shut = make_account(store, f"a{address}", disabled_at=now)
    until = now + timedelta(days=9)
    terms = {"credits_each": 5, "max_uses": 9, "expires_at": until, "limit": 5000}
    codes.create(store, "SPRING-2026", created_by=OPERATOR, now=now, **terms)
    (receipt,) = [mail for mail in all_mails(store) if mail.kind == "receipt"]
    store.updates.mails.mark_unsent(receipt, "MessageRejected", now, give_up=True)
    words, task = quote(SEARCH), quote(TASK, safe="")
    return {
        OPERATOR: [
            *("/admin", "/admin?view=mine", "/admin/customers", "/admin/corrections", "/admin/mails", "/admin/audit"),
            *("/admin/mails?view=due", "/admin/finance", "/admin/finance/codes", f"/admin/tasks/{task}"),
            *(f"/admin?q={words}", f"/admin/audit?actor={quote(OPERATOR)}&limit=1", "/admin/customers?q=a"),
            *(
                f"/admin/audit?subject={quote(address)}&limit=1",
                f"/admin/customers/{shut.account_id}",
                "/admin/mails?view=failed&limit=1",
            ),
            *("/admin/finance/sales/plink_book", "/admin/finance/sales/plink_pens"),
            *("/admin/finance/payments/cs_parked", f"/admin/tasks/{done.task_id}", f"/admin/tasks/{held.task_id}"),
        ],
        address: [
            *("/dashboard", f"/dashboard?q={words}", "/transactions", "/transactions?limit=1", "/account"),
            *(f"/tasks/{task}", f"/tasks/{done.task_id}", f"/tasks/{pending.task_id}", "/credits"),
            "/dashboard?limit=1",
        ],
    }


@pytest.mark.threat(111)
def test_a_new_account_is_reached_at_once_when_the_index_does_not_know_it_yet(app, store, monkeypatch):
    make_account(store, "op@example.com", role="admin")
    account = make_account(store)
    op = signed_in(app, "op@example.com")
    monkeypatch.setattr(AccountReads, "_email_in_index", lambda *_: None)  # an index lags, by some milliseconds or more

    assert op.page(f"/admin/customers/{account.account_id}").h1.text == "ada@example.com"
    assert op.get("/admin/customers/acc_made_up").status_code == 404


def test_an_id_never_leads_to_another_account_of_its_address(app, store):
    make_account(store, "op@example.com", role="admin")
    before = make_account(store)
    op = signed_in(app, "op@example.com")

    store.client.delete_item(TableName=f"{store.prefix}Users", Key={"email": {"S": before.email}})
    after = make_account(store)

    assert op.get(f"/admin/customers/{before.account_id}").status_code == 404
    assert op.post(f"/admin/customers/{before.account_id}/disable", {"reason": "x"}).status_code == 404
    assert op.page(f"/admin/customers/{after.account_id}").h1.text == before.email


@pytest.mark.threat(111)
def test_a_page_marker_may_name_what_a_person_chose(store):
    """The row of an opening carries the address, a task of the original an id of its own: neither need be ASCII."""
    address = ADDRESSES[6]
    put_account(store, address, balance=20)
    put_transaction(store, "txn-1", 10, "purchase", email=address)
    for task_id in (TASK, f"{TASK} again"):
        put_task(store, task_id, "completed", email=address)
    assert store.accounts.get(address).ledger_sequence == 1

    for read, name, wanted in (
        (store.ledger.page, "transaction_id", {f"opening#{address}", "txn-1"}),
        (store.tasks.page, "task_id", {TASK, f"{TASK} again"}),
    ):
        first = read(address, limit=1)
        second = read(address, limit=1, cursor=first.next_cursor)
        assert {getattr(row, name) for row in first.items + second.items} == wanted
