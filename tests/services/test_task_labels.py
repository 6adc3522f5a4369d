"""References and tags: one task for a reference, charged once, whoever asks at the same moment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest

from app.domain.errors import (
    DomainError,
    IdempotencyKeyReused,
    InsufficientCredits,
    InvalidInput,
    ReferenceUsed,
)
from app.domain.tasks import Brief
from app.services import accounts, queue, tasks
from app.services.passwords import Passwords
from tests.support import NOW, PASSWORD, every_task, make_account, make_operators

ADA = "ada@example.com"
ORDER = Brief("Summarise the report", "order-1042", ("Invoices", "May"))
LATER = NOW + timedelta(minutes=5)
AGAIN = NOW + timedelta(days=1)


def balance(store):
    return store.accounts.get(ADA).credits_balance


def labels(store):
    return {row["label"].partition("\n")[0]: row["task_ids"] for row in store._scan("TaskLabels")}


def test_a_task_is_kept_with_its_reference_and_tags_and_a_row_for_each(store):
    task = tasks.submit(store, make_account(store, credits=30), ORDER, now=NOW).task

    assert store.tasks.find(task.task_id).brief == ORDER
    ids = [task.task_id]
    assert labels(store) == {"ref#order-1042": ids, "tag#invoices": ids, "tag#may": ids}


def test_a_reference_that_comes_again_is_the_first_task_charged_once(store):
    account = make_account(store, credits=30)
    first = tasks.submit(store, account, ORDER, now=NOW, idempotency_key="r-1")

    for key in ("r-1", "r-2", None):
        again = tasks.submit(store, account, ORDER, now=LATER, idempotency_key=key)
        assert (again.task, again.replayed, again.credits_remaining) == (first.task, True, 20)

    assert balance(store) == 20
    assert len(every_task(store)) == 1


def test_a_reference_that_comes_again_on_a_drained_balance_is_the_first_task(store):
    account = make_account(store, credits=10)
    first = tasks.submit(store, account, ORDER, now=NOW)

    assert tasks.submit(store, store.accounts.get(ADA), ORDER, now=LATER).task == first.task


@pytest.mark.parametrize("other", [{"description": "Another thing"}, {"tags": ("Invoices",)}])
def test_a_reference_of_another_task_is_refused_by_its_name(store, other):
    account = make_account(store, credits=30)
    first = tasks.submit(store, account, ORDER, now=NOW).task

    with pytest.raises(ReferenceUsed) as refusal:
        tasks.submit(store, account, replace(ORDER, **other), now=LATER, idempotency_key="r-2")

    assert refusal.value.details() == {"task_id": first.task_id}
    assert balance(store) == 20


def test_a_key_that_comes_again_with_another_reference_is_refused(store):
    account = make_account(store, credits=30)
    tasks.submit(store, account, ORDER, now=NOW, idempotency_key="r-1")

    with pytest.raises(IdempotencyKeyReused):
        tasks.submit(store, account, replace(ORDER, reference="order-2"), now=LATER, idempotency_key="r-1")

    assert balance(store) == 20


@pytest.mark.parametrize("alike", [" order-1042 ", "order-1042\u00a0"])
def test_a_reference_is_the_same_with_spaces_around_it(store, alike):
    account = make_account(store, credits=30)
    first = tasks.submit(store, account, ORDER, now=NOW).task

    assert tasks.submit(store, account, replace(ORDER, reference=alike), now=LATER).task == first


def test_a_reference_composed_or_not_is_one(store):
    account = make_account(store, credits=30)
    first = tasks.submit(store, account, Brief("A task", "Mu\u0308nchen"), now=NOW).task

    assert tasks.submit(store, account, Brief("A task", "München"), now=LATER).task == first


def test_another_account_may_have_the_same_reference(store):
    for email in (ADA, "bob@example.com"):
        tasks.submit(store, make_account(store, email, credits=10), ORDER, now=NOW)

    assert len(every_task(store)) == 2


def test_a_race_for_one_reference_has_one_task_and_costs_ten_credits(store):
    account = make_account(store, credits=200)

    def submit(number):
        return tasks.submit(store, account, ORDER, now=NOW, idempotency_key=f"r-{number}")

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(submit, range(16)))

    assert len({one.task.task_id for one in done}) == 1
    assert [one.replayed for one in done].count(False) == 1
    assert balance(store) == 190
    assert len(every_task(store)) == 1


def test_a_race_of_other_words_for_one_reference_has_one_winner(store):
    account = make_account(store, credits=200)

    def submit(number):
        try:
            return tasks.submit(store, account, Brief(f"Task {number}", "order-1"), now=NOW).task
        except ReferenceUsed as refusal:
            return refusal.task_id

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(submit, range(16)))

    (won,) = [one for one in done if not isinstance(one, str)]
    assert {one for one in done if isinstance(one, str)} == {won.task_id}
    assert balance(store) == 190


# Several at once


def batch(store, briefs, key="b-1", now=NOW):
    return tasks.submit_batch(store, store.accounts.get(ADA), briefs, now=now, idempotency_key=key)[0]


def test_a_batch_has_one_row_for_a_tag_that_its_tasks_share(store):
    make_account(store, credits=400)

    made = batch(store, [Brief(f"Task {n}", f"order-{n}" if n < 22 else "", ("Nightly",)) for n in range(30)])

    assert labels(store)["tag#nightly"] == [task.task_id for task in made]
    assert labels(store)["ref#order-21"] == [made[21].task_id]
    assert balance(store) == 100


def test_a_batch_whose_references_all_come_again_is_the_first(store):
    make_account(store, credits=100)
    briefs = [Brief(f"Task {n}", f"order-{n}") for n in range(3)]
    first = batch(store, briefs)

    for key in ("b-1", "b-2"):
        assert batch(store, briefs, key, LATER) == first

    assert balance(store) == 70


def test_a_batch_with_one_reference_of_before_is_refused_whole(store):
    make_account(store, credits=100)
    (first,) = batch(store, [Brief("Task 0", "order-0")])

    with pytest.raises(ReferenceUsed) as refusal:
        batch(store, [Brief("Task 0", "order-0"), Brief("Task 1", "order-1")], "b-2")

    assert refusal.value.task_id == first.task_id
    assert balance(store) == 90


def test_a_batch_with_a_reference_of_another_task_is_refused_whole(store):
    make_account(store, credits=100)
    first = batch(store, [Brief("Task 0", "order-0")])[0]

    with pytest.raises(ReferenceUsed) as refusal:
        batch(store, [Brief("Task 1"), Brief("Other words", "order-0")], "b-2")

    assert refusal.value.task_id == first.task_id
    assert balance(store) == 90


def test_a_batch_that_names_a_reference_twice_is_refused(store):
    make_account(store, credits=100)

    with pytest.raises(InvalidInput, match="Two of these tasks have the reference order-1"):
        batch(store, [Brief("Task 1", "order-1"), Brief("Task 2", " order-1")])


def test_a_batch_with_more_labels_than_one_transaction_holds_is_refused_before_it(store):
    make_account(store, credits=400)
    full = [Brief(f"Task {n}", f"order-{n}", (f"tag {n}",) if n < 5 else ()) for n in range(30)]

    with pytest.raises(InvalidInput, match="30 tasks have 36 references and different tags; 35 fit"):
        batch(store, [*full[:5], replace(full[5], tags=("one too many",)), *full[6:]])
    assert balance(store) == 400
    batch(store, full)

    assert balance(store) == 100


def test_a_race_of_batches_with_the_same_references_is_charged_once(store):
    make_account(store, credits=400)
    briefs = [Brief(f"Task {n}", f"order-{n}", ("Nightly",)) for n in range(5)]

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda n: [t.task_id for t in batch(store, briefs, f"b-{n}")], range(4)))

    assert done == [done[0]] * 4
    assert balance(store) == 350


def test_a_race_of_a_batch_and_a_task_for_one_reference_charges_one_of_them(store):
    account = make_account(store, credits=400)

    def several():
        return len(batch(store, [Brief("One", "order-1"), Brief("Two", "order-2")]))

    def one():
        return len([tasks.submit(store, account, Brief("Other", "order-2"), now=NOW)])

    def tried(act):
        try:
            return act()
        except DomainError as refusal:
            return refusal.code

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(tried, [several, one]))

    assert sorted(map(str, done)) in (["2", "reference_used"], ["1", "reference_used"])
    assert balance(store) == 400 - 10 * len(every_task(store))


# What becomes of them


def test_a_reference_stays_that_of_a_task_that_was_cancelled(store):
    account = make_account(store, credits=30)
    first = tasks.submit(store, account, ORDER, now=NOW).task
    queue.cancel(store, account, first.task_id, now=NOW)

    again = tasks.submit(store, store.accounts.get(ADA), ORDER, now=LATER)

    assert (again.task.task_id, again.replayed, again.task.status) == (first.task_id, True, "cancelled")
    assert balance(store) == 30


def test_a_redo_keeps_the_tags_and_has_no_reference(store):
    account = make_account(store, credits=30)
    make_operators(store)
    task = tasks.submit(store, account, ORDER, now=NOW).task
    queue.claim(store, "op@example.com", task.task_id, now=NOW)
    queue.complete(store, "op@example.com", task.task_id, "Done", now=NOW)

    again = queue.request_redo(store, account, task.task_id, "The table", now=LATER)

    assert (again.reference, again.tags) == ("", ORDER.tags)
    assert sum(row["label"].startswith("tag#may\n") for row in store._scan("TaskLabels")) == 2
    assert store.labels.find(ADA, "order-1042") == task.task_id


def test_labels_go_with_their_account_and_those_of_who_came_back_stay(store):
    account = make_account(store, credits=30)
    task = tasks.submit(store, account, ORDER, now=NOW).task
    queue.cancel(store, account, task.task_id, now=NOW)
    accounts.delete(store, Passwords(4), store.accounts.get(ADA), PASSWORD, now=LATER)

    left = store.tasks.find(task.task_id)
    assert (labels(store), left.reference, left.tags) == ({}, "", ())
    with store.transaction() as tx:
        tx.labels.add([replace(task, reference="left over"), replace(task, tags=(), reference="new", created_at=AGAIN)])
    accounts.finish_erasure(store, SimpleNamespace(remove_all=lambda task_id: None), ADA, deleted_at=LATER)
    assert list(labels(store)) == ["ref#new"]


def test_what_is_refused_leaves_no_label(store):
    with pytest.raises(InsufficientCredits):
        tasks.submit(store, make_account(store), ORDER, now=NOW)

    assert labels(store) == {}


@pytest.mark.parametrize(
    ("brief", "sentence"),
    [
        (Brief("A task", "x" * 101), "A reference has at most 100 characters; this one has 101."),
        (Brief("A task", "two\nlines"), "stands on one line"),
        (Brief("A task", "zero\u200bwidth"), "no invisible characters"),
        (Brief("A task", " \u00a0"), "1 to 100 characters that can be seen"),
        (Brief("A task", tags=("",)), "A tag has 1 to 40"),
        (Brief("A task", tags=("x" * 41,)), "at most 40"),
        (Brief("A task", tags=("a,b",)), "no comma"),
        (Brief("A task", tags=tuple(map(str, range(11)))), "11 tags; a task has at most 10"),
    ],
)
def test_labels_that_cannot_be_kept_are_refused_in_a_sentence(store, brief, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        tasks.submit(store, make_account(store, credits=10), brief, now=NOW)


def test_tags_are_kept_as_written_and_dropped_where_case_alone_differs(store):
    given = Brief("A task", tags=("Straße", "STRASSE", " क्‍ष ", "İx", "家族 👨‍👩‍👧", "two  words"))

    task = tasks.submit(store, make_account(store, credits=10), given, now=NOW).task

    assert task.tags == ("Straße", "क्‍ष", "İx", "家族 👨‍👩‍👧", "two words")
