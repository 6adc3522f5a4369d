"""The life of a task as pure rules: which state may follow which, and who may take the step."""

from datetime import timedelta

import pytest

from app.domain import tasks as rules
from app.domain.errors import InvalidInput, WrongState
from app.domain.tasks import CANCELLED, COMPLETED, IN_PROGRESS, PENDING, REJECTED, new_task
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
        rules.claimed(claimed, "two@example.com", NOW + MINUTE)


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
    for refused in (original, again, task):  # twice, of a redo, of what is not completed
        with pytest.raises(WrongState):
            rules.redo(refused, "Again", NOW)
    with pytest.raises(WrongState):
        rules.redo(done, "Too late", NOW + timedelta(days=15))


def test_the_estimate_is_the_median_when_there_are_enough_samples():
    assert rules.median_minutes([60] * 4) is None
    assert rules.median_minutes([30, 60, 61, 6000, 7000]) == 2
    assert rules.median_minutes([60, 60, 60, 120, 120, 120]) == 2
    assert rules.median_minutes([0] * 5) == 1
