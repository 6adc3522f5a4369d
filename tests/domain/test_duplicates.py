"""Which texts say nearly the same: noticed before one is paid for twice, and not one too many."""

from dataclasses import replace

import pytest

from app.domain.duplicates import MAX_WORDS, REMEMBERED, find_twin, marks, may_repeat, remember, repeated_within
from app.domain.tasks import CANCELLED, COMPLETED, REJECTED, new_task
from tests.support import NOW

TEXT = "Summarise the quarterly report of the northern branch in two pages with a table of the figures"


def task(text: str, **fields):
    return replace(new_task("ada@example.com", text, text, NOW), **fields)


@pytest.mark.parametrize(
    "earlier",
    [
        TEXT,
        TEXT.upper() + "!",
        TEXT.replace(" ", "\n  "),
        TEXT + " please",
    ],
)
def test_a_twin_is_found_when_an_earlier_text_says_nearly_the_same(earlier):
    twin = task(earlier)

    assert find_twin(TEXT, [task("Something else altogether"), twin, task(TEXT)]) is twin
    assert may_repeat(remember("", earlier), TEXT)


@pytest.mark.parametrize(
    "earlier",
    [
        "Something else altogether",
        TEXT.replace("northern", "southern").replace("quarterly", "yearly"),
        " ".join(reversed(TEXT.split())),
        TEXT + " 13",  # invoice 12 and invoice 13 are two tasks
        "",
    ],
)
def test_no_twin_is_found_when_the_texts_differ(earlier):
    assert find_twin(TEXT, [replace(task("x"), description=earlier)]) is None


def test_numbers_count_when_two_texts_differ_in_nothing_else():
    assert find_twin(f"{TEXT} 12", [task(f"{TEXT} 13")]) is None
    assert find_twin(f"{TEXT} 12", [task(f"{TEXT} 13"), task(f"{TEXT} 12")]) is not None


@pytest.mark.parametrize(
    ("more", "same"),
    [(4, True), (5, False)],  # 2 × 23 words in common of 50, of 51
)
def test_a_twin_shares_at_least_92_of_100_words(more, same):
    words = [f"word{chr(97 + number)}" for number in range(23)]
    longer = words + ["more", "words", "than", "there", "were"][:more]

    assert bool(find_twin(" ".join(words), [task(" ".join(longer))])) is same


def test_a_long_text_has_a_twin_when_its_words_come_often():
    text = "one two three four " * (MAX_WORDS // 4)

    assert find_twin(text, [task(text.replace("one", "first", 1))]) is not None


def test_a_task_that_was_called_off_is_nobodys_twin():
    done = task(TEXT, status=COMPLETED)

    assert find_twin(TEXT, [task(TEXT, status=CANCELLED), task(TEXT, status=REJECTED), done]) is done


def test_no_mark_is_made_of_a_text_that_says_too_little():
    assert marks("Summarise the report") == ()
    assert len(marks("Summarise the whole report")) == 2
    assert not may_repeat(remember("", "Summarise it"), "Summarise it")


def test_marks_name_the_words_in_any_order_and_the_first_six_of_them():
    whole, beginning = marks(TEXT)

    assert marks(" ".join(reversed(TEXT.split())))[0] == whole
    assert marks(" ".join(TEXT.split()[:6]) + " and so on")[1] == beginning
    assert marks(" ".join(TEXT.split()[:5]) + " and so on")[1] != beginning


def test_a_mark_that_was_kept_is_found_when_the_code_is_newer():
    assert marks("one two three four") == ("1e57a", "113f6")


def test_only_the_latest_texts_are_remembered():
    texts = [f"{TEXT} number {number}" for number in range(REMEMBERED + 1)]
    recent = ""
    for text in texts:
        recent = remember(recent, text)

    assert len(recent.split()) == 2 * REMEMBERED
    assert recent.split()[-2:] == list(marks(texts[-1]))
    assert recent.split()[:2] == list(marks(texts[1]))
    assert not may_repeat(recent, "Nothing of the kind was ever asked")


def test_repeats_are_told_by_their_place_when_texts_come_together():
    assert repeated_within(["One thing", "another", "one  THING!", "other", "one thing"]) == {2, 4}


def test_only_the_beginning_of_a_long_text_is_compared():
    long = " ".join(f"word{number}" for number in range(MAX_WORDS))

    assert find_twin(long + " the end", [task(long + " another end")]) is not None
    assert repeated_within([long + " the end", long + " another end"]) == {1}


def test_a_text_is_marked_when_it_holds_what_cannot_be_encoded():
    assert len(marks("one two three \ud800 four")) == 2
