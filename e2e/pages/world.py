"""A product in use: customers in every situation, an operator with work, payments that went well and that did not.

`PAGES` says where to look at it: each page that a browser can open, by the endpoint that serves it. A page that is
missing there fails test_look.py, so that no page is ever left unlooked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import httpx
from bs4 import BeautifulSoup

from app.data import Store
from app.data.migrations import Migrations
from app.domain import webhooks
from app.domain.accounts import BROWSER, AccountKey, Session
from app.domain.api_keys import TASKS_READ, TASKS_WRITE, wishes
from app.domain.clock import utcnow
from app.domain.doctor import not_asked, right, unknown, wrong
from app.domain.errors import PaymentsUnavailable
from app.domain.tasks import Brief, Task
from app.domain.webhooks import TYPES, Endpoint, Try
from app.services import (
    addresses,
    api_keys,
    books,
    codes,
    customers,
    doctor,
    drafts,
    figures,
    parked,
    payments,
    queue,
    sales,
    second_factor,
    tasks,
)
from app.services.links import CONFIRM, RESET, SET_PASSWORD
from app.services.sealing import Sealer
from scripts.local.states.made import PASSWORD
from scripts.local.states.makers import COLLEAGUE, States
from tests.support import event, session_event

ADA, NEWCOMER, BROKE, OWING, CAREFUL = (
    AccountKey(f"{name}@example.com") for name in ("ada", "new", "broke", "owing", "careful")
)
OPERATOR = "op@example.com"  # beside a COLLEAGUE
NOBODY = ""

LONG_WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2
LABELS = {  # of the how-manieth task: an ordinary one, the longest that there can be, and text that is no markup
    0: ("quotes-2026-11", ("Quotes", "Office")),
    28: ("A1" * 50, tuple(f"{number}{'Wort' * 9}" for number in range(10))),
    29: ("<i>letter</i> 17", ("عاجل", "Office")),
}
RESULT = """# The three quotes

The **second quote** is the best value, although it is not the cheapest:

| quote | price | delivery | warranty |
| --- | ---: | --- | --- |
| Alder & Sons | $4,180 | 3 weeks | 1 year |
| Birch | $4,420 | 5 days | 5 years |
| Cedar Works | $3,990 | 8 weeks | none |

1. Birch delivers before your deadline of 12 December.
2. Its warranty covers the bearings, which fail first.

> Ask Birch to confirm the delivery date in writing.

`total = price + 0.08 * price`
"""
DRAFT = "Summarise the minutes of the last three meetings, one paragraph each."
TEXTS = (
    "Compare the three quotes in the attachment and say which one is best value, with reasons.",
    "Summarise the quarterly report in five points for the board.",
    "Translate the letter to the landlord into German, formal address.",
    "Draft a reply to the complaint of 14 November that offers a replacement.",
    "List every supplier in the spreadsheet that has no contract date.",
)


FINDINGS = [
    replace(right("The tables are there."), name="tables"),
    replace(
        wrong(
            "Stripe sends no test events to http://127.0.0.1:8000/api/stripe/webhook: no endpoint of that address is "
            "registered in test mode, so STRIPE_WEBHOOK_SECRET is none of this mode.",
            "stripe webhook_endpoints create -d url=http://127.0.0.1:8000/api/stripe/webhook "
            "-d 'enabled_events[]=checkout.session.completed' -d 'enabled_events[]=charge.dispute.funds_reinstated'",
        ),
        name="webhook endpoint",
    ),
    replace(unknown("SES does not tell (AccessDeniedException).", "give the role ses:GetAccount"), name="mail quota"),
    replace(not_asked("In development nothing runs by the clock."), name="scheduled commands"),
]


class Visit(NamedTuple):
    """One page: `path` may name ids of the world in braces; `who` is the signed-in account, NOBODY for none."""

    endpoint: str
    name: str
    path: str
    who: str


PAGES = [
    Visit("home.index", "front page", "/", NOBODY),
    Visit("home.index", "front page, signed in", "/", ADA),
    Visit("design.show", "components", "/design", NOBODY),
    Visit("documents.docs", "API, for programs", "/docs", NOBODY),
    Visit("texts.contact", "contact", "/contact", NOBODY),
    Visit("texts.terms", "terms", "/terms", NOBODY),
    Visit("texts.privacy", "privacy", "/privacy", ADA),
    Visit("buy.returned", "guest, paid", "/buy/return?session_id=cs_guest", NOBODY),
    Visit("buy.returned", "guest, waiting", "/buy/return?session_id={guest_waiting}", NOBODY),
    Visit("buy.returned", "guest, session over", "/buy/return?session_id={guest_expired}", NOBODY),
    Visit("auth.login", "sign in", "/login", NOBODY),
    Visit("auth.login", "signed out", "/login?out=1", NOBODY),
    Visit("auth.signup", "sign up", "/signup", NOBODY),
    Visit("auth.forgot", "forgot", "/forgot", NOBODY),
    Visit("auth.open_reset", "reset", "{reset}", NOBODY),
    Visit("auth.reset", "reset, expired", "/reset", NOBODY),
    Visit("auth.open_set_password", "first password", "{set_password}", NOBODY),
    Visit("auth.set_password", "first password, expired", "/set-password", NOBODY),
    Visit("auth.open_confirm", "confirm, expired", "/confirm/x", NOBODY),
    Visit("auth.confirm", "confirm", "{confirm}", CAREFUL),
    Visit("address.agree", "another address", "{agree}", CAREFUL),
    Visit("address.open_agree", "another address, expired", "/address/agree/x", NOBODY),
    Visit("address.refuse", "another address, refused", "{refuse}", NOBODY),
    Visit("address.open_refuse", "another address, refused, expired", "/address/refuse/x", NOBODY),
    Visit("unsubscribe.one_kind", "no more of a mail", "{unsubscribe}", NOBODY),
    Visit("unsubscribe.one_kind", "no more of a mail, expired", "/unsubscribe/x", NOBODY),
    Visit("dashboard.show", "dashboard", "/dashboard", ADA),
    Visit("dashboard.show", "dashboard, older", "/dashboard?cursor={cursor}", ADA),
    Visit("dashboard.show", "dashboard, dates and order", "/dashboard?status=completed&sort=oldest", ADA),
    Visit("dashboard.show", "dashboard, no match", "/dashboard?q=nothing-has-this", ADA),
    Visit("dashboard.show", "dashboard, by a tag", "/dashboard?tag=office", ADA),
    Visit("dashboard.show", "dashboard, again", "/dashboard?again={completed}", ADA),
    Visit("dashboard.show", "dashboard, empty", "/dashboard", NEWCOMER),
    Visit("dashboard.show", "dashboard, short of credits", "/dashboard", BROKE),
    Visit("dashboard.show", "dashboard, owing", "/dashboard", OWING),
    Visit("tasks.show", "task, pending", "/tasks/{pending}", ADA),
    Visit("tasks.show", "task, in progress", "/tasks/{working}", ADA),
    Visit("tasks.show", "task, completed", "/tasks/{completed}", ADA),
    Visit("tasks.show", "task, rejected", "/tasks/{rejected}", ADA),
    Visit("tasks.show", "task, cancelled", "/tasks/{cancelled}", ADA),
    Visit("tasks.show", "task, redo", "/tasks/{redo}", ADA),
    Visit("tasks.batch", "several tasks", "/tasks/batch", ADA),
    Visit("unsent.show", "not sent yet", "/unsent", CAREFUL),
    Visit("unsent.show", "not sent yet, nothing", "/unsent", ADA),
    Visit("credits.show", "credits", "/credits", ADA),
    Visit("credits.show", "credits, owing", "/credits", OWING),
    Visit("credits.show", "credits, unconfirmed", "/credits", NEWCOMER),
    Visit("credits.show", "credits, with a draft", "/credits", BROKE),
    Visit("credits.returned", "added", "/credits/return?session_id=cs_first", ADA),
    Visit("credits.returned", "added, with a draft", "/credits/return?session_id=cs_of_careful", CAREFUL),
    Visit("credits.returned", "waiting", "/credits/return?session_id={waiting}", ADA),
    Visit("credits.returned", "failed", "/credits/return?session_id={failed}", ADA),
    Visit("credits.returned", "expired", "/credits/return?session_id={expired}", ADA),
    Visit("transactions.index", "transactions", "/transactions", ADA),
    Visit("transactions.index", "transactions, of a task", "/transactions?task={rejected}", ADA),
    Visit("transactions.index", "transactions, no match", "/transactions?type=reinstatement", ADA),
    Visit("transactions.index", "transactions, empty", "/transactions", NEWCOMER),
    Visit("transactions.index", "transactions, owing", "/transactions", OWING),
    Visit("transactions.statement", "statement", "/transactions/statement/{month}", ADA),
    Visit("account.show", "account", "/account", ADA),
    Visit("account.show", "account, unconfirmed", "/account", NEWCOMER),
    Visit("keys.show", "API keys", "/account/keys", ADA),
    Visit("keys.show", "API keys, none", "/account/keys", CAREFUL),
    Visit("keys.show", "API keys, unconfirmed", "/account/keys", NEWCOMER),
    Visit("webhooks.show", "webhooks", "/account/webhooks", ADA),
    Visit("webhooks.show", "webhooks, none", "/account/webhooks", CAREFUL),
    Visit("webhooks.show", "webhooks, unconfirmed", "/account/webhooks", NEWCOMER),
    Visit("webhooks.one", "webhook endpoint", "/account/webhooks/we_ada", ADA),
    Visit("webhooks.one", "webhook endpoint, paused", "/account/webhooks/we_paused", ADA),
    Visit("webhooks.delivery", "webhook delivery", "/account/webhooks/we_ada/deliveries/{delivery}", ADA),
    Visit("second_factor.show", "second factor", "/account/second-factor", ADA),
    Visit("second_factor.show", "second factor, set up", "/account/second-factor", OPERATOR),
    Visit("second_factor.show", "second factor, to be proven", "/account/second-factor", COLLEAGUE),
    Visit("second_factor.show", "second factor, unconfirmed", "/account/second-factor", NEWCOMER),
    Visit("second_factor.totp", "authenticator app", "/account/second-factor/totp/code", CAREFUL),
    Visit("admin.index", "queue", "/admin", OPERATOR),
    Visit("admin.index", "queue, in progress", "/admin?view=working", OPERATOR),
    Visit("admin.index", "queue, mine", "/admin?view=mine", OPERATOR),
    Visit("admin.index", "queue, no match", "/admin?q=nothing-has-this", OPERATOR),
    Visit("admin.task", "operator's task, pending", "/admin/tasks/{pending}", OPERATOR),
    Visit("admin.task", "operator's task, mine", "/admin/tasks/{working}", OPERATOR),
    Visit("admin.task", "operator's task, completed", "/admin/tasks/{completed}", OPERATOR),
    Visit("admin.task", "operator's task, rejected", "/admin/tasks/{rejected}", OPERATOR),
    Visit("admin.task", "operator's task, redo", "/admin/tasks/{redo}", OPERATOR),
    Visit("admin.list_customers", "customers", "/admin/customers", OPERATOR),
    Visit("admin.list_customers", "customers, none", "/admin/customers?q=zzz", OPERATOR),
    Visit("admin.list_customers", "customers, by an id", "/admin/customers?q={pending}", OPERATOR),
    Visit("admin.customer", "customer", "/admin/customers/{ada}", OPERATOR),
    Visit("admin.customer", "customer, the ledger alone", "/admin/customers/{ada}?kind=ledger", OPERATOR),
    Visit("admin.customer", "customer, disabled", "/admin/customers/{gone}", OPERATOR),
    Visit("admin.list_proposals", "proposals", "/admin/corrections", OPERATOR),
    Visit("admin.list_mails", "mails, failed", "/admin/mails", OPERATOR),
    Visit("admin.list_mails", "mails, due", "/admin/mails?view=due", OPERATOR),
    Visit("admin.choose_failed", "send mails again", "/admin/mails/resend-failed?until=2999-01-01", OPERATOR),
    Visit("admin.choose_failed", "send mails again, none", "/admin/mails/resend-failed?until=2020-01-02", OPERATOR),
    Visit("admin.audit", "audit log", "/admin/audit", OPERATOR),
    Visit("admin.audit", "audit log, no match", "/admin/audit?actor=nobody@example.com", OPERATOR),
    Visit("admin.overview", "overview", "/admin/overview", OPERATOR),
    Visit("admin.system", "system", "/admin/system", OPERATOR),
    Visit("admin_finance.index", "finance", "/admin/finance", OPERATOR),
    Visit("admin_finance.list_payments", "payments", "/admin/finance/payments", OPERATOR),
    Visit("admin_finance.list_payments", "payments, none", "/admin/finance/payments?state=dismissed", OPERATOR),
    Visit("admin_finance.payment", "payment", "/admin/finance/payments/pi_cs_first", OPERATOR),
    Visit("admin_finance.payment", "payment, refunded in part", "/admin/finance/payments/pi_cs_second", OPERATOR),
    Visit("admin_finance.payment", "payment, parked", "/admin/finance/payments/pi_cs_parked", OPERATOR),
    Visit("admin_finance.payment", "payment, refund at Stripe", "/admin/finance/payments/pi_cs_refunding", OPERATOR),
    Visit("admin_finance.payment", "payment, not ours", "/admin/finance/payments/pi_cs_book", OPERATOR),
    Visit("admin_finance.sale", "not ours", "/admin/finance/sales/plink_book", OPERATOR),
    Visit("admin_finance.sale", "not ours, decided", "/admin/finance/sales/plink_course", OPERATOR),
    Visit("admin_finance.list_codes", "codes", "/admin/finance/codes", OPERATOR),
]

NOT_PAGES = {
    "static": "files",
    "health.alive": "JSON for whoever replaces a process",
    "health.as_seen": "JSON for the doctor",
    "health.check": "JSON for a person or a monitor",
    "health.ready": "JSON for the load balancer",
    "metrics.show": "text for Prometheus",
    "wellknown.robots": "plain text",
    "wellknown.security": "plain text",
    "account.export": "a JSON download",
    "admin.audit_csv": "a CSV download",
    "admin_finance.months_csv": "a CSV download",
    "admin_finance.show_checks": "the fragment that the finance page polls",
    "admin_finance.payments_csv": "a CSV download",
    "transactions.export": "a CSV download",
    "transactions.statement_pdf": "a PDF download",
    "tasks.download": "a Markdown download",
    "tasks.file": "leads on to a file",
    "admin.task_file": "leads on to a file",
    "admin.customer_by_address": "leads on to the page with the account's id",
    "transactions.receipt": "leads on to Stripe",
    "credits.status": "the fragment that the return page polls",
    "buy.status": "the fragment that the guest's return page polls",
    "dashboard.live": "the fragment that the dashboard polls",
    "second_factor.ask": "reached with a password only: test_second_step_of_a_sign_in",
}


def endpoints_of_pages(app: Any) -> set[str]:
    """Every endpoint that answers GET, but for the JSON API."""
    rules = app.url_map.iter_rules()
    return {rule.endpoint for rule in rules if "GET" in rule.methods and not rule.rule.startswith("/api/")}


@dataclass
class World:
    """What `path` of a visit may name, and the cookie of each account."""

    names: Mapping[str, str]
    cookies: Mapping[str, dict[str, str]]

    def path(self, visit: Visit) -> str:
        return visit.path.format(**self.names)


def furnish(site: Any) -> World:
    store: Store = site.store
    now = utcnow()
    found = site.app.extensions["impacteragi"]
    states = States(found, site.stripe.control)
    _accounts(store, states, now)
    names = _tasks(site, now) | _payments(site, now)
    _operators_work(store, states, now)
    Migrations(store.client, store.prefix).note_new(now)  # as the set-up does with new tables
    for purpose, email in ((RESET, ADA), (SET_PASSWORD, ADA), (CONFIRM, CAREFUL)):
        names[purpose] = found.links.url(store.accounts.get(AccountKey(email)), purpose).removeprefix(site.url)
    names["ada"], names["gone"] = (
        store.accounts.get(AccountKey(email)).account_id for email in (ADA, "gone@example.com")
    )
    names["unsubscribe"] = found.links.unsubscribe_url(names["ada"], "receipt").removeprefix(site.url)
    change = addresses.ask(store, store.accounts.get(CAREFUL), "elsewhere@example.org", label="Firefox", now=now)
    for name, refusing in (("agree", False), ("refuse", True)):
        account = store.accounts.get(CAREFUL)
        names[name] = found.links.change_url(account, change.from_nonce, change.to, refuse=refusing).removeprefix(
            site.url
        )
    for name, days in (("Nightly report", None), (LONG_WORD[:60], 30)):
        wanted = wishes(name, [TASKS_READ, TASKS_WRITE], 500, days, operator=False)
        session = Session("a" * 32, BROWSER, now, now)
        key, _ = api_keys.make(store, store.accounts.get(ADA), wanted, session, now=now)
    api_keys.revoke(store, store.accounts.get(ADA), key.key_id, now=now)
    names["delivery"] = _webhooks(store, found.sealer, now)
    names["month"] = f"{now:%Y-%m}"
    names["cursor"] = store.tasks.page(ADA, limit=20).next_cursor or ""
    assert not books.check(store)
    figures.read_ledger(store, store.ledger.every(), now)
    store.updates.heartbeats.note_books(now, 0)
    doctor.keep(store, found.config, FINDINGS, every_seconds=300, now=now)
    cookies = {email: _session(site, email) for email in (ADA, NEWCOMER, BROKE, OWING, CAREFUL, OPERATOR, COLLEAGUE)}
    for operator in (COLLEAGUE, OPERATOR):
        _give_second_factor(store, found.sealer, operator, now)
    second_factor.begin_totp(store, found.sealer, store.accounts.get(CAREFUL))
    return World(names, cookies)


def _accounts(store: Store, states: States, now: datetime) -> None:
    def make(email: str, credits: int = 0, **attributes: Any) -> None:
        states.create(email, credits, now - timedelta(days=75), **attributes)

    make(ADA, 700, link_nonces={RESET: "r", SET_PASSWORD: "s"})
    make(NEWCOMER, confirmed_at=None)
    make(BROKE, 5)
    make(OWING, -400)
    make(CAREFUL, 1200, link_nonces={CONFIRM: "c"})
    make("gone@example.com", 30)
    make("a-very-long-address-of-somebody-whose-name-does-not-end@subdomain.example.com", 1_234_567)
    for email in (BROKE, CAREFUL):
        store.updates.accounts.change(store.accounts.get(AccountKey(email)), draft=DRAFT)
    unsent = (("description", DRAFT * 3), ("request_id", "unsent"))
    drafts.keep(store, store.accounts.get(CAREFUL), "/tasks", unsent, now=now)
    drafts.keep(store, store.accounts.get(CAREFUL), "/tasks/batch", (("lines", "One\nTwo"),), now=now)
    make(OPERATOR, role="admin")
    make(COLLEAGUE, role="admin")


def _payments(site: Any, now: datetime) -> dict[str, str]:
    """Paid, refunded in part, parked; and Checkout Sessions that wait, failed and expired, as Stripe knows them."""
    for email, session, cents in ((ADA, "cs_first", 5000), (ADA, "cs_second", 1000), (CAREFUL, "cs_of_careful", 1000)):
        site.webhook(session_event(email, session=session, cents=cents))
    for session in ("cs_parked", "cs_refunding"):
        site.webhook(session_event(None, session=session, cents=2500))
    site.webhook(session_event("guest@example.com", session="cs_guest"))
    for number, link in enumerate(("book", "book", "course")):
        fields: dict[str, Any] = {
            "metadata": {},
            "mode": "subscription",
            "payment_link": f"plink_{link}",
            "cents": 2900,
        }
        name = link if not number else f"{link}_{number}"
        site.webhook(session_event(f"reader{number}@example.com", session=f"cs_{name}", **fields))
    sales.never(site.store, "plink_course", reason="An online course.", actor=OPERATOR, now=now)
    pens: dict[str, Any] = {"metadata": {}, "payment_link": "plink_pens", "cents": 2900}
    told = session_event("reader3@example.com", session="cs_pens", **pens)
    payments.handle_event(site.store, told, livemode=False, now=now)  # as where something else is named
    sales.name_for_good(site.store, "plink_pens", reason="It sells credits.", actor=COLLEAGUE, limit=0, now=now)
    refund = {"id": "re_1", "object": "refund", "amount": 250, "status": "succeeded", "currency": "usd"}
    charge = {"id": "ch_1", "object": "charge", "payment_intent": "pi_cs_second", "currency": "usd"}
    amounts = {"amount": 1000, "amount_refunded": 250, "refunded": False, "livemode": False}
    listed = {"refunds": {"object": "list", "data": [refund | {"payment_intent": "pi_cs_second"}]}}
    site.webhook(event("refund.created", refund | {"payment_intent": "pi_cs_second", "charge": "ch_1"}))
    site.webhook(event("charge.refunded", charge | amounts | listed))
    return _sessions(site, now)


def _sessions(site: Any, now: datetime) -> dict[str, str]:
    from app.services import checkout

    deps = site.app.extensions["impacteragi"]
    made = {}
    for state in ("waiting", "failed", "expired"):
        address = checkout.open_session(
            site.store,
            deps.stripe,
            site.store.accounts.get(ADA),
            deps.config.packs[0],
            idempotency_key=f"look-{state}",
            app_url=site.url,
            now=now,
        ).url
        made[state] = address.rstrip("/").rpartition("/")[2].partition("?")[0].partition("#")[0]
    for state in ("guest_waiting", "guest_expired"):
        pack, browser = deps.config.packs[0], "a browser"
        address = checkout.open_guest_session(
            deps.stripe, pack, browser=browser, idempotency_key=state, app_url=site.url
        )
        made[state] = address.rstrip("/").rpartition("/")[2]
    site.stripe.control("expire", {"session": made["guest_expired"]})
    site.stripe.control("expire", {"session": made["expired"]})
    site.stripe.pay(made["failed"], method="bank")
    site.stripe.control("settle", {"session": made["failed"], "succeed": False})
    site.stripe.wait_until_idle()
    return made


def _tasks(site: Any, now: datetime) -> dict[str, str]:
    """More than a page of history, spread over a month, in every state."""
    store: Store = site.store
    made: list[Task] = []
    words = [*(TEXTS[number % len(TEXTS)] for number in range(28)), LONG_WORD, "<b>Translate</b> the letter"]
    for number, text in enumerate(words):
        at = now - timedelta(days=28 - number * 28 / len(words), minutes=number)
        brief = Brief(text, *LABELS.get(number, ()))
        made.append(tasks.submit(store, store.accounts.get(ADA), brief, now=at, idempotency_key=f"look-{number}").task)
    file = site.app.extensions["impacteragi"].files.put(made[0].task_id, "quotes.csv", b"quote,price\n" * 400)
    for task in made[:20]:
        at = task.created_at + timedelta(minutes=7)
        queue.claim(store, OPERATOR, task.task_id, now=at)
        files = [file] if task is made[0] else []
        queue.complete(store, OPERATOR, task.task_id, RESULT, now=at + timedelta(minutes=20), files=files)
    rejected, cancelled, working, lapsed = made[20:24]
    queue.claim(store, OPERATOR, rejected.task_id, now=now - timedelta(days=5))
    queue.reject(store, OPERATOR, rejected.task_id, "The attachment cannot be opened.", now=now - timedelta(days=5))
    queue.cancel(store, store.accounts.get(ADA), cancelled.task_id, now=now - timedelta(days=4))
    queue.claim(store, OPERATOR, working.task_id, now=now)
    queue.claim(store, COLLEAGUE, lapsed.task_id, now=now - timedelta(hours=3))
    note = "The table leaves out the shipping costs."
    redo = queue.request_redo(store, store.accounts.get(ADA), made[19].task_id, note, now=now)
    return {
        "completed": made[0].task_id,
        "rejected": rejected.task_id,
        "cancelled": cancelled.task_id,
        "working": working.task_id,
        "pending": made[-1].task_id,
        "redo": redo.task_id,
    }


class Silent:
    """Stripe takes the refund and does not answer."""

    def refund(self, *_: Any) -> dict[str, Any]:
        raise PaymentsUnavailable


def _operators_work(store: Store, states: States, now: datetime) -> None:
    def adjust(operator: str, amount: int, reason: str, number: int) -> None:
        request_id = f"look-{number}"
        customers.adjust(store, operator, CAREFUL, amount, reason, idempotency_key=request_id, limit=5000, now=now)

    adjust(OPERATOR, 50, "Two results came a day late.", 1)
    adjust(COLLEAGUE, 20_000, "Bought by bank transfer, invoice 2026-114.", 2)
    adjust(OPERATOR, 9_000, "Bought by bank transfer, invoice 2026-115.", 3)
    customers.disable(store, OPERATOR, AccountKey("gone@example.com"), "Asked for it by mail.", now=now)
    until = now + timedelta(days=30)
    terms: dict[str, Any] = {"credits_each": 100, "expires_at": until, "limit": 5000, "now": now}
    for name, uses, maker in (
        ("WELCOME-2026", 30, OPERATOR),
        ("CONFERENCE", 15, OPERATOR),
        ("SPRING-FAIR", 1000, COLLEAGUE),
    ):
        codes.create(store, name, max_uses=uses, created_by=maker, note="For the visitors of the fair", **terms)
    by: dict[str, Any] = {"actor": COLLEAGUE, "now": now}
    worth: dict[str, Any] = {"email": "buyer@example.com", "credits": 9000, "limit": 5000}
    parked.credit(store, "pi_cs_parked", reason="Paid twice by bank transfer besides", **worth, **by)
    with suppress(PaymentsUnavailable):
        parked.refund(store, Silent(), "pi_cs_refunding", reason="No account to credit", **by)
    codes.disable(store, "CONFERENCE", actor=OPERATOR, reason="The fair is over.", now=now)
    states.give_up_mail("low_balance", ADA, now + timedelta(hours=1), {"balance": 40, "threshold": 50})


def signed_in(url: str, email: str) -> list[dict[str, str]]:
    """The cookies of somebody who has signed in, as a browser takes them: of the session, and of the device."""
    with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
        page = BeautifulSoup(client.get("/login").text, "html5lib")
        token = page.select_one("input[name=csrf_token]")["value"]  # type: ignore[index]
        answer = client.post("/login", data={"csrf_token": token, "email": email, "password": PASSWORD})
        assert answer.status_code == 303, answer.status_code
        return [{"name": cookie.name, "value": cookie.value or "", "url": url} for cookie in client.cookies.jar]


def _session(site: Any, email: str) -> dict[str, str]:
    return next(cookie for cookie in signed_in(site.url, email) if cookie["name"].endswith("session"))


def _give_second_factor(store: Store, sealer: Any, email: str, now: datetime) -> None:
    """An authenticator app with four codes left; proven in the operator's session, not in the colleague's."""
    proven = now if email == OPERATOR else None
    live = store.accounts.get(AccountKey(email)).sessions.items()
    sessions = {key: replace(session, mfa_at=proven) for key, session in live}
    store.updates.accounts.change(  # type: ignore[call-arg] # what no page may set
        store.accounts.get(AccountKey(email)),
        totp=sealer.seal("JBSWY3DPEHPK3PXP"),
        recovery_codes=frozenset("abcd"),
        sessions=sessions,
    )


def _webhooks(store: Store, sealer: Sealer, now: datetime) -> str:
    """Two endpoints of Ada's, one of them paused, and an event that was answered; its id."""
    ada = store.accounts.get(ADA)
    about: dict[str, Any] = {
        "account_id": ada.account_id,
        "user_email": ada.email,
        "created_at": now,
        "secret": sealer.seal("whsec_"),
    }
    well = Endpoint("we_ada", url="https://example.com/hooks", types=TYPES, name=LONG_WORD[:60], **about)
    paused = Endpoint(
        "we_paused",
        url="https://example.com/" + "a" * 300,
        types=("task.completed",),
        paused_at=now,
        paused_by="failing",
        **about,
    )
    with store.transaction() as tx:
        for endpoint in (well, paused):
            tx.webhooks.add_endpoint(endpoint)
        named = {one.endpoint_id: " ".join(one.types) for one in (well, paused)}
        tx.accounts.change_settings(ada, still="webhooks", webhooks=named)
    event = webhooks.test_event(now)
    with store.transaction() as tx:
        tx.webhooks.promise(event, "we_ada")
    sent = webhooks.delivery_of(event, "we_ada")
    tries = (Try(now, 12, 503), Try(now, 9, error="The connection was refused."), Try(now, 10_000, 200))
    done = replace(
        sent,
        tries=tries,
        sent_at=now,
        attempts=3,
        headers={"webhook-id": event.event_id},
        answer="x" * 500,
        answer_headers={"Server": "nginx"},
    )
    store.updates.webhooks.note(done, due_at=None)
    return sent.delivery_id
