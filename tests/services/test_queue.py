"""The queue: each change is one write with its refund, audit row and mail, and of two that race one wins."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from app.domain.errors import IdempotencyKeyReused, InvalidInput, NotFound, WrongState
from app.domain.tasks import CANCELLED, COMPLETED, IN_PROGRESS, PENDING, REJECTED, ResultFile
from app.services import queue, tasks
from tests.support import NOW, all_mails, every_task, ledger, make_account

OP, TWO = "op@example.com", "two@example.com"
MINUTE = timedelta(minutes=1)
LATER = NOW + 31 * MINUTE


def submit(store, account, text="Summarise the report", **more):
    return tasks.submit(store, store.accounts.get(account.email), text, now=NOW, **more).task


def acts(store, subject):
    return [(row.action, row.actor) for row in reversed(store.audit.page_of(subject, limit=50).items)]


def refunds(store, account):
    return [entry for entry in ledger(store, account.email) if entry.type == "refund"]


@pytest.fixture
def account(store):
    return make_account(store, credits=200)


def test_a_task_goes_its_whole_way_when_an_operator_works_it(store, account):
    task = submit(store, account)

    claimed = queue.claim_next(store, OP, now=NOW)
    done = queue.complete(store, OP, task.task_id, "# Done\n\nAll of it.", now=NOW + MINUTE)

    assert claimed is not None
    assert claimed.task_id == task.task_id
    stored, result = store.tasks.get_with_result(task.task_id, owner=account.email)
    assert stored == done
    assert (stored.status, stored.started_at, stored.finished_at) == (COMPLETED, NOW, NOW + MINUTE)
    assert result is not None
    assert (result.text, result.by) == ("# Done\n\nAll of it.", OP)
    assert acts(store, task.task_id) == [("task.claim", OP), ("task.complete", OP)]
    assert store.accounts.get(account.email).open_tasks == 0
    assert [mail.kind for mail in all_mails(store)] == ["task_completed"]
    assert store.queue.page(PENDING, limit=10).items == []
    assert store.queue.page(IN_PROGRESS, limit=10).items == []
    assert store.figures.turnarounds() == (60,)
    assert dict(store.figures.figures_by_day(NOW.date(), 1)[0][1]) == {"completed": 1, "earned": 10}


def test_each_change_is_seen_by_the_customers_poll_when_it_happens(store, account):
    task = submit(store, account)
    versions = [store.accounts.get(account.email).version]

    for step in (
        lambda: queue.claim(store, OP, task.task_id, now=NOW),
        lambda: queue.release(store, OP, task.task_id, now=NOW),
        lambda: queue.claim(store, OP, task.task_id, now=NOW),
        lambda: queue.complete(store, OP, task.task_id, "Done", now=NOW),
    ):
        step()
        versions.append(store.accounts.get(account.email).version)

    assert versions == sorted(set(versions))


@pytest.mark.threat(24)
def test_a_completion_is_one_when_it_is_repeated(store, account):
    task = submit(store, account)
    queue.claim(store, OP, task.task_id, now=NOW)
    first = queue.complete(store, OP, task.task_id, "Done", now=NOW + MINUTE)

    again = queue.complete(store, OP, task.task_id, "Done", now=NOW + 2 * MINUTE)
    with pytest.raises(WrongState):
        queue.complete(store, OP, task.task_id, "Something else", now=NOW)
    with pytest.raises(WrongState):
        queue.complete(store, TWO, task.task_id, "Done", now=NOW)

    assert again == first
    assert len(all_mails(store)) == 1
    assert acts(store, task.task_id) == [("task.claim", OP), ("task.complete", OP)]


def test_a_completion_needs_words_or_a_file_when_it_is_sent(store, account):
    task = submit(store, account)
    queue.claim(store, OP, task.task_id, now=NOW)

    for nothing in ("", " \n", "x" * 50_001, "nul \x00"):
        with pytest.raises(InvalidInput):
            queue.complete(store, OP, task.task_id, nothing, now=NOW)
    file = ResultFile("results/key", "report.pdf", 3, "application/pdf")
    queue.complete(store, OP, task.task_id, "", files=[file], now=NOW)

    _, result = store.tasks.get_with_result(task.task_id)
    assert result is not None
    assert result.files == (file,)


@pytest.mark.threat(25)
def test_a_rejection_gives_the_credits_back_once_when_it_is_repeated(store, account):
    task = submit(store, account)

    queue.reject(store, OP, task.task_id, "We do not book flights", now=NOW)
    with pytest.raises(WrongState):
        queue.reject(store, OP, task.task_id, "We do not book flights", now=NOW)

    stored = store.accounts.get(account.email)
    assert (stored.credits_balance, stored.open_tasks) == (200, 0)
    assert [(e.transaction_id, e.amount) for e in refunds(store, account)] == [(f"refund#{task.task_id}", 10)]
    assert store.tasks.get(task.task_id, owner=account.email).reason == "We do not book flights"
    assert [mail.kind for mail in all_mails(store)] == ["task_rejected"]
    assert acts(store, task.task_id) == [("task.reject", OP)]


def test_a_cancel_gives_the_credits_back_once_when_it_is_repeated(store, account):
    task = submit(store, account)

    cancelled, after = queue.cancel(store, account, task.task_id, now=NOW)
    again, still = queue.cancel(store, account, task.task_id, now=NOW)

    assert cancelled.status == again.status == CANCELLED
    assert after.credits_balance == still.credits_balance == 200
    assert len(refunds(store, account)) == 1
    assert store.accounts.get(account.email).open_tasks == 0


def test_a_cancel_is_refused_when_work_has_begun_or_the_task_is_somebody_elses(store, account):
    task = submit(store, account)
    bob = make_account(store, "bob@example.com", credits=10)

    with pytest.raises(NotFound):
        queue.cancel(store, bob, task.task_id, now=NOW)
    queue.claim(store, OP, task.task_id, now=NOW)
    with pytest.raises(WrongState):
        queue.cancel(store, account, task.task_id, now=NOW)

    assert refunds(store, account) == []


@pytest.mark.parametrize("act", ["claim", "renew", "release", "complete", "reject"])
def test_nothing_is_written_when_the_task_is_unknown(store, act):
    more = {"complete": ["Done"], "reject": ["No"]}.get(act, [])

    with pytest.raises(NotFound):
        getattr(queue, act)(store, OP, "task_nobody_made", *more, now=NOW)

    assert store.audit.search(until=NOW.date(), days=1, limit=10).items == []


def test_an_expired_lease_returns_the_task_when_the_next_one_is_claimed(store, account):
    task = submit(store, account)
    queue.claim(store, OP, task.task_id, now=NOW, minutes=30)

    assert queue.claim_next(store, TWO, now=NOW + MINUTE) is None
    taken = queue.claim_next(store, TWO, now=LATER)

    assert taken is not None
    assert taken.lease_owner == TWO
    with pytest.raises(WrongState):
        queue.complete(store, OP, task.task_id, "Late", now=LATER)
    queue.complete(store, TWO, task.task_id, "In time", now=LATER)


def test_a_renewed_lease_holds_when_the_first_would_have_run_out(store, account):
    task = submit(store, account)
    queue.claim(store, OP, task.task_id, now=NOW, minutes=30)
    queue.renew(store, OP, task.task_id, now=NOW + 29 * MINUTE, minutes=30)

    assert queue.claim_next(store, TWO, now=LATER) is None
    queue.complete(store, OP, task.task_id, "Done", now=LATER)


def test_a_redo_is_free_and_answered_when_it_is_asked_for_once(store, account):
    task = submit(store, account)
    queue.claim(store, OP, task.task_id, now=NOW)
    queue.complete(store, OP, task.task_id, "Done", now=NOW)

    again = queue.request_redo(store, account, task.task_id, "The table is missing", now=NOW)
    repeated = queue.request_redo(store, account, task.task_id, "The table is missing", now=NOW)

    assert again == repeated
    stored = store.accounts.get(account.email)
    assert (stored.credits_balance, stored.open_tasks) == (190, 1)
    claimed = queue.claim_next(store, OP, now=NOW)
    assert claimed is not None
    assert claimed.task_id == again.task_id
    queue.complete(store, OP, again.task_id, "With the table", now=NOW)
    assert [mail.context["redo"] for mail in all_mails(store) if mail.mail_id.endswith(again.task_id)] == [True]


def test_a_redo_is_refused_when_its_note_is_not_acceptable_also_the_second_time(store, account):
    task = submit(store, account)
    queue.claim(store, OP, task.task_id, now=NOW)
    queue.complete(store, OP, task.task_id, "Done", now=NOW)

    for _ in range(2):
        for note in (" ", "x" * 501):
            with pytest.raises(InvalidInput):
                queue.request_redo(store, account, task.task_id, note, now=NOW)
        queue.request_redo(store, account, task.task_id, "The table is missing", now=NOW)


def test_a_key_of_a_redo_is_that_of_no_other(store, account):
    first, second = submit(store, account), submit(store, account)
    for task in (first, second):
        queue.claim(store, OP, task.task_id, now=NOW)
        queue.complete(store, OP, task.task_id, "Done", now=NOW)

    def redo(task, note):
        try:
            made = queue.request_redo(store, account, task.task_id, note, now=NOW, idempotency_key="k")
        except IdempotencyKeyReused:
            return None
        return made.redo_of

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(redo, [first, second] * 4, ["More", "More", "Less", "Less"] * 2))

    assert sum(each is not None for each in made) == 2
    assert len(set(made) - {None}) == 1
    assert store.accounts.get(account.email).open_tasks == 1


def test_a_rejected_redo_gives_nothing_back_when_it_cost_nothing(store, account):
    task = submit(store, account)
    queue.claim(store, OP, task.task_id, now=NOW)
    queue.complete(store, OP, task.task_id, "Done", now=NOW)
    again = queue.request_redo(store, account, task.task_id, "Once more", now=NOW)

    queue.reject(store, OP, again.task_id, "It is all there", now=NOW)

    stored = store.accounts.get(account.email)
    assert (stored.credits_balance, stored.open_tasks) == (190, 0)
    assert refunds(store, account) == []


def test_one_redo_stands_when_it_is_asked_for_ten_times_at_once(store, account):
    task = submit(store, account)
    queue.claim(store, OP, task.task_id, now=NOW)
    queue.complete(store, OP, task.task_id, "Done", now=NOW)

    with ThreadPoolExecutor(10) as pool:
        made = list(pool.map(lambda _: queue.request_redo(store, account, task.task_id, "More", now=NOW), range(10)))

    assert len({again.task_id for again in made}) == 1
    assert store.accounts.get(account.email).open_tasks == 1


# --- Races ---


def at_once(*steps):
    """Run the steps side by side; what each returned, or the refusal that it met."""

    def run(step):
        try:
            return step()
        except (WrongState, NotFound) as refusal:
            return refusal

    with ThreadPoolExecutor(len(steps)) as pool:
        return list(pool.map(run, steps))


def test_each_task_is_claimed_once_when_twenty_operators_race_for_ten(store, account):
    made = [submit(store, account, f"Task {number}").task_id for number in range(10)]

    got = at_once(*[lambda n=n: queue.claim_next(store, f"op{n}@example.com", now=NOW) for n in range(20)])

    claimed = [task.task_id for task in got if task is not None]
    assert sorted(claimed) == sorted(made)
    assert sum(task is None for task in got) == 10
    for task_id in made:
        assert len(acts(store, task_id)) == 1


def test_each_task_is_claimed_once_when_ten_operators_choose_the_same(store, account):
    task = submit(store, account)

    got = at_once(*[lambda n=n: queue.claim(store, f"op{n}@example.com", task.task_id, now=NOW) for n in range(10)])

    assert sum(not isinstance(answer, WrongState) for answer in got) == 1
    assert len(acts(store, task.task_id)) == 1


def test_one_wins_when_a_cancel_races_a_claim(store, account):
    for number in range(10):
        task = submit(store, account, f"Task {number}")

        cancelled, claimed = at_once(
            lambda task=task: queue.cancel(store, account, task.task_id, now=NOW),
            lambda task=task: queue.claim(store, OP, task.task_id, now=NOW),
        )

        status = store.tasks.get(task.task_id, owner=account.email).status
        assert isinstance(cancelled, WrongState) != isinstance(claimed, WrongState)
        assert status == (IN_PROGRESS if isinstance(cancelled, WrongState) else CANCELLED)
        assert (store.ledger.find(f"refund#{task.task_id}") is not None) == (status == CANCELLED)


@pytest.mark.threat(25)
def test_one_refund_is_booked_when_operators_and_the_customer_end_a_task_at_once(store, account):
    task = submit(store, account)

    got = at_once(
        *[lambda n=n: queue.reject(store, f"op{n}@example.com", task.task_id, "No", now=NOW) for n in range(8)],
        *[lambda: queue.cancel(store, account, task.task_id, now=NOW)] * 4,
    )

    status = store.tasks.get(task.task_id, owner=account.email).status
    assert len(refunds(store, account)) == 1
    assert store.accounts.get(account.email).credits_balance == 200
    won = Counter(not isinstance(answer, WrongState) for answer in got)[True]
    assert won == 1 if status == REJECTED else won == 4  # a repeated cancel is no error
    assert len(acts(store, task.task_id)) == 1


def test_one_answer_stands_when_a_late_completion_races_the_next_claim(store, account):
    for number in range(10):
        task = submit(store, account, f"Task {number}")
        queue.claim(store, OP, task.task_id, now=NOW, minutes=30)
        before_the_end = NOW + 30 * MINUTE - timedelta(microseconds=1)

        completed, claimed = at_once(
            lambda task=task, at=before_the_end: queue.complete(store, OP, task.task_id, "Late", now=at),
            lambda task=task: queue.claim(store, TWO, task.task_id, now=NOW + 30 * MINUTE),
        )

        assert isinstance(completed, WrongState) != isinstance(claimed, WrongState)
        stored = store.tasks.get(task.task_id, owner=account.email)
        assert stored.status == (IN_PROGRESS if isinstance(completed, WrongState) else COMPLETED)


def test_the_counters_agree_when_submits_and_operators_are_busy_on_one_account(store, account):
    made = [submit(store, account, f"Task {number}") for number in range(8)]

    at_once(
        *[lambda t=t: queue.reject(store, OP, t.task_id, "No", now=NOW) for t in made[:4]],
        *[lambda t=t: queue.cancel(store, account, t.task_id, now=NOW) for t in made[4:]],
        *[lambda n=n: submit(store, account, f"New {n}") for n in range(6)],
    )

    open_now = [task for task in every_task(store) if task["status"] in (PENDING, IN_PROGRESS)]
    stored = store.accounts.get(account.email)
    assert stored.open_tasks == len(open_now) == 6
    assert stored.credits_balance == 200 - 60
