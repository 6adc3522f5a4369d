"""Behind a restore: whose session had ended, and who had left, is not back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.data import Store
from app.data.table_copies import PARTS, TableCopies
from app.data.table_setup import create_tables
from app.data.tables import ALL
from app.domain.accounts import BROWSER, Session
from app.services import accounts, customers, queue, tasks
from app.services.backup import settling
from app.services.passwords import Passwords
from tests.services.test_restoring import remove
from tests.support import NOW, PASSWORD, make_account, make_operators

ADA, BOB, EVE, OP = "ada@example.com", "bób@example.com", "eve@example.com", "op@example.com"
LOST, LATER = "Restored_Lost_", NOW + timedelta(hours=3)
SESSIONS = {"a" * 32: Session("a" * 32, BROWSER, NOW, NOW)}


@pytest.fixture
def files(app):
    found = app.extensions["impacteragi"].files
    found.create_bucket()
    return found


@pytest.fixture
def lost(store, files, setting_up):
    """The tables of before: as those here, and then Ada has left, Bob too, and an operator has disabled Eve."""
    make_operators(store, OP)
    for email in (ADA, BOB, EVE):
        make_account(store, email, credits=50, sessions=SESSIONS)
    task_id = tasks.submit(store, store.accounts.get(ADA), "What nobody is to read", now=NOW).task.task_id
    queue.claim(store, OP, task_id, now=NOW)
    queue.complete(store, OP, task_id, "An answer.", files=[files.put(task_id, "a.txt", b"One.")], now=NOW)
    tasks.submit(store, store.accounts.get(BOB), "Still open here", now=NOW)
    remove(setting_up)
    create_tables(setting_up, LOST)
    here, there = TableCopies(setting_up, store.prefix), TableCopies(setting_up, LOST)
    for table in ALL:
        for part in range(PARTS):
            for items, _ in here.pages(table.suffix, part):
                there.put(table.suffix, items)
    found = Store(setting_up, LOST)
    (open_one,) = found.tasks.every_of(BOB)
    queue.cancel(found, found.accounts.get(BOB), open_one.task_id, now=LATER)
    for email in (ADA, BOB):
        accounts.delete(found, Passwords(4), found.accounts.get(email), PASSWORD, now=LATER)
    customers.disable(found, OP, EVE, "Stolen", now=LATER)
    yield found
    remove(setting_up)


@pytest.mark.threat(116)
def test_who_had_left_is_deleted_again_and_everybody_is_signed_out(store, lost, files):
    done = settling.settle(store, files, lost, actor=OP, now=LATER)

    ada, bob, eve = (store.accounts.get(email) for email in (ADA, BOB, EVE))
    assert (ada.deleted_at, ada.password_hash, ada.sessions) == (LATER, None, {})
    (task,) = store.tasks.every_of(ADA)
    assert "nobody is to read" not in str(task)
    left = [key for key, _ in files.sizes() if task.task_id in key]
    assert (store.tasks.get_with_result(task.task_id)[1], left) == (None, [])
    assert (bob.sessions, eve.sessions, eve.session_version) == ({}, {}, 1)
    assert (done.deleted, done.open_tasks, done.signed_out) == (1, [BOB], 2)
    assert {(act, about) for act, about in done.acts if not act.startswith("task.")} == {("account.disable", EVE)}
    again = settling.settle(store, files, lost, actor=OP, now=LATER)
    assert (again.deleted, again.open_tasks, again.signed_out) == (0, [BOB], 0)


@pytest.mark.threat(116)
def test_who_had_no_password_at_the_moment_is_deleted_again(store, lost, files):
    """Somebody who had bought as a guest, and set one only after it."""
    store.updates.accounts.change(store.accounts.get(ADA), password_hash=None)

    done = settling.settle(store, files, lost, actor=OP, now=LATER)

    assert (store.accounts.get(ADA).deleted_at, done.deleted) == (LATER, 1)


@pytest.mark.threat(116)
def test_who_has_come_back_stays_whatever_older_tables_say(store, lost, files):
    """As when those of a drill are named: in them Ada has left, here she has left as often and come back."""
    store.updates.accounts.change(store.accounts.get(ADA), life=1)

    done = settling.settle(store, files, lost, actor=OP, now=LATER)

    assert (store.accounts.get(ADA).deleted_at, done.deleted) == (None, 0)


@pytest.mark.threat(116)
def test_the_command_says_what_it_did_and_what_it_cannot_know(app, store, lost):
    run = app.test_cli_runner().invoke

    served = run(args=["restore", "settle"])
    with_them = run(args=["restore", "settle", "--imported", "--lost", LOST])
    here = TableCopies(store.client, store.prefix)
    here.mark("Users", "tonight 1234")
    without = run(args=["restore", "settle"])
    wrong = [run(args=["restore", "settle", "--lost", name]).output for name in (store.prefix, "Nowhere_")]
    here.mark("Users", "")

    assert (served.exit_code, "was not made by restore run" in served.output) == (2, True)
    assert with_them.exit_code == 1, with_them.output
    assert "2 accounts signed out, 1 deleted again." in with_them.output
    assert f"{BOB} had deleted the account, and has open tasks here" in with_them.output
    assert "disabled the account" in with_them.output
    assert (without.exit_code, "is not known without --lost" in without.output) == (0, True)
    assert ["is what is settled here" in wrong[0], "There are no tables Nowhere_Users" in wrong[1]] == [True, True]
