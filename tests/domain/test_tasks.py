"""The life of a task as pure rules: which state may follow which, and who may take the step."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain import tasks as rules
from app.domain.errors import InvalidInput, Malformed, WrongState
from app.domain.tasks import CANCELLED, COMPLETED, IN_PROGRESS, PENDING, REJECTED, Task, new_task, task_id_for
from tests.support import NOW

MINUTE = timedelta(minutes=1)
LATER = NOW + 31 * MINUTE  # after a lease of 30 minutes


@pytest.fixture
def task():
    return new_task("ada@example.com", "Summarise the report", "r-1", NOW)


def test_a_claim_leases_the_task_when_it_is_pending(task):
    claimed = rules.claimed(task, "op@example.com", NOW, 30)

    assert (claimed.status, claimed.lease_owner) == (IN_PROGRESS, "op@example.com")
    assert claimed.lease_until == NOW + 30 * MINUTE
    assert claimed.version == task.version + 1


def test_a_claim_renews_when_the_same_operator_holds_it(task):
    claimed = rules.claimed(task, "op@example.com", NOW, 30)

    again = rules.claimed(claimed, "op@example.com", NOW + MINUTE, 30)

    assert again.started_at == NOW
    assert again.lease_until == NOW + 31 * MINUTE


def test_a_claim_is_refused_when_another_holds_the_task(task):
    claimed = rules.claimed(task, "op@example.com", NOW)

    with pytest.raises(WrongState, match=r"op@example\.com is working"):
        rules.claimed(claimed, "two@example.com", NOW + 29 * MINUTE)


def test_a_new_task_is_pending_and_costs_ten_credits():
    task = new_task("ada@example.com", " As it is ", "r-1", NOW)

    assert task == Task(
        task_id=task_id_for("ada@example.com", "r-1"),
        user_email="ada@example.com",
        description=" As it is ",
        status=PENDING,
        credits_spent=10,
        created_at=NOW,
        updated_at=NOW,
    )
    assert task.is_open
    assert not task.original


def test_a_repeat_is_the_same_task_when_the_code_is_newer_than_the_task():
    """How an id follows from its owner and its key stays the same for ever: otherwise a repeat is charged again."""
    assert task_id_for("ada@example.com", "r-1") == "task_32i3q32hplgiwdsoy4or7bmqgm"


def test_states_and_limits_are_those_that_programs_were_told():
    """The states are also how tasks are stored."""
    assert rules.STATUSES == ("pending", "in-progress", "completed", "cancelled", "rejected")
    assert (rules.TASK_COST, rules.MAX_BATCH) == (10, 30)


def test_each_step_changes_what_it_says_and_nothing_else(task):
    """Later by a minute each time; the version counts every step."""
    operator = "op@example.com"
    t1, t2, t3 = (NOW + n * MINUTE for n in (1, 2, 3))
    leased = replace(
        task,
        status=IN_PROGRESS,
        started_at=t1,
        lease_owner=operator,
        lease_until=t1 + 30 * MINUTE,
        version=1,
        updated_at=t1,
    )
    step = {"version": 2, "updated_at": t2}
    free = {"started_at": None, "lease_owner": None, "lease_until": None}

    assert rules.claimed(task, operator, t1) == leased
    assert rules.claimed(leased, operator, t2) == replace(leased, lease_until=t2 + 30 * MINUTE, **step)
    assert rules.renewed(leased, operator, t2, 5) == replace(leased, lease_until=t2 + 5 * MINUTE, **step)
    assert rules.released(leased, operator, t2) == replace(leased, status=PENDING, **free, **step)
    done = rules.completed(leased, operator, t2)
    assert done == replace(leased, status=COMPLETED, finished_at=t2, lease_until=None, **step)
    assert rules.rejected(leased, operator, " No ", t2) == replace(
        leased, status=REJECTED, finished_at=t2, lease_owner=None, lease_until=None, reason="No", **step
    )
    assert rules.cancelled(task, t1) == replace(task, status=CANCELLED, finished_at=t1, version=1, updated_at=t1)
    original, again = rules.redo(done, " The table ", t3)
    assert original == replace(done, redone_by=again.task_id, version=3, updated_at=t3)
    assert again == Task(
        task_id=task_id_for(task.user_email, f"redo\n{task.task_id}"),
        user_email=task.user_email,
        description=task.description,
        status=PENDING,
        credits_spent=0,
        created_at=t3,
        updated_at=t3,
        redo_of=task.task_id,
        redo_note="The table",
    )
    assert [each.is_open for each in (task, leased, done)] == [True, True, False]


def test_a_task_whose_lease_has_run_out_counts_as_never_begun(task):
    claimed = rules.claimed(task, "op@example.com", NOW, 30)

    assert claimed.as_of(NOW + 30 * MINUTE) == replace(task, version=1, updated_at=claimed.updated_at)
    assert claimed.as_of(NOW + 29 * MINUTE) is claimed
    with pytest.raises(WrongState, match=r"^Your lease has run out"):
        rules.renewed(claimed, "op@example.com", NOW + 30 * MINUTE)


def test_a_task_of_unknown_origin_does_not_move(task):
    with pytest.raises(WrongState, match="cannot move: from before"):
        rules.claimed(replace(task, unexplained="from before"), "op@example.com", NOW)


def test_a_claim_succeeds_when_the_lease_of_another_has_run_out(task):
    claimed = rules.claimed(task, "op@example.com", NOW, 30)

    taken = rules.claimed(claimed, "two@example.com", LATER)

    assert (taken.lease_owner, taken.started_at) == ("two@example.com", LATER)


@pytest.mark.parametrize("step", [rules.completed, rules.renewed, rules.released])
def test_only_a_live_lease_counts_when_its_holder_acts(task, step):
    claimed = rules.claimed(task, "op@example.com", NOW, 30)

    with pytest.raises(WrongState):
        step(task, "op@example.com", NOW)  # not claimed at all
    with pytest.raises(WrongState):
        step(claimed, "two@example.com", NOW)  # somebody else's
    with pytest.raises(WrongState):
        step(claimed, "op@example.com", LATER)  # run out
    assert step(claimed, "op@example.com", NOW + MINUTE).version == claimed.version + 1


def test_a_cancel_is_refused_when_work_has_begun(task):
    claimed = rules.claimed(task, "op@example.com", NOW, 30)

    with pytest.raises(WrongState):
        rules.cancelled(claimed, NOW)

    assert rules.cancelled(task, NOW).status == CANCELLED
    assert rules.cancelled(claimed, LATER).status == CANCELLED  # the lease ran out: it is pending again


def test_a_rejection_is_refused_when_another_works_on_the_task(task):
    claimed = rules.claimed(task, "op@example.com", NOW, 30)

    with pytest.raises(WrongState):
        rules.rejected(claimed, "two@example.com", "Not possible", NOW)

    assert rules.rejected(task, "two@example.com", "Not possible", NOW).reason == "Not possible"
    assert rules.rejected(claimed, "op@example.com", "Not possible", NOW).status == REJECTED


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 501, "nul \x00", None])
def test_a_rejection_is_refused_when_it_says_no_reason(task, reason):
    with pytest.raises(InvalidInput):
        rules.rejected(task, "op@example.com", reason, NOW)


@pytest.mark.parametrize("minutes", [0, -1, 241, True, "30", 1.5])
def test_a_claim_is_refused_when_the_lease_is_out_of_bounds(task, minutes):
    with pytest.raises(InvalidInput):
        rules.claimed(task, "op@example.com", NOW, minutes)


def test_nothing_follows_when_a_task_is_closed(task):
    claimed = rules.claimed(task, "op@example.com", NOW, 30)
    closed = [
        rules.completed(claimed, "op@example.com", NOW),
        rules.cancelled(task, NOW),
        rules.rejected(task, "op@example.com", "No", NOW),
    ]

    for done in closed:
        for step in (
            lambda t: rules.claimed(t, "op@example.com", NOW),
            lambda t: rules.completed(t, "op@example.com", NOW),
            lambda t: rules.released(t, "op@example.com", NOW),
            lambda t: rules.rejected(t, "op@example.com", "No", NOW),
            lambda t: rules.cancelled(t, NOW),
        ):
            with pytest.raises(WrongState):
                step(done)


def test_a_redo_is_free_and_linked_when_the_task_was_completed_lately(task):
    done = rules.completed(rules.claimed(task, "op@example.com", NOW), "op@example.com", NOW)

    original, again = rules.redo(done, "The table is missing", NOW + timedelta(days=14))

    assert (original.status, original.redone_by) == (COMPLETED, again.task_id)
    assert (again.status, again.credits_spent, again.redo_of) == (PENDING, 0, task.task_id)
    unwanted = rules.rejected(task, "op@example.com", "No", NOW)
    for refused in (original, again, task, unwanted):  # twice, of a redo, of what is not completed
        with pytest.raises(WrongState, match="redone once, within 14 days"):
            rules.redo(refused, "Again", NOW)
    with pytest.raises(WrongState):
        rules.redo(done, "Too late", NOW + timedelta(days=15))


def test_the_estimate_is_the_median_when_there_are_enough_samples():
    assert rules.median_minutes([60] * 4) is None
    assert rules.median_minutes([30, 60, 61, 6000, 7000]) == 2
    assert rules.median_minutes([0, 0, 60, 240, 300, 300]) == 3  # 2.5, rounded up
    assert rules.median_minutes([0, 0, 0, 60, 240, 300, 300, 300]) == 3
    assert rules.median_minutes([0, 0, 0, 0, 60, 240, 240, 240, 240]) == 1
    assert rules.median_minutes([0] * 5) == 1


@pytest.mark.parametrize(
    ("refuse", "field", "words"),
    [
        (lambda task: rules.check_description(" \n"), "description", "Describe the task first"),
        (lambda task: rules.check_description("x" * 5001), "description", "has 5,001 characters; at most 5,000 fit"),
        (lambda task: rules.check_description(None), "description", "Description must be text"),
        (lambda task: rules.check_result("x" * 50_001), "result", "has 50,001 characters; at most 50,000 fit"),
        (lambda task: rules.check_result(None), "result", "Result must be text"),
        (lambda task: rules.check_reason(" "), "reason", "Give a reason"),
        (lambda task: rules.check_reason("x" * 501), "reason", "has 501 characters; at most 500 fit"),
        (lambda task: rules.check_reason(None), "reason", "Reason must be text"),
        (lambda task: rules.redo(task, " ", NOW), "note", "Say what was missing"),
        (lambda task: rules.redo(task, "x" * 501, NOW), "note", "At most 500 characters fit"),
        (lambda task: rules.redo(task, None, NOW), "note", "Note must be text"),
        (lambda task: rules.check_lease(0), "minutes", "lasts 1 to 240 minutes"),
    ],
)
def test_a_refusal_names_the_field_and_what_is_wrong_with_it(task, refuse, field, words):
    with pytest.raises(InvalidInput, match=words) as refusal:
        refuse(task)

    told = refusal.value.details()
    assert (told["field"], told["errors"][0]["field"]) == (field, field)


def test_the_longest_text_fits_when_it_is_just_within_its_limit(task):
    done = rules.completed(rules.claimed(task, "op@example.com", NOW), "op@example.com", NOW)

    assert rules.check_description("x" * 5000) == "x" * 5000
    assert rules.check_result("x" * 50_000) == "x" * 50_000
    assert rules.check_reason("x" * 500) == "x" * 500
    assert rules.redo(done, "x" * 500, NOW)[1].redo_note == "x" * 500
    assert [rules.check_lease(minutes) for minutes in (1, 240)] == [1, 240]


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (lambda leased: rules.cancelled(leased, NOW), "Work on this task has begun"),
        (
            lambda leased: rules.completed(leased, "two@example.com", NOW),
            r"op@example\.com is working on this task, not",
        ),
        (lambda leased: rules.released(replace(leased, status=PENDING), "op", NOW), "Nobody is working on this task"),
        (lambda leased: rules.completed(replace(leased, status=COMPLETED), "op", NOW), "has been completed already"),
        (lambda leased: rules.completed(replace(leased, status=CANCELLED), "op", NOW), "customer has cancelled this"),
        (lambda leased: rules.claimed(replace(leased, status=CANCELLED), "op", NOW), "customer has cancelled this"),
        (lambda leased: rules.rejected(replace(leased, status=REJECTED), "op", "No", NOW), "been rejected already"),
        (lambda leased: rules.claimed(replace(leased, status="odd"), "op", NOW), "This task is odd"),
        (lambda leased: rules.cancelled(replace(leased, status=COMPLETED), NOW), "is completed and cannot become canc"),
        (lambda leased: rules.cancelled(replace(leased, status="odd"), NOW), "is odd and cannot become cancelled"),
    ],
)
def test_a_refusal_says_where_the_task_stands(task, step, words):
    with pytest.raises(WrongState, match=words):
        step(rules.claimed(task, "op@example.com", NOW))


@pytest.mark.parametrize("key", ["", "r-1", "x" * 255, "with space ~"])
def test_an_idempotency_key_is_kept_when_it_is_printable(key):
    assert rules.check_idempotency_key(key) == key


@pytest.mark.parametrize("key", ["x" * 256, "é", "tab\there", "line\n", "\x7f"])
def test_an_idempotency_key_is_refused_when_it_is_not_printable_ascii(key):
    with pytest.raises(Malformed, match="at most 255 printable ASCII characters"):
        rules.check_idempotency_key(key)


def test_keys_of_forms_are_random_and_acceptable():
    keys = {rules.new_idempotency_key() for _ in range(100)}

    assert len(keys) == 100
    assert all(len(rules.check_idempotency_key(key)) >= 22 for key in keys)


@pytest.mark.parametrize(
    ("minutes", "word"), [(0, "new"), (59, "new"), (60, "due"), (239, "due"), (240, "late"), (6000, "late")]
)
def test_an_age_has_a_word(minutes, word):
    assert rules.age_word(NOW - timedelta(minutes=minutes), NOW) == word


@pytest.mark.parametrize(("seconds", "minutes"), [(1800, 30), (1799, 29), (60, 1), (59, 0), (0, 0), (-90, 0)])
def test_what_is_left_of_a_lease_is_never_told_too_long(task, seconds, minutes):
    leased = replace(rules.claimed(task, "op", NOW), lease_until=NOW + timedelta(seconds=seconds))

    assert leased.minutes_left(NOW) == minutes


@pytest.mark.parametrize(("minutes", "over"), [(30, False), (15, False), (14, True), (0, True)])
def test_a_lease_is_renewed_for_who_works_on_once_half_of_it_is_over(task, minutes, over):
    leased = replace(rules.claimed(task, "op", NOW), lease_until=NOW + timedelta(minutes=minutes))

    assert rules.is_half_over(leased, NOW) is over


def test_what_nobody_holds_has_no_minutes_left(task):
    assert task.minutes_left(NOW) == 0
