"""Record a run: the journal of a local AWS with a small and complete set of data, for test_old_runs.py.

    git worktree add /tmp/then <commit>; cp tests/local/old_runs/record.py /tmp/then/
    cd /tmp/then && PYTHONPATH=. python record.py out.journal.xz

It is written against the code of the commit whose run it records, which the name of the file says. A later version
needs no change of it: it records its own run with a script of its own.
"""

import lzma
import os
import sys
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from app.config import Config
from app.data import Store
from app.data.client import make_client
from app.data.outbox import MailTrouble
from app.data.table_setup import create_tables
from app.domain.accounts import BROWSER, Account, Passkey, Session, session_key
from app.domain.by_hand import COMMAND_LINE
from app.domain.clock import utcnow
from app.domain.payments import DisputeFact, RefundFact, SessionFact
from app.domain.sales import Line, Origin
from app.domain.tasks import ResultFile
from app.services import accounts, codes, customers, drafts, figures, parked, payments, queue, tasks
from app.services.passwords import Passwords
from scripts.local.aws import LocalAws
from scripts.local.settings import CREDENTIALS, app_settings
from tests.originals import put_history
from tests.support import PASSWORD, make_account

ADA, BOB, OP, TWO = "ada@example.com", "bob@example.com", "op@example.com", "two@example.com"

SECRETS = {"JWT_SECRET": "of nothing but a run that is recorded, 40 long", "STRIPE_SECRET_KEY": "sk_test_recorded"}
SECRETS |= {"STRIPE_WEBHOOK_SECRET": "whsec_recorded", "BCRYPT_ROUNDS": "4"}


def fill(store: Store) -> None:
    now = utcnow()
    make_operators(store)
    make_customer(store)
    make_payments(store)
    make_value_by_hand(store)
    make_others(store)
    put_history(store)  # of the original product, which nobody has read yet
    store.updates.heartbeats.note_webhook(now)
    store.updates.heartbeats.note_checkout(now)
    store.updates.heartbeats.note_books(now, 0)
    figures.read_ledger(store, list(store.ledger.every()), now)
    store.updates.mails.note_trouble(MailTrouble("Daily message quota exceeded.", now, now, 2))


def make_operators(store: Store) -> None:
    now = utcnow()
    passkey = Passkey("d" * 32, "id-of-it", "key-of-it", 3, "Laptop", now, now)
    factors = {"passkeys": {passkey.key: passkey}, "recovery_codes": frozenset({"c" * 40}), "totp": "sealed"}
    session = Session(session_key("recorded"), BROWSER, now, now, "Firefox on Linux", now)
    make_account(store, OP, role="admin", sessions={session.key: session}, **factors)
    make_account(store, TWO, role="admin")


def make_customer(store: Store) -> None:
    now = utcnow()
    make_account(store, ADA, credits=300, theme="dark", low_balance_threshold=250)
    made = [
        tasks.submit(store, store.accounts.get(ADA), f"Task {number}\nwith a second line", now=now).task.task_id
        for number in range(7)
    ]
    claimed, done, redone, refused, cancelled = made[:5]
    for task_id in (claimed, done, redone):
        queue.claim(store, OP, task_id, now=now)
    file = ResultFile(f"results/{done}/1", "sum.csv", 12, "text/csv")
    for task_id, files in ((done, (file,)), (redone, ())):
        queue.complete(store, OP, task_id, "**Done**", files=files, now=now)
    queue.request_redo(store, store.accounts.get(ADA), redone, "The sum is missing", now=now)
    queue.reject(store, OP, refused, "Not our work", now=now)
    queue.cancel(store, store.accounts.get(ADA), cancelled, now=now)
    tasks.submit_batch(store, store.accounts.get(ADA), ["First of two", "Second of two"], now=now, request_id="batch")
    drafts.keep(store, store.accounts.get(ADA), "/tasks", (("description", "Words that wait"),), now=now)


def make_payments(store: Store) -> None:
    now = utcnow()

    def paid(number: int, email: str, **fields: object) -> SessionFact:
        fact = SessionFact(f"pi_{number}", f"cs_{number}", f"pi_{number}", "paid", 1000, 1000, "usd", email)
        return replace(fact, charged={"usd": 1000, "eur": 910}, **fields)

    line = Line("prod_book", "price_book", True, "A book")
    for fact in (
        paid(1, ADA),
        RefundFact("pi_1", "re_1", 250, "succeeded", currency="usd", told=1790000000, made=1789999999),
        paid(2, BOB),  # who has no account: it is made
        DisputeFact("pi_2", "dp_1", 1000, "needs_response", currency="usd", told=1790000000),
        paid(3, ADA, parked_reason="another currency", currency="eur"),
        paid(4, ADA, parked_reason="another currency", currency="eur"),
        paid(5, ADA, origin=Origin("plink_book", (line,)), source="plink_book"),
    ):
        payments.record_fact(store, fact, now=now)
    parked.dismiss(store, "pi_4", reason="Paid by mistake", actor=OP, now=now)


def make_value_by_hand(store: Store) -> None:
    now, limit = utcnow(), 100
    ada = store.accounts.get(ADA)
    for number, (amount, reason) in enumerate([(-20, "Counted twice"), (500, "A good customer"), (400, "Another")]):
        customers.adjust(store, OP, ADA, amount, reason, request_id=f"corr-{number}", limit=limit, now=now)
    waiting = store.proposals.list_waiting(limit=10).items
    customers.approve(store, TWO, waiting[0].adjustment_id, now=now)
    until = now + timedelta(days=3650)
    about = {"expires_at": until, "created_by": COMMAND_LINE, "limit": limit, "now": now, "note": "For the fair"}
    codes.create(store, "WELCOME-50", credits_each=10, max_uses=5, request_id="code-1", **about)
    codes.redeem(store, ada, "WELCOME-50", now=now)


def make_others(store: Store) -> None:
    now = utcnow()
    make_account(store, "owing@example.com", credits=-40)
    make_account(store, "frozen@example.com", credits=40, frozen_at=now)
    make_account(store, "unproven@example.com", confirmed_at=None, link_nonces={"confirm": "nonce"})
    make_account(store, "disabled@example.com", disabled_at=now)
    gone: Account = make_account(store, "gone@example.com", credits=10)
    accounts.delete(store, Passwords(4), gone, PASSWORD, now=now)
    sent, failed, *_ = store.mails.list_due(now + timedelta(days=1))
    store.updates.mails.mark_sent(sent, now)
    store.updates.mails.mark_unsent(failed, "MessageRejected", now, give_up=True)


def main(out: Path) -> None:
    os.environ.update(CREDENTIALS)
    with tempfile.TemporaryDirectory() as folder, LocalAws(data_dir=Path(folder)) as aws:
        config = Config.from_env(app_settings("http://127.0.0.1:8000", aws.endpoint_url) | SECRETS)
        client = make_client(config, endpoint_url=aws.endpoint_url, patient=True)
        create_tables(client, config.table_prefix)
        fill(Store(client, config.table_prefix))
        (journal,) = Path(folder).glob("*.jsonl")
        out.write_bytes(lzma.compress(journal.read_bytes(), preset=9))
    print(f"{out}: {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
