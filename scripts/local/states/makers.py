"""One maker for each state. All go through the services, so that the books agree whatever was made."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyotp

from app.domain.accounts import BROWSER, Account, AccountKey, Address, new_account_id
from app.domain.clock import utcnow
from app.domain.credits import CLAWBACK, PROMO, LedgerEntry, post
from app.domain.errors import BadCredentials
from app.domain.mails import Mail
from app.domain.tasks import CANCELLED, COMPLETED, IN_PROGRESS, OPEN_STATUSES, PENDING, REJECTED, TASK_COST, Task
from app.services import accounts, books, queue, second_factor, tasks
from app.services.links import CONFIRM, new_nonce

from .made import PASSWORD, CannotMake, Made

if TYPE_CHECKING:
    from app.web.deps import Deps

ACTOR = "local states"
COLLEAGUE = "colleague@example.com"  # holds what somebody else is to hold
RESULT = "# Summary\n\n- Revenue **up** 12 %\n- Costs down 3 %"
REFUSED = "MessageRejected: Email address is not verified."
STRIPE_SECONDS = 30.0
SIGN_INS = 10  # wrong ones, after which an account has to wait

Control = Callable[[str, dict[str, Any] | None], Any]  # the stand-in for Stripe: a path of its control API, and a body


class States:
    """Makes accounts in a state. `days` back in time is when it is made: what a clock that went on has made of it."""

    def __init__(self, found: Deps, control: Control) -> None:
        self._found = found
        self._store = found.store
        self._control = control

    # Accounts

    def account(self, *, email: str = "", credits: int = 100, days: float = 0, **attributes: Any) -> Made:
        """A confirmed customer whose credits one row of the ledger explains; below zero as after a bank's refund."""
        return self._made(self.create(email or _address("ada"), credits, _ago(days), **attributes), "/dashboard")

    def operator(self, *, email: str = "", days: float = 0) -> Made:
        """An operator without a second factor: sets one up before the first act."""
        return self._made(self._operator(email, _ago(days)), "/admin")

    def operator_with_code(self, *, email: str = "", days: float = 0) -> Made:
        """An operator with an authenticator app: `secret` is what it was given, `code` the next that is right."""
        account = self._operator(email, _ago(days))
        secret = self.give_authenticator(account)
        return self._made(account, "/admin", secret=secret, code=pyotp.TOTP(secret).now())

    def unconfirmed(self, *, email: str = "", days: float = 0) -> Made:
        """A customer whose address nobody has confirmed: the link that does it is `confirm`."""
        nonces = {CONFIRM: new_nonce()}
        account = self.create(email or _address("new"), 0, _ago(days), confirmed_at=None, link_nonces=nonces)
        return self._made(account, "/account", confirm=self._found.links.url(account, CONFIRM) or "")

    def frozen(self, *, email: str = "", credits: int = 100, days: float = 0) -> Made:
        """Spending has stopped, as when the books disagree. They agree all the same: only the reason is made up."""
        now = _ago(days)
        account = self.create(email or _address("frozen"), credits, now)
        why = books.Difference(account.email, "made for a trial", "nothing", "nothing", account.email)
        books.freeze(self._store, [why], now=now, actor=ACTOR)
        return self._made(account, "/dashboard")

    def owing(self, *, email: str = "", days: float = 0) -> Made:
        """A balance below zero: a payment at Stripe's stand-in, a task, and then the payment was refunded."""
        account = self.create(email or _address("owing"), 0, _ago(days))
        payment = self._pay(account.email)
        self._until(lambda: self._balance(account.email) > 0, "The payment")
        task = self._submit(account.email, "Summarise the report.", _ago(days))
        self._control("refunds", {"payment_intent": payment})
        self._until(lambda: self._balance(account.email) < 0, "The refund")
        return self._made(account, "/dashboard", tasks={PENDING: [task.task_id]}, payment=payment)

    def throttled(self, *, email: str = "", credits: int = 100, days: float = 0) -> Made:
        """Too many wrong passwords: the right one is refused as well, for a quarter of an hour."""
        account = self.create(email or _address("throttled"), credits, _ago(days))
        for _ in range(SIGN_INS):
            with suppress(BadCredentials), self._found.throttle.sign_in(account.email, _stranger()):
                raise BadCredentials
        return self._made(account, "/login")

    def clock_moved(self, *, email: str = "", days: float = 40) -> Made:
        """What a clock that went on by so many days has made of an account: an earlier month's statement, a result
        that is too old for a redo, a task that waits too long, a lease that ran out.
        """
        account = self.create(email or _address("clock"), 200, _ago(days))
        made = self.tasks(email=account.email, completed=1, pending=1, in_progress=1, days=days)
        month = f"{_ago(days):%Y-%m}"
        return self._made(account, f"/transactions/statement/{month}", tasks=made.tasks, month=month)

    # Tasks

    def tasks(
        self,
        *,
        email: str = "",
        credits: int = 100,
        pending: int = 0,
        in_progress: int = 0,
        completed: int = 0,
        rejected: int = 0,
        cancelled: int = 0,
        redo: int = 0,
        operator: str = COLLEAGUE,
        text: str = "",
        result: str = RESULT,
        days: float = 0,
    ) -> Made:
        """So many tasks in each status, of an account that is there or of a new one with `credits` beyond their cost.

        `redo` are completed ones of which a second try was asked for.
        """
        wanted = {
            PENDING: pending,
            IN_PROGRESS: in_progress,
            COMPLETED: completed + redo,
            REJECTED: rejected,
            CANCELLED: cancelled,
        }
        now, cost = _ago(days), TASK_COST * sum(wanted.values())
        account = self._store.accounts.find(AccountKey(email)) if email else None
        owner = (account or self.create(email or _address("ada"), credits + cost, now)).email
        made: dict[str, list[str]] = {}
        for status, count in wanted.items():
            words = [text or _text(status, number) for number in range(count)]
            made[status] = [self._task(owner, each, status, operator, result, now) for each in words]
        made["redo"] = [self._redo(owner, task_id, now) for task_id in made[COMPLETED][completed:]]
        first = next((ids[0] for ids in made.values() if ids), None)
        return self._made(self._store.accounts.get(owner), f"/tasks/{first}" if first else "/dashboard", tasks=made)

    def expired_lease(self, *, email: str = "", credits: int = 100, days: float = 0) -> Made:
        """A task whose operator has let the lease run out: another may claim it. `operator` had it."""
        now = _ago(days)
        owner = self.create(email or _address("ada"), credits + TASK_COST, now).email
        task = self._submit(owner, "Nobody finished this.", now - timedelta(hours=4))
        queue.claim(self._store, COLLEAGUE, task.task_id, now=now - timedelta(hours=3))
        account = self._store.accounts.get(owner)
        return self._made(account, f"/tasks/{task.task_id}", tasks={IN_PROGRESS: [task.task_id]}, operator=COLLEAGUE)

    # Payments and mails

    def parked_payment(self, *, email: str = "", days: float = 0) -> Made:
        """Somebody paid and said no address: credited to nobody until this operator decides. `payment` is its id."""
        operator = self._operator(email, _ago(days))
        payment = self._pay(None)
        self._until(lambda: self._store.payments.find(payment) is not None, "The payment")
        return self._made(operator, f"/admin/finance/payments/{payment}", payment=payment)

    def mail_given_up(self, *, email: str = "", to: str = "", kind: str = "low_balance", days: float = 0) -> Made:
        """A mail that SES refused for good. `operator` is who can send it again; its address is `to`."""
        now = _ago(days)
        operator = self._operator(email, now)
        address = to or self.create(_address("ada"), 40, now).email
        self.give_up_mail(kind, address, now, {"balance": 40, "threshold": 50})
        return self._made(operator, "/admin/mails", to=address)

    # What others make their states of

    def create(self, email: str, credits: int, now: datetime, **attributes: Any) -> Account:
        """An account, confirmed and with the password of all of them, beside the row that explains its balance."""
        common: dict[str, Any] = {"confirmed_at": now, "password_hash": self._password_hash} | attributes
        account = Account(email=AccountKey(email), account_id=new_account_id(), created_at=now, **common)
        with self._store.transaction() as tx:
            if credits:
                kind, words = (PROMO, "Welcome credits") if credits > 0 else (CLAWBACK, "Payment refunded by the bank")
                posted, account = post(
                    account, LedgerEntry(f"promo#{email}", AccountKey(email), kind, credits, words), now
                )
                tx.ledger.append_once(posted)
            tx.accounts.create(account)
        return account

    def give_authenticator(self, account: Account) -> str:
        """Set one up as its owner does; the secret. The code of this half minute is still unused."""
        store, sealer, now = self._store, self._found.sealer, utcnow()
        signed_in = accounts.sign_in(store, self._found.passwords, account.email, PASSWORD, now=now, kind=BROWSER)
        second_factor.begin_totp(store, sealer, signed_in.account)
        pending = store.accounts.get(account.email)
        secret = second_factor.pending_totp(sealer, pending).secret
        code = pyotp.TOTP(secret).at(now - timedelta(seconds=30))
        key = next(iter(signed_in.account.sessions))
        second_factor.enable_totp(store, sealer, pending, code, key, now=now)
        accounts.sign_out_everywhere(store, store.accounts.get(account.email))
        return secret

    def give_up_mail(self, kind: str, to: str, now: datetime, context: dict[str, Any]) -> str:
        """Promised for tomorrow, so that no sender takes it before it is given up."""
        mail_id = f"{kind}#{secrets.token_hex(6)}"
        mail = Mail(mail_id, kind, Address(to), now, context, due_at=utcnow() + timedelta(days=1))
        with self._store.transaction() as tx:
            tx.mails.enqueue(mail)
        self._store.updates.mails.mark_unsent(mail, REFUSED, now, give_up=True)
        return mail_id

    def leave(self, email: str) -> None:
        """Close what is open of an account, its credits back: a trial leaves nothing in the queue of others."""
        for task in self._open_tasks(email):
            now = utcnow()
            if task.lease_owner is None:
                queue.cancel(self._store, self._store.accounts.get(AccountKey(email)), task.task_id, now=now)
            else:
                queue.claim(self._store, task.lease_owner, task.task_id, now=now)
                queue.reject(self._store, task.lease_owner, task.task_id, "The trial is over.", now=now)

    def _open_tasks(self, email: str) -> list[Task]:
        found = self._store.tasks.page(AccountKey(email), limit=100).items
        return [task for task in found if task.status in OPEN_STATUSES]

    def _operator(self, email: str, now: datetime) -> Account:
        account = self.create(email or _address("op"), 0, now, role="admin")
        with self._store.transaction() as tx:
            tx.audit.record(actor=ACTOR, action="admin.grant", subject=account.email, reason="For a trial", now=now)
        return account

    def _task(self, owner: str, text: str, status: str, operator: str, result: str, now: datetime) -> str:
        task = self._submit(owner, text, now)
        if status in (IN_PROGRESS, COMPLETED, REJECTED):
            queue.claim(self._store, operator, task.task_id, now=now)
        if status == COMPLETED:
            queue.complete(self._store, operator, task.task_id, result, now=now)
        elif status == REJECTED:
            queue.reject(self._store, operator, task.task_id, "The attachment cannot be opened.", now=now)
        elif status == CANCELLED:
            queue.cancel(self._store, self._store.accounts.get(AccountKey(owner)), task.task_id, now=now)
        return task.task_id

    def _submit(self, owner: str, text: str, now: datetime) -> Task:
        return tasks.submit(self._store, self._store.accounts.get(AccountKey(owner)), text, now=now).task

    def _redo(self, owner: str, task_id: str, now: datetime) -> str:
        note = "The table leaves out the shipping costs."
        return queue.request_redo(
            self._store, self._store.accounts.get(AccountKey(owner)), task_id, note, now=now
        ).task_id

    def _pay(self, email: str | None) -> str:
        sale = {"amount": 1000, "sells": "credits"} | ({"email": email} if email else {})
        session = self._control("payment_link", sale)["session"]
        return str(session["payment_intent"])

    def _balance(self, email: str) -> int:
        return self._store.accounts.get(AccountKey(email)).credits_balance

    def _until(self, told: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + STRIPE_SECONDS
        while not told():
            if time.monotonic() > deadline:
                raise CannotMake(f"{what} has not reached the app: are webhooks withheld, or is the app not running?")
            time.sleep(0.05)

    def _made(self, account: Account, path: str, *, tasks: Mapping[str, list[str]] | None = None, **names: str) -> Made:
        return Made(account.email, account.account_id, path, tasks=tasks or {}, names=names)

    @cached_property
    def _password_hash(self) -> str:
        return self._found.passwords.hash(PASSWORD)


def _ago(days: float) -> datetime:
    return utcnow() - timedelta(days=days)


def _address(name: str) -> str:
    """One that nobody has yet."""
    return f"{name}-{secrets.token_hex(4)}@example.com"


def _stranger() -> str:
    """An address of the network that stands for others (RFC 5737)."""
    return f"203.0.113.{secrets.randbelow(254) + 1}"


def _text(status: str, number: int) -> str:
    return f"A task to be {status.replace('_', ' ')}, number {number + 1}"
