"""Every verb of an operator, on the pages, over JSON and at the command line, writes its audit row where it acts."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from app.cli.every import GROUPS
from app.data.base import Base
from app.data.codec import decode_item
from app.data.transaction import Writes
from app.domain.accounts import BROWSER, Session
from app.domain.api_keys import TASKS_READ, wishes
from app.domain.audit import ACTS
from app.domain.by_hand import COMMAND_LINE
from app.domain.clock import utcnow
from app.domain.payments import RefundFact
from app.services import api_keys, codes, customers, payments, queue, sales, tasks
from tests.routes.browser import Browser, Program
from tests.services.test_payments import paid, record
from tests.support import all_mails, make_account, make_operators, session_event

OP, TWO, ADA = "op@example.com", "two@example.com", "ada@example.com"
numbers = itertools.count(1)

# What changes nothing of anybody's by itself, each with the reason.
NO_VERBS = {
    "admin.preview": "shows what was typed; nothing is kept",
    "admin.customer_by_address": "an address of before: leads on to the account's",
    "api_admin.upload": "stores a file that nobody sees until the completion, which has its row",
}
COMMANDS_WITHOUT = {
    "tasks list", "tasks pending", "tasks show", "accounts list", "accounts show",  # they read
    "codes list", "keys list",  # the same
    "books liability",
    "books attend",  # runs what was asked for on a page, which has its row
    "tasks figures", "books figures", "mail send",  # figures, promised mails
    "books check", "books reconcile", "books catch-up",  # what they find, and facts of Stripe
    "accounts erase",  # ends what the owner's own deletion began
    "accounts adopt",  # its rows are the adoption's own: tests/adoption/
    "restore check", "backup list", "backup verify",  # they read
    "restore run",  # makes tables that nobody is served from
    "backup export",  # it reads, and writes elsewhere than in the store
    "tables migrate",  # how rows are stored, not what they say; no person is in it
    "demo seed",  # refuses production; its operator has a row: tests/services/test_operators.py
}  # fmt: skip


class World:
    """Something to act upon for each verb."""

    def __init__(self, store):
        self.store = store
        make_operators(store, OP, TWO)
        make_account(store, ADA, credits=1000)

    @property
    def ada(self) -> str:
        return self.store.accounts.get(ADA).account_id

    def task(self, claimed: bool = False) -> str:
        account, now = self.store.accounts.get(ADA), utcnow()
        task = tasks.submit(self.store, account, f"Task {next(numbers)}", now=now).task
        if claimed:
            queue.claim(self.store, OP, task.task_id, now=now)
        return task.task_id

    def key(self) -> tuple[str, str]:
        account, now = self.store.accounts.get(ADA), utcnow()
        wanted = wishes(f"Key {next(numbers)}", [TASKS_READ], None, None, operator=False)
        key, _ = api_keys.make(self.store, account, wanted, Session("a" * 32, BROWSER, now, now), now=now)
        return account.account_id, key.key_id

    def payment(self) -> str:
        number = next(numbers)
        record(self.store, paid(number, parked_reason="odd", credits=0, total_cents=5000, email=None))
        return f"pi_{number}"

    def sale(self, decided: bool = False) -> str:
        number = next(numbers)
        told = session_event(f"reader{number}@example.com", metadata={}, payment_link=f"plink_{number}")
        payments.handle_event(self.store, told, livemode=False, now=utcnow())
        if decided:
            sales.name_for_good(self.store, f"plink_{number}", reason="Because", actor=OP, limit=5000, now=utcnow())
        return f"plink_{number}"

    def code(self) -> str:
        name, now = f"CODE-{next(numbers)}", utcnow()
        terms = {"credits_each": 1, "max_uses": 1, "expires_at": now + timedelta(days=1), "limit": 10**6}
        codes.create(self.store, name, created_by=OP, now=now, **terms)
        return name

    def proposal(self) -> str:
        how = {"idempotency_key": f"r-{next(numbers)}", "limit": 0, "now": utcnow()}
        return customers.adjust(self.store, TWO, ADA, 5, "Gift", **how).done.adjustment_id

    def failed_mail(self) -> str:
        mail = self.store.mails.find(self.mail())
        self.store.updates.mails.mark_unsent(mail, "MessageRejected", utcnow(), give_up=True)
        return mail.mail_id

    def mail(self) -> str:
        record(self.store, paid(next(numbers), email=ADA))
        record(self.store, RefundFact(f"pi_{next(numbers) - 1}", "re_1", 5, "succeeded"))
        return next(mail.mail_id for mail in all_mails(self.store) if mail.to == ADA)


@contextmanager
def writes_of(monkeypatch):
    """The tables of each transaction that leaves for the store, those of single writes, and the audit rows."""
    transactions: list[list[str]] = []
    singles: list[str] = []
    rows: list[dict[str, Any]] = []
    commit, update = Writes.commit, Base._update_row

    def noted(writes):
        kinds = [(kind, each[kind]["TableName"]) for each in writes._operations for kind in each]
        transactions.append([table.rpartition("_")[2] for kind, table in kinds if kind != "ConditionCheck"])
        puts = [each["Put"] for each in writes._operations if "Put" in each]
        rows.extend(decode_item(put["Item"]) for put in puts if put["TableName"].endswith("_Audit"))
        return commit(writes)

    def single(base, table, key, **write):
        singles.append(table)
        return update(base, table, key, **write)

    with monkeypatch.context() as patched:
        patched.setattr(Writes, "commit", noted)
        patched.setattr(Base, "_update_row", single)
        yield transactions, singles, rows


def without_its_row(store, monkeypatch, verbs, actors=(OP,)) -> list[str]:
    """Those of the verbs that write anything without an audit row beside it, or write none at all, or name another."""
    wrong = []
    for name, (prepare, act) in verbs.items():
        target = prepare() if prepare else None
        with writes_of(monkeypatch) as (transactions, singles, rows):
            act(target)
        told = [tables for tables in transactions if tables]
        if not told or not all("Audit" in tables and len(tables) > 1 for tables in told):
            wrong.append(f"{name}: {told or 'no transaction'}")
        if odd := [
            row for row in rows if row["actor"] not in actors or not row["subject"] or row["action"] not in ACTS
        ]:
            wrong.append(f"{name}: {odd}")
        if left := set(singles) - {"RateLimits", "Status"}:
            wrong.append(f"{name}: written alone: {sorted(left)}")
    return wrong


@pytest.mark.threat(89)
def test_every_verb_of_the_pages_writes_its_row_in_its_transaction(app, store, monkeypatch):
    world, op = World(store), Browser(app)
    op.sign_in(OP)

    def post(path, **data):
        def act(target):
            filled = {name: value(target) if callable(value) else value for name, value in data.items()}
            answer = op.post(path.format(target), filled)
            assert answer.status_code == 303, (path, answer.status_code, answer.text[:500])

        return act

    why, claimed = {"reason": "Because"}, lambda: world.task(claimed=True)
    ada = lambda: world.ada  # noqa: E731
    decided = lambda: world.sale(decided=True)  # noqa: E731
    code = {"credits": "1", "max_uses": "1", "expires_at": "2099-01-01"}
    verbs = {
        "admin.claim_next": (world.task, post("/admin/claim-next")),
        "admin.bulk": (world.task, post("/admin/bulk", act="claim", task_id=lambda target: target)),
        "admin.claim": (world.task, post("/admin/tasks/{}/claim")),
        "admin.renew": (claimed, post("/admin/tasks/{}/renew")),
        "admin.release": (claimed, post("/admin/tasks/{}/release")),
        "admin.complete": (claimed, post("/admin/tasks/{}/complete", result="Done.")),
        "admin.reject": (claimed, post("/admin/tasks/{}/reject", **why)),
        "admin.adjust": (
            ada,
            post("/admin/customers/{}/adjust", amount="5", request_id="w-1", confirmed="yes", **why),
        ),
        "admin.disable": (ada, post("/admin/customers/{}/disable", **why)),
        "admin.enable": (ada, post("/admin/customers/{}/enable", **why)),
        "admin.end_sessions": (ada, post("/admin/customers/{}/end-sessions")),
        "admin.revoke_key": (lambda: world.key(), post("/admin/customers/{0[0]}/keys/{0[1]}/revoke", **why)),
        "admin.approve": (world.proposal, post("/admin/corrections/{}/approve")),
        "admin.decline": (world.proposal, post("/admin/corrections/{}/decline")),
        "admin.resend": (world.mail, post("/admin/mails/resend", mail_id=lambda target: target)),
        "admin.resend_failed": (world.failed_mail, post("/admin/mails/resend-failed", since="2020-01-01")),
        "admin_finance.ask_check": (None, post("/admin/finance/checks", kind="check")),
        "admin_finance.credit": (
            world.payment,
            post("/admin/finance/payments/{}/credit", email="buyer@example.com", credits="5", **why),
        ),
        "admin_finance.refund": (world.payment, post("/admin/finance/payments/{}/refund", **why)),
        "admin_finance.dismiss": (world.payment, post("/admin/finance/payments/{}/dismiss", **why)),
        "admin_finance.name_sale": (world.sale, post("/admin/finance/sales/{}/name", **why)),
        "admin_finance.never_sale": (world.sale, post("/admin/finance/sales/{}/never", **why)),
        "admin_finance.release_sale": (decided, post("/admin/finance/sales/{}/release")),
        "admin_finance.undo_sale": (decided, post("/admin/finance/sales/{}/undo", **why)),
        "admin_finance.list_codes": (None, post("/admin/finance/codes", code="NEW-CODE", **code)),
        "admin_finance.disable_code": (world.code, post("/admin/finance/codes/{}/disable", **why)),
    }

    assert verbs_of(app, "operator") == verbs.keys()
    assert without_its_row(store, monkeypatch, verbs) == []


@pytest.mark.threat(89)
def test_every_verb_of_the_operators_api_writes_its_row_in_its_transaction(app, store, monkeypatch):
    world, op = World(store), Program(app, OP)

    def post(path, **body):
        def act(target):
            answer = op.post(f"/api/admin{path}".format(target), json=body)
            assert answer.status_code < 300, (path, answer.text)

        return act

    claimed = lambda: world.task(claimed=True)  # noqa: E731
    gift = {"amount": 5, "reason": "Gift"}
    verbs = {
        "api_admin.claim_next": (world.task, post("/tasks/claim")),
        "api_admin.claim": (world.task, post("/tasks/{}/claim")),
        "api_admin.renew": (claimed, post("/tasks/{}/renew")),
        "api_admin.release": (claimed, post("/tasks/{}/release")),
        "api_admin.complete": (claimed, post("/tasks/{}/complete", result="Done.")),
        "api_admin.reject": (claimed, post("/tasks/{}/reject", reason="No")),
        "api_admin.adjust": (lambda: world.ada, post("/customers/{}/adjust", **gift)),
        "api_admin.adjust_by_address": (lambda: ADA, post("/users/{}/adjust", **gift)),
    }

    assert verbs_of(app, "operator_token") == verbs.keys()
    assert without_its_row(store, monkeypatch, verbs) == []


@pytest.mark.threat(89)
def test_every_command_that_changes_something_writes_its_row_in_its_transaction(app, store, monkeypatch):
    runner = app.test_cli_runner()
    world = World(store)

    def run(*words, status=0):
        def act(target):
            result = runner.invoke(args=[word.format(target) for word in words])
            assert result.exit_code == status, (words, result.output)

        return act

    def claimed() -> str:
        task_id = world.task()
        queue.claim(store, "command line", task_id, now=utcnow())
        return task_id

    def differing() -> str:
        monkeypatch.setattr("app.cli.books.time.sleep", lambda seconds: None)
        account = make_account(store, "differs@example.com", credits=5)
        store.updates.accounts.change(account, credits_balance=6)
        return account.email

    def operator() -> str:
        make_operators(store, "three@example.com")
        return "three@example.com"

    def customer() -> str:
        return make_account(store, f"c{next(numbers)}@example.com").email

    def signed_in() -> str:
        session = Session("a" * 32, BROWSER, utcnow(), utcnow())
        return make_account(store, f"s{next(numbers)}@example.com", sessions={session.key: session}).email

    why = ("--reason", "Because")
    verbs = {
        "tasks claim": (world.task, run("tasks", "claim", "{}")),
        "tasks release": (claimed, run("tasks", "release", "{}")),
        "tasks complete": (claimed, run("tasks", "complete", "{}", "--result", "Done")),
        "tasks reject": (claimed, run("tasks", "reject", "{}", *why)),
        "accounts adjust": (None, run("accounts", "adjust", ADA, "5", *why)),
        "codes create": (
            None,
            run("codes", "create", "FAIR-2099", "--credits", "5", "--uses", "3", "--expires", "2099-01-01"),
        ),
        "codes disable": (world.code, run("codes", "disable", "{}", *why)),
        "mail resend": (world.failed_mail, run("mail", "resend", "--since", "2020-01-01")),
        "operators grant": (customer, run("operators", "grant", "{}")),
        "operators revoke": (operator, run("operators", "revoke", "{}")),
        "books check --freeze": (differing, run("books", "check", "--freeze", status=1)),
        "books restate": (lambda: "differs@example.com", run("books", "restate", "{}", *why)),
        "books unfreeze": (lambda: "differs@example.com", run("books", "unfreeze", "{}", *why)),
        "keys revoke": (lambda: world.key()[1], run("keys", "revoke", "{}", *why)),
        "restore settle": (signed_in, run("restore", "settle", "--imported")),
        "accounts reset-second-factor": (customer, run("accounts", "reset-second-factor", "{}", "--as", "me")),
    }

    every = {f"{group.name} {name}" for group in GROUPS for name in group.commands}
    assert every - COMMANDS_WITHOUT == {name.removesuffix(" --freeze") for name in verbs} - COMMANDS_WITHOUT
    by = {COMMAND_LINE, "books check", "me"}
    assert without_its_row(store, monkeypatch, verbs, by) == []
    store.updates.accounts.change(store.accounts.get("differs@example.com"), credits_balance=5)


def verbs_of(app, access: str) -> set[str]:
    changing = {"POST", "PUT", "PATCH", "DELETE"}
    return {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if rule.methods & changing and getattr(app.view_functions[rule.endpoint], "access", "") == access
    } - NO_VERBS.keys()
