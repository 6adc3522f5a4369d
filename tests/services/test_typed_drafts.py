"""What is typed is kept as the newest of its place, and never comes back once its form has gone through."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest

from app.domain.drafts import KEPT_FOR
from app.domain.errors import InvalidInput
from app.domain.tasks import MAX_BATCH, MAX_DESCRIPTION
from app.domain.typed_drafts import MAX_PLACES, DraftSent, Mark
from app.services import accounts, typed_drafts
from app.services.passwords import Passwords
from tests.support import NOW, PASSWORD, make_account

PLACE = "/tasks"
FIRST, SECOND = Mark(PLACE, ("first1",)), Mark(PLACE, ("second",))


@pytest.fixture
def ada(store):
    return make_account(store, credits=100)


def keep(store, account, mark, text, number=1, now=NOW):
    fields = (("description", text),) if text else ()
    return typed_drafts.keep(store, account, mark, number, fields, now=now)


def text_of(store, account, place=PLACE, now=NOW):
    (found,) = typed_drafts.find_many(store, account, [place], now=now)
    return found.unpacked().fields[0][1] if found else None


def test_the_newer_save_wins_and_says_what_it_replaced(store, ada):
    assert keep(store, ada, FIRST, "One").instead_of is None
    assert keep(store, ada, FIRST, "One more", 2).instead_of is None

    other = keep(store, ada, SECOND, "Two", now=NOW + timedelta(minutes=1))

    assert other.instead_of == NOW
    assert text_of(store, ada) == "Two"
    assert keep(store, ada, SECOND, "Two more", 2).instead_of is None


def test_who_goes_on_with_a_draft_replaces_nothing(store, ada):
    keep(store, ada, FIRST, "One")

    later = keep(store, ada, Mark(PLACE, ("third1", "first1")), "One, and more")

    assert later.instead_of is None
    assert text_of(store, ada) == "One, and more"


def test_a_save_that_was_overtaken_changes_nothing(store, ada):
    keep(store, ada, FIRST, "Newer", 7)

    keep(store, ada, FIRST, "Older", 6)

    assert text_of(store, ada) == "Newer"


@pytest.mark.threat(101)
def test_a_late_save_does_not_bring_a_text_back_that_was_sent(store, ada):
    keep(store, ada, FIRST, "Sent")
    for _ in range(2):
        typed_drafts.finish(store, ada, FIRST, now=NOW)

    with pytest.raises(DraftSent):
        keep(store, ada, FIRST, "Sent", 2)

    assert text_of(store, ada) is None
    keep(store, ada, SECOND, "Another")
    assert text_of(store, ada) == "Another"


def test_a_first_save_that_comes_after_the_form_was_sent_is_refused(store, ada):
    typed_drafts.finish(store, ada, FIRST, now=NOW)

    with pytest.raises(DraftSent):
        keep(store, ada, FIRST, "Sent")


def test_what_another_page_has_kept_stays_when_a_form_is_sent(store, ada):
    keep(store, ada, SECOND, "Of another tab")

    typed_drafts.finish(store, ada, FIRST, now=NOW)

    assert text_of(store, ada) == "Of another tab"


@pytest.mark.threat(101)
def test_a_draft_is_gone_whichever_of_save_and_submit_comes_first(store, ada):
    acts = [partial(typed_drafts.finish, store, ada, FIRST, now=NOW)]
    acts += [partial(keep, store, ada, FIRST, f"Text {number}", number) for number in range(1, 6)]

    with ThreadPoolExecutor(6) as pool:
        raised = {type(each.exception()) for each in [pool.submit(act) for act in acts]}

    assert raised <= {type(None), DraftSent}
    assert text_of(store, ada) is None


def test_an_emptied_field_leaves_no_draft(store, ada):
    keep(store, ada, FIRST, "One")

    keep(store, ada, FIRST, "", 2)

    assert text_of(store, ada) is None


def test_a_draft_expires(store, ada):
    keep(store, ada, FIRST, "One")
    later = NOW + KEPT_FOR

    assert text_of(store, ada, now=later - timedelta(seconds=2)) == "One"
    assert text_of(store, ada, now=later) is None
    assert keep(store, ada, SECOND, "Two", now=later + timedelta(seconds=1)).instead_of is None
    assert text_of(store, ada, now=later + timedelta(seconds=2)) == "Two"


@pytest.mark.parametrize("first", [0x4E00, 0xAC00, 0x1F300], ids=["Chinese", "Korean", "emoji"])
def test_the_longest_batch_of_any_script_is_kept_whole(store, ada, first):
    letters = random.Random(1)
    how_many = 0x400 if first > 0xFFFF else 0x2BA0
    lines = "\n".join(
        "".join(chr(first + letters.randrange(how_many)) for _ in range(MAX_DESCRIPTION)) for _ in range(MAX_BATCH)
    )

    keep(store, ada, FIRST, lines)

    assert text_of(store, ada) == lines


def test_a_text_that_no_row_holds_is_refused_and_the_last_one_stays(store, ada):
    keep(store, ada, FIRST, "Short")
    noise = random.Random(2)

    with pytest.raises(InvalidInput):
        keep(store, ada, FIRST, "".join(chr(noise.randrange(0x20000, 0x2FFFF)) for _ in range(200_000)), 2)

    assert text_of(store, ada) == "Short"


def test_places_have_a_bound(store, ada, monkeypatch):
    monkeypatch.setattr(typed_drafts, "MAX_PLACES", 3)
    assert MAX_PLACES > 100
    for number in range(3):
        keep(store, ada, Mark(f"/tasks/{number}/redo", ("first1",)), "One")

    with pytest.raises(InvalidInput):
        keep(store, ada, FIRST, "One too many")
    keep(store, ada, Mark("/tasks/2/redo", ("first1",)), "More of it", 2)


@pytest.mark.threat(101)
def test_nothing_is_left_of_a_deleted_account_nor_given_to_who_comes_back(store, ada):
    keep(store, ada, FIRST, "Private")
    accounts.delete(store, Passwords(4), ada, PASSWORD, now=NOW)

    assert list(store.typed_drafts.ids_of(ada.account_id)) == []
    keep(store, ada, FIRST, "Too late", 2)  # it was in flight
    gone = store.accounts.get(ada.email)
    assert text_of(store, gone) is None
    typed_drafts.erase(store, gone)
    assert list(store.typed_drafts.ids_of(ada.account_id)) == []


@pytest.mark.parametrize("text", ["", "tasks", "/" * 600, "/tasks x", "/tasks äääääää", "/tasks first1 *"])
def test_a_mark_that_makes_no_sense_is_refused(text):
    from app.domain.errors import Malformed

    with pytest.raises(Malformed):
        Mark.read(text)
