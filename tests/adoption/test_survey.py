"""Odd rows of the original are found by one look, mended where there is one right answer, and the books agree."""

from __future__ import annotations

import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.adoption import mending
from app.adoption import service as adoption
from app.adoption.survey import moment_meant, survey
from app.data.codec import decode_item
from app.data.tables import TASKS, TRANSACTIONS, USERS
from app.domain.clock import to_iso
from app.domain.errors import InvalidInput, NotFound, RowUnreadable
from app.services import books
from scripts.odd_rows import BY_A_PERSON, BY_ITSELF, Person, people, person, write
from tests.originals import EMAIL, put_history
from tests.support import NOW


def put(store, table, **values) -> None:
    """Change attributes of a row as it is stored; None takes one away. The key comes first."""
    (key, name), *changes = values.items()
    found = store.client.get_item(TableName=store.prefix + table.suffix, Key={key: {"S": name}}, ConsistentRead=True)
    item = found["Item"] | dict(changes)
    item = {attribute: value for attribute, value in item.items() if value is not None}
    store.client.put_item(TableName=store.prefix + table.suffix, Item=item)


def raw(store, table, key: str) -> dict:
    found = store.client.get_item(
        TableName=store.prefix + table.suffix, Key={table.key: {"S": key}}, ConsistentRead=True
    )
    return decode_item(found["Item"]) if "Item" in found else {}


def found(store) -> dict[str, list[str]]:
    """What the look names, by key: attribute, and what would mend it."""
    by_key = defaultdict(list)
    for each in survey(store, NOW).findings:
        by_key[each.key].append((each.field, each.value))
    return dict(by_key)


def mend_all(store) -> list:
    return mending.mend(store, survey(store, NOW).findings, NOW, lambda finding: None)


def everything(store, table) -> list[dict]:
    found = store.client.scan(TableName=store.prefix + table.suffix, ConsistentRead=True)["Items"]
    return sorted(found, key=lambda item: item[table.key]["S"])


@pytest.fixture
def one(empty_store):
    put_history(empty_store)
    return empty_store


def test_nothing_is_wrong_with_rows_that_are_well(one):
    assert found(one) == {}
    adoption.adopt(one, apply=True, now=NOW)
    assert found(one) == {}


def write_one(store, odd) -> Person:
    one = person(1, spends=2)
    odd(one)
    write([one], store)
    return one


@pytest.mark.parametrize("odd", [*BY_ITSELF, *BY_A_PERSON])
def test_each_kind_of_odd_row_is_named_and_keeps_what_it_belongs_to_out(empty_store, odd):
    one = write_one(empty_store, odd)
    keys = {item[table.key]["S"] for table, items in one.rows.items() for item in items}

    done = adoption.adopt(empty_store, apply=True, now=NOW)

    assert {finding.key for finding in done.findings} <= keys
    assert done.findings
    assert not {subject for subject, _ in done.refused} & {finding.key for finding in done.findings}  # each once
    assert (done.openings == []) == any(finding.table is not TASKS for finding in done.findings)


@pytest.mark.parametrize("odd", BY_ITSELF)
def test_what_has_one_right_answer_is_mended_and_the_books_agree(empty_store, odd):
    write_one(empty_store, odd)

    assert mend_all(empty_store) == []
    assert found(empty_store) == {}

    done = adoption.adopt(empty_store, apply=True, now=NOW)

    assert (len(done.openings), len(done.tasks), done.refused, done.findings) == (1, 2, [], [])
    account = empty_store.accounts.get("odd1@example.com")
    assert (account.credits_balance, account.unexplained) == (480, None)
    assert [entry.amount for entry in empty_store.ledger.every_of(account.email)][1:] == [-10, -10, 500]
    assert empty_store.payments.find("pi_odd_1").granted == 500  # a late delivery of it is credited no second time
    assert books.check(empty_store) == []


@pytest.mark.parametrize("odd", BY_A_PERSON)
def test_what_has_no_one_answer_is_left_as_it_stands(empty_store, odd):
    write_one(empty_store, odd)
    before = [everything(empty_store, table) for table in (USERS, TRANSACTIONS, TASKS)]

    mend_all(empty_store)

    assert found(empty_store)
    assert [everything(empty_store, table) for table in (USERS, TRANSACTIONS, TASKS)] == before


def test_a_few_hundred_odd_rows_end_in_agreeing_books(app, empty_store):
    """By the command alone: what it mends, then what a person says, then the move; broken off on the way."""
    written = list(people(rows=700, seed=3))
    write(written, empty_store)

    def run(*words, **given):
        return app.test_cli_runner().invoke(args=["accounts", "adopt", *words], **given)

    dry = run()
    assert (dry.exit_code, dry.exception.__class__) == (1, SystemExit)
    named = [line for line in dry.stdout.splitlines() if line.startswith("To mend: ")]
    with pytest.raises(Killed):
        mending.mend(empty_store, survey(empty_store, NOW).findings, NOW, killed_after(20))
    mended = run("--mend", input="y\n")
    left = json.loads(run("--json").stdout)["to_mend"]
    said = run(*[word for each in left for word in ("--set", *answer(each))], "--json")

    done = run("--apply")

    assert len(named) > 200
    assert mended.stdout.count("\nMended: ") == sum("; becomes " in line for line in named) - 20
    assert {each["value"] for each in left} == {None}
    assert said.exit_code == 1, said.output  # they are to be adopted
    assert json.loads(said.stdout)["to_mend"] == []
    assert (done.exit_code, "0 refused" in done.stdout) == (0, True), done.output
    # Of two accounts of one mailbox the second has got another address.
    assert len(list(empty_store.accounts.every())) == len(written) + sum(len(one.rows[USERS]) - 1 for one in written)
    assert app.test_cli_runner().invoke(args=["books", "check"]).exit_code == 0


def answer(finding: dict) -> tuple[str, str, str, str]:
    """What a person might say."""
    number = finding["key"].lower().removeprefix("odd").partition("@")[0]
    number = finding["key"].split("-")[1] if "-" in finding["key"] else number
    said = {
        "email": f"second-of-odd{number}@example.com",
        "user_email": f"odd{number}@example.com",
        "amount": "10",
        "credits_balance": "99",
        "credits_spent": "10",
        "status": "completed",
        "timestamp": "2025-04-03",
        "created_at": "2025-04-01T08:00:00",
    }
    return finding["table"], finding["key"], finding["attribute"], said[finding["attribute"]]


class Killed(Exception):
    pass


def killed_after(steps: int):
    told = []

    def tell(finding) -> None:
        told.append(finding)
        if len(told) == steps:
            raise Killed

    return tell


def test_nothing_is_changed_when_the_answer_is_no(app, one):
    put(one, USERS, email=EMAIL, created_at=None)
    before = everything(one, USERS)

    said = app.test_cli_runner().invoke(args=["accounts", "adopt", "--mend"], input="n\n")

    assert "Nothing was changed." in said.stdout
    assert everything(one, USERS) == before
    mend_all(one)


@pytest.mark.parametrize("words", [("--apply", "--mend"), ("--json", "--mend"), ("--apply", "--set", *"abcd")])
def test_what_makes_no_sense_together_is_refused_in_words(app, one, words):
    said = app.test_cli_runner().invoke(args=["accounts", "adopt", *words])

    assert said.exit_code == 2
    assert "Error: " in said.stderr


def test_many_mend_at_once_and_each_row_is_mended_once(empty_store):
    write(people(rows=60, seed=4), empty_store)
    findings = survey(empty_store, NOW).findings

    with ThreadPoolExecutor(4) as pool:
        left = [*pool.map(lambda _: mending.mend(empty_store, findings, NOW, lambda finding: None), range(4))]

    assert not any(each.value for each in survey(empty_store, NOW).findings)
    known = [finding for finding in findings if finding.value is not None]
    acts = empty_store.audit.search(until=NOW.date(), days=1, limit=1000).items
    assert len([act for act in acts if act.action == "account.mend"]) == len(known)
    assert sum(map(len, left)) == 3 * len(known)


def test_a_row_that_changes_meanwhile_is_left_to_the_next_look(one):
    put(one, TRANSACTIONS, transaction_id="txn-1-old", timestamp=None)
    findings = survey(one, NOW).findings
    put(one, TRANSACTIONS, transaction_id="txn-1-old", timestamp={"S": "2025-05-05T00:00:00"})

    assert mending.mend(one, findings, NOW, lambda finding: None) == findings
    assert raw(one, TRANSACTIONS, "txn-1-old")["timestamp"] == "2025-05-05T00:00:00"


@pytest.mark.parametrize("lacks", ["timestamp", "user_email"])
def test_a_row_that_its_account_was_adopted_without_joins_it_no_more(one, lacks):
    """The opening row has made up for it: with it, the books would be off by its amount."""
    put(one, TRANSACTIONS, transaction_id="txn-1-old", **{lacks: None})
    one.accounts.get(EMAIL)  # a sign-in was quicker than the look

    mend_all(one)

    if lacks == "timestamp":
        (finding,) = survey(one, NOW).findings
        assert "its opening row has made up for it" in finding.problem
    value = "2025-03-02T00:00:00" if lacks == "timestamp" else EMAIL
    with pytest.raises(InvalidInput, match="opening row has made up"):
        mending.decide(one, "transactions", "txn-1-old", lacks, value, NOW)
    assert one.accounts.get(EMAIL).credits_balance == 490


def test_an_account_waits_until_the_index_has_its_rows(one, monkeypatch):
    seen = list(one.ledger.every_of(EMAIL))
    monkeypatch.setattr("app.data.ledger.LedgerReads.every_of", lambda self, email, **_: iter(seen[:1]))

    done = adoption.adopt(one, apply=True, now=NOW)

    assert done.openings == []
    ((subject, why),) = done.refused
    assert (subject, "run this again" in why) == (EMAIL, True)


def test_the_books_of_odd_rows_are_checked_to_an_end_in_words(app, one):
    put(one, TRANSACTIONS, transaction_id="txn-1-old", type=None)

    said = app.test_cli_runner().invoke(args=["books", "check"])

    assert said.exit_code == 1
    assert "The row txn-1-old cannot be read (it lacks type): somebody has to mend it first." in said.stderr
    with pytest.raises(RowUnreadable):
        list(one.ledger.every())
    mend_all(one)


@pytest.mark.parametrize(
    ("key", "name", "value", "refusal"),
    [
        ("txn-1-old", "amount", "10", "Nothing is wrong with amount"),
        ("txn-2-old", "timestamp", "yesterday", "timestamp cannot be that: 'yesterday' is no ISO time"),
        ("txn-2-old", "user_email", "Old@Example.com", "not in the form that sign-in looks for"),
        ("txn-2-old", "user_email", "nobody@example.com", "no account has this address"),
    ],
)
def test_what_a_person_says_is_looked_at_too(one, key, name, value, refusal):
    put(one, TRANSACTIONS, transaction_id="txn-2-old", timestamp=None, user_email=None)

    with pytest.raises(InvalidInput, match=refusal):
        mending.decide(one, "transactions", key, name, value, NOW)


def test_a_row_or_table_that_is_not_there_is_told(one):
    with pytest.raises(NotFound):
        mending.decide(one, "Tasks", "none", "status", "pending", NOW)
    with pytest.raises(InvalidInput, match="users, transactions, tasks"):
        mending.decide(one, "Mails", "none", "status", "pending", NOW)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2025-03-02T10:00:00.5", "2025-03-02T10:00:00.500000Z"),
        ("2025-03-02T10:00:00+02:00", "2025-03-02T08:00:00.000000Z"),
        (" 2025-03-02 ", "2025-03-02T00:00:00.000000Z"),
        ("1741000000", "2025-03-03T11:06:40.000000Z"),
        ("1741000000123", "2025-03-03T11:06:40.123000Z"),
        ("Mon, 03 Mar 2025 12:06:40 +0100", "2025-03-03T11:06:40.000000Z"),
        ("Mon Mar 03 2025 12:06:40 GMT+0100", "2025-03-03T11:06:40.000000Z"),
        *((text, None) for text in ("03/04/2025", "", "yesterday", "12", "1e400", "NaN", "0001-01-01", "-1")),
    ],
)
def test_a_time_is_read_where_it_means_one_thing(text, meant):
    moment = moment_meant(text)

    assert (to_iso(moment) if moment else None) == meant
