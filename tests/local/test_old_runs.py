"""A run of an earlier version opens in this one: journals that were recorded then, with all that a table may hold.

`old_runs/<commit>.journal.xz` is the journal of a local AWS as that commit left it; `old_runs/record.py` made it there.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import create_app
from app.config import Config
from app.data import Store
from app.data.client import make_client
from app.data.migrations import MIGRATIONS, Migrations
from app.data.table_setup import create_tables, differences
from app.domain.clock import utcnow
from app.domain.tasks import COMPLETED, PENDING, STATUSES
from app.services import books, queue, tasks
from app.web.visitors import adopter
from scripts.local.aws import LocalAws
from tests.routes.browser import Browser
from tests.support import FakeSender, FakeStripe

RECORDED = sorted((Path(__file__).parent / "old_runs").glob("*.journal.xz"))
ADA, BOB, OLD, TWO = "ada@example.com", "bob@example.com", "old@example.com", "two@example.com"
CUSTOMERS = ["/dashboard", "/dashboard?status=completed", "/transactions", "/transactions.csv", "/account", "/credits"]
OPERATORS = [
    *("/admin", "/admin?view=working", "/admin/customers", "/admin/corrections", "/admin/mails", "/admin/audit"),
    *("/admin/audit.csv", "/admin/overview", "/admin/finance", "/admin/finance/payments/pi_1"),
    *("/admin/finance/payments/pi_3", "/admin/finance/codes"),
]


@pytest.fixture(scope="module", params=RECORDED, ids=lambda path: path.name.partition(".")[0])
def opened(request, tmp_path_factory, config: Config) -> Iterator[Store]:
    """As `scripts/run` opens it: the journal is read, what is missing of the tables is made."""
    folder = tmp_path_factory.mktemp("old_run")
    (folder / "journal.jsonl").write_bytes(lzma.decompress(request.param.read_bytes()))
    with LocalAws(data_dir=folder) as aws:
        client = make_client(config, endpoint_url=aws.endpoint_url, patient=True)
        create_tables(client, config.table_prefix, replace=True)
        yield Store(client, config.table_prefix, adopter())


@pytest.fixture
def app(opened: Store, config: Config):
    return create_app(config, store=opened, sender=FakeSender(), stripe=FakeStripe())


@pytest.fixture
def customer(app) -> Browser:
    browser = Browser(app)
    assert browser.sign_in().status_code == 303
    return browser


@pytest.fixture
def operator(app) -> Browser:
    browser = Browser(app)
    assert browser.sign_in(TWO).status_code == 303
    return browser


def task_of(store: Store, status: str) -> str:
    return next(task.task_id for task in store.tasks.every_of(ADA) if task.status == status)


def test_there_is_a_run_to_open():
    assert RECORDED


def test_the_tables_are_as_this_version_wants_them(opened):
    assert differences(opened.client, opened.prefix, ttl=True) == []


def test_what_is_pending_is_migrated(opened):
    migrations = Migrations(opened.client, opened.prefix)

    for migration in MIGRATIONS:
        migrations.run(migration, utcnow())

    assert migrations.pending() == []
    assert [migration for migration in MIGRATIONS if migrations.count(migration)] == []


def test_the_books_agree_but_for_what_nobody_has_adopted(opened):
    assert {found.subject for found in books.check(opened)} <= {OLD, "task-of-old"}


@pytest.mark.parametrize("path", CUSTOMERS)
def test_a_customer_finds_his_pages(customer, path):
    assert customer.get(path).status_code == 200


@pytest.mark.parametrize("status", STATUSES)
def test_a_customer_finds_a_task_in_each_state(customer, opened, status):
    assert customer.get(f"/tasks/{task_of(opened, status)}").status_code == 200


@pytest.mark.parametrize("path", OPERATORS)
def test_an_operator_finds_his_pages(operator, path):
    assert operator.get(path).status_code == 200


@pytest.mark.parametrize("email", [ADA, BOB, "gone@example.com", "owing@example.com", "frozen@example.com"])
def test_an_operator_finds_each_account(operator, opened, email):
    answer = operator.get(f"/admin/customers/{opened.accounts.get(email).account_id}")

    assert answer.status_code == 200


def test_the_words_that_waited_still_wait(customer):
    assert "Words that wait" in customer.page("/unsent").text


def test_what_was_kept_of_each_kind_is_read(opened):
    account = opened.accounts.get("op@example.com")
    assert (account.passkeys["d" * 32].name, account.totp, len(account.recovery_codes)) == ("Laptop", "sealed", 1)
    payment = opened.payments.find("pi_1")
    assert (payment.refunds["re_1"].cents, dict(payment.charged)) == (250, {"usd": 1000, "eur": 910})
    assert opened.payments.find("pi_2").disputes["dp_1"].status == "needs_response"
    assert opened.payments.find("pi_5").origin.lines[0].label == "A book"
    assert opened.sales.find("plink_book") is not None
    assert opened.codes.find("WELCOME-50").uses == 1
    assert len(opened.proposals.list_waiting(limit=9).items) == 1
    assert opened.mails.trouble().times == 2
    assert [mail.last_error for mail in opened.mails.list_failed(limit=9).items] == ["MessageRejected"]
    assert opened.heartbeats.last_books_check().differences == 0
    assert opened.figures.turnarounds()
    assert opened.figures.ledger_days().days
    completed = [task.task_id for task in opened.tasks.every_of(ADA) if task.status == COMPLETED]
    results = [opened.tasks.get_with_result(task_id)[1] for task_id in completed]  # another test here adds one
    assert "**Done**" in [result.text for result in results]


def test_work_goes_on_where_it_was(opened):
    now, before = utcnow(), opened.accounts.get(ADA)
    waiting = task_of(opened, PENDING)

    submitted = tasks.submit(opened, before, "One more", now=now).task
    queue.claim(opened, TWO, waiting, now=now)
    done = queue.complete(opened, TWO, waiting, "Here it is", now=now)

    assert done.status == COMPLETED
    after = opened.accounts.get(ADA)
    assert after.credits_balance == before.credits_balance - 10
    assert opened.ledger.find(f"spend#{submitted.task_id}").sequence == before.ledger_sequence + 1
    assert {found.subject for found in books.check(opened)} <= {OLD, "task-of-old"}


def test_what_the_original_product_wrote_is_adopted(opened):
    assert opened.accounts.get(OLD).unexplained is None
    assert opened.tasks.find("task-of-old").version == 0
    assert books.check(opened) == []
