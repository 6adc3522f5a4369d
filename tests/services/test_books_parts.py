"""The check of the books in parts: side by side, in memory that does not grow, and on from where it was broken off."""

from __future__ import annotations

import json
import tracemalloc
from datetime import timedelta

import pytest

from app.data import Store
from app.domain.checks import LASTS
from app.services import book_look, books, checks, tasks
from app.services.work_file import NoRoom, WorkFile
from scripts.books import audit, trial
from scripts.books.audit import opened
from scripts.books.made_up import KINDS, MadeUp, Pages
from tests.both_ways import export_to
from tests.support import NOW, make_account

pytestmark = pytest.mark.long

PREFIX = "ImpacterAGI_"


class Killed(BaseException):
    """As if the process had gone: nothing catches it, and nothing is put in order."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def store(empty_store, folder, monkeypatch):
    """Twelve accounts in four parts; the balance of two is wrong."""
    monkeypatch.setattr(book_look, "ACCOUNTS_A_PART", 4)
    monkeypatch.setattr(book_look, "ROWS_A_PART", 4)
    monkeypatch.setattr(empty_store.whole, "size", lambda table: 12)
    for number in range(12):
        account = make_account(empty_store, f"c{number}@example.com", credits=10 + number)
        if number in (3, 8):
            empty_store.updates.accounts.change(account, credits_balance=1)
    return empty_store


def check(store, now=NOW, said=None, **how):
    say = (said if said is not None else []).append
    return checks.check(store, clock=lambda: now, again=lambda: None, say=say, **how)


def kill_at(store, monkeypatch, what: str, after: int):
    """The process goes once so many have been read."""
    read, reads = getattr(store.ledger, what), []

    def until(*of):
        reads.append(of)
        if len(reads) > after:
            raise Killed
        return read(*of)

    with monkeypatch.context() as patched:
        patched.setattr(store.ledger, what, until)
        with pytest.raises(Killed):
            check(store)


def counted(store, monkeypatch, what: str) -> list:
    read, reads = getattr(store.ledger, what), []
    monkeypatch.setattr(store.ledger, what, lambda *of: (reads.append(of), read(*of))[1])
    return reads


def test_parts_side_by_side_find_what_one_part_finds(store):
    in_parts = books.check(store)
    store.whole.size = lambda table: 0

    assert in_parts == books.check(store)
    assert {one.subject for one in in_parts} == {"c3@example.com", "c8@example.com"}


@pytest.mark.parametrize("lost", [False, True])
def test_one_that_was_killed_among_the_accounts_goes_on_where_it_stopped(store, folder, monkeypatch, lost):
    """With the findings of the parts that had ended; on another machine, which has no file of it, too."""
    monkeypatch.setattr(book_look.BOOKS, "submit", book_look_in_turn)
    whole = books.check(store)
    kill_at(store, monkeypatch, "links_of", after=8)
    if lost:
        for path in folder.iterdir():
            path.unlink()
    reads, said = counted(store, monkeypatch, "links_of"), []

    assert check(store, NOW + timedelta(minutes=1), said) == whole

    assert 2 < len(set(reads)) < 12
    (word,) = said
    assert word.startswith("Going on with the check that was begun at 12:00 UTC: ")
    assert not list(folder.glob("books-*.sqlite"))
    reads.clear()
    assert check(store, NOW + timedelta(minutes=2), said) == whole
    assert (len(set(reads)), len(said)) == (12, 1), "it has come to its end: the next begins anew"


def test_one_that_was_killed_in_the_ledger_reads_no_part_of_it_twice(store, monkeypatch):
    monkeypatch.setattr(book_look.BOOKS, "submit", book_look_in_turn)
    whole = books.check(store)
    kill_at(store, monkeypatch, "every", after=2)
    reads, of_accounts = counted(store, monkeypatch, "every"), counted(store, monkeypatch, "links_of")

    assert check(store) == whole

    assert reads == [((part, 4),) for part in (2, 3)]
    assert len(set(of_accounts)) == 2, "those that differ, once more"


def test_one_that_goes_on_much_later_reads_what_crosses_accounts_anew(store, monkeypatch):
    """Else each task of the hours between would seem to lack its spend, all of them to be looked at again."""
    monkeypatch.setattr(book_look.BOOKS, "submit", book_look_in_turn)
    kill_at(store, monkeypatch, "every", after=2)
    account = store.accounts.get("c11@example.com")
    tasks.submit(store, account, "Meanwhile", now=NOW + timedelta(hours=1))
    reads, of_accounts = counted(store, monkeypatch, "every"), counted(store, monkeypatch, "links_of")

    found = check(store, NOW + timedelta(hours=2))

    assert {one.subject for one in found} == {"c3@example.com", "c8@example.com"}
    assert reads == [((part, 4),) for part in range(4)], "once: there was nothing to look at again"
    assert len(set(of_accounts)) == 2


def book_look_in_turn(read, *given):
    """One part after the other, so that it is known which have ended."""
    from concurrent.futures import Future

    done = Future()
    try:
        done.set_result(read(*given))
    except BaseException as error:
        done.set_exception(error)
    return done


@pytest.mark.parametrize(("later", "how"), [(LASTS, {}), (timedelta(minutes=1), {"anew": True}), (-LASTS, {})])
def test_one_that_is_too_old_or_not_wanted_is_begun_anew(store, monkeypatch, later, how):
    kill_at(store, monkeypatch, "links_of", after=8)
    store.updates.accounts.change(store.accounts.get("c3@example.com"), credits_balance=13)
    reads, said = counted(store, monkeypatch, "links_of"), []

    assert {one.subject for one in check(store, NOW + later, said, **how)} == {"c8@example.com"}
    assert (len(set(reads)), said) == (12, [])


def test_what_was_put_right_since_is_not_named(store, monkeypatch):
    kill_at(store, monkeypatch, "every", after=0)
    store.updates.accounts.change(store.accounts.get("c3@example.com"), credits_balance=13)

    assert {one.subject for one in check(store)} == {"c8@example.com"}


def test_what_was_put_right_while_other_tables_were_read_is_not_named(store):
    """Else `--freeze` would stop an account again that an operator has just put right."""

    def put_right(what, done):
        if what == "tasks":
            store.updates.accounts.change(store.accounts.get("c3@example.com"), credits_balance=13)

    found = checks.check(store, clock=lambda: NOW, again=lambda: None, progress=put_right)

    assert {one.subject for one in found} == {"c8@example.com"}


def test_one_that_was_killed_as_it_ended_has_lost_no_finding(store, monkeypatch):
    """The next one may begin anew, or go on; it must not take emptied parts for parts without findings."""
    whole, update, writes = books.check(store), store.updates.checks._update, []

    def until(*given, **named):
        writes.append(given)
        if len(writes) > 5 + 1:  # it was begun, and its four parts were kept
            raise Killed
        return update(*given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(store.updates.checks, "_update", until)
        with pytest.raises(Killed):
            check(store)

    assert check(store) == whole


def test_of_a_check_that_has_ended_nothing_stays_that_names_anybody(store):
    check(store)

    rows = [row for row in store._scan("Status") if row["name"].startswith("books-")]
    assert len(rows) == 5
    assert "example.com" not in str(rows)
    assert store.checks.begun() is None


def test_two_at_once_come_to_the_same(store, folder, monkeypatch):
    """One is at work in the file of the run; whoever goes on with it beside that takes another file."""
    kill_at(store, monkeypatch, "every", after=0)
    held = WorkFile(store.checks.begun().run)

    assert {one.subject for one in check(store)} == {"c3@example.com", "c8@example.com"}
    assert held.path.exists()
    held.close(remove=True)


def test_a_part_with_more_findings_than_a_row_holds_is_read_again(store, monkeypatch):
    monkeypatch.setattr("app.data.checks.MOST_KEPT", 0)
    monkeypatch.setattr(book_look.BOOKS, "submit", book_look_in_turn)
    whole = books.check(store)
    kill_at(store, monkeypatch, "every", after=0)

    assert check(store) == whole


def test_a_part_that_fails_ends_the_others_and_is_told(store, monkeypatch):
    def fail(email):
        raise RuntimeError(f"out of reach: {email}")

    monkeypatch.setattr(store.ledger, "links_of", fail)

    with pytest.raises(RuntimeError, match="out of reach"):
        books.check(store)


def test_who_stops_it_is_heard_and_nothing_goes_on_behind(store):
    def stop(what, done):
        if what == "tasks":
            raise checks.Interrupted("It is to end.")

    with pytest.raises(checks.Interrupted):
        books.check(store, progress=stop)


def test_a_disk_without_room_is_told_in_words(store, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/nowhere/at/all")

    with pytest.raises(NoRoom, match="Name a folder with room in TMPDIR"):
        check(store)


def test_a_file_that_is_broken_is_begun_anew(store, folder, monkeypatch):
    whole = books.check(store)
    kill_at(store, monkeypatch, "every", after=1)
    (file,) = folder.glob("books-*.sqlite")
    for path in folder.glob("books-*.sqlite-*"):
        path.unlink()
    file.write_bytes(b"no database at all" * 1000)

    assert check(store) == whole


def test_what_is_read_is_nobody_elses_to_read(store, folder, monkeypatch):
    kill_at(store, monkeypatch, "every", after=0)

    (file,) = folder.glob("books-*.sqlite")
    assert file.stat().st_mode & 0o077 == 0


def made_up(rows: int) -> Store:
    return Store(Pages(MadeUp(rows), PREFIX), PREFIX)


def test_twenty_thousand_rows_are_judged_alike_by_both(folder, tmp_path, monkeypatch):
    """The same rows as pages of a store, in several parts, and as an export."""
    monkeypatch.setattr(book_look, "ACCOUNTS_A_PART", 100)
    monkeypatch.setattr(book_look, "ROWS_A_PART", 5_000)
    monkeypatch.setattr("scripts.books.made_up.SPOILT_EVERY", 31)
    world = MadeUp(20_000)

    found = set(books.check(made_up(20_000)))
    rows = {
        table: list(world.rows(table)) for table in ("Users", "Transactions", "Tasks", "Payments", "Figures", "Status")
    }
    with opened(export_to(tmp_path / "export", rows)) as audited:
        said = set(audited.differences())

    assert said == found
    assert {world.spoilt(account) for account in range(world.accounts)} == {"", *KINDS}
    assert len({one.what for one in found}) >= len(KINDS)


def test_memory_does_not_grow_with_the_ledger(folder, monkeypatch):
    """What used to be held was 519 bytes a row. Pages are small here, so that both have full ones."""
    monkeypatch.setattr("scripts.books.made_up.PAGE", 50)
    monkeypatch.setattr(book_look, "ROWS_AT_ONCE", 50)

    def peak(rows: int) -> int:
        tracemalloc.start()
        books.check(made_up(rows))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    few, many = peak(4_000), peak(16_000)

    assert many - few < 12_000 * 519 / 10


def test_the_trial_of_any_size_says_the_same_both_ways(tmp_path, capsys, monkeypatch):
    """Its commands are those of the figures in docs/operating.md."""
    monkeypatch.setattr("sys.argv", ["trial", "pages", "--rows", "500"])
    trial.main()
    found = sorted(capsys.readouterr().out.splitlines())
    monkeypatch.setattr("sys.argv", ["trial", "export", "--rows", "500", "--into", str(tmp_path / "export")])
    trial.main()
    capsys.readouterr()

    assert audit.main(["check", "--export", str(tmp_path / "export"), "--json"]) == 1

    said = json.loads(capsys.readouterr().out)
    assert sorted(map(json.dumps, said)) == found
    assert found
