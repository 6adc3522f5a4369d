"""Text that can be kept exactly, and text that cannot."""

import sys
import time
import unicodedata
from contextlib import suppress

import pytest

from app.domain.accounts import normalise_email
from app.domain.codes import normalise_code
from app.domain.errors import InvalidInput
from app.domain.formatting import excerpt
from app.domain.second_factor import digits, recovery_hash
from app.domain.tasks import check_description, check_note, check_reason
from app.domain.text import compact, finder, first_part, one_line, plain_address, search_key, shows, storable, trimmed


@pytest.mark.parametrize("text", ["", "plain", "emoji 👩‍🚀", "\u202eright to left", "\u2028", "\x1b[31m", "e\u0301"])
def test_kept_exactly(text):
    assert storable(text, "description") == text


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "\udfff tail", None, 5, b"bytes", ["x"], {}])
def test_refused_by_the_name_of_its_field(text):
    with pytest.raises(InvalidInput) as refusal:
        storable(text, "description")

    assert refusal.value.field == "description"


@pytest.mark.parametrize(
    ("text", "words"),
    [(5, r"^Description must be text\.$"), ("\x00", r"^The text holds characters that cannot be stored\.$")],
)
def test_the_reason_is_told_when_text_is_refused(text, words):
    with pytest.raises(InvalidInput, match=words):
        storable(text, "description")


@pytest.mark.parametrize("char", ["\ud7ff", "\ue000"])
def test_kept_exactly_when_a_character_is_next_to_the_surrogates(char):
    assert storable(char, "description") == char


INVISIBLE = {
    "spaces": " \u00a0\u3000\n",
    "zero width space": "\u200b",
    "byte order mark": "\ufeff",
    "soft hyphens": "\u00ad\u00ad",
    "joiners": "\u200c\u200d",
    "word joiner": "\u2060",
    "marks of direction": "\u200e\u200f\u061c",
    "embeddings and isolates": "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069",
    "tag characters": "\U000e0001\U000e0041\U000e007f",
    "variation selectors": "\ufe0f\U000e0100",
    "Mongolian selectors": "\u180b\u180e\u180f",
    "Hangul fillers": "\u115f\u1160\u3164\uffa0",
    "Khmer inherent vowels": "\u17b4\u17b5",
    "grapheme joiner": "\u034f",
    "Braille blank": "\u2800",
    "invisible operators": "\u2061\u2062\u2063\u2064",
    "shorthand and music": "\U0001bca0\U0001d173\U0001d159",
    "interlinear notes": "\ufff9\ufffa\ufffb",
    "controls": "\x07\x1b\x7f\x85",
    "a picture's place": "\ufffc",
    "no characters": "\ufffe\uffff",
    "all at once": "\u200b \ufeff\u00ad\u2800\u3164",
}
VISIBLE = [
    *("x", "0", ".", "日本語", "שלום", "مرحبا", "\u0301", "\ufffd", "\ue000", "\u0600", "\U0001fae8"),
    *("👩\u200d🚀", "❤\ufe0f", "می\u200cخواهم", "\u202eabc", "\u200bx", "क्\u200dष", "🏴\U000e0067\U000e007f"),
]


@pytest.mark.threat(111)
@pytest.mark.parametrize("text", INVISIBLE.values(), ids=INVISIBLE)
def test_text_that_shows_nothing_is_known_for_it(text):
    assert not shows(text)
    assert shows(f"{text}x{text}")


@pytest.mark.threat(111)
@pytest.mark.parametrize("text", VISIBLE)
def test_text_that_shows_something_is_known_for_it(text):
    assert shows(text)


@pytest.mark.threat(111)
@pytest.mark.parametrize("text", INVISIBLE.values(), ids=INVISIBLE)
@pytest.mark.parametrize("check", [check_description, check_reason, check_note])
def test_a_task_a_reason_and_a_note_are_refused_when_they_show_nothing(check, text):
    with pytest.raises(InvalidInput):
        check(text)


@pytest.mark.threat(111)
@pytest.mark.parametrize("text", VISIBLE)
def test_a_task_is_kept_exactly_as_typed_when_it_shows_something(text):
    assert check_description(text) == text


def test_every_format_character_that_python_knows_is_invisible_but_for_those_that_draw_a_sign():
    drawn = {char for char in map(chr, range(sys.maxunicode)) if unicodedata.category(char) == "Cf" and shows(char)}

    assert drawn <= set("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")


PADDING = ["\u200b", "\ufeff", "\u00a0", "\u2028", "\u200e", "\u202a\u202c", "\u00ad", "\t", "\u2060 ", "\u3000"]


@pytest.mark.threat(111)
@pytest.mark.parametrize("padding", PADDING)
def test_what_was_pasted_is_read_when_nobody_sees_what_came_along(padding):
    assert trimmed(f"{padding}two words{padding}") == "two words"
    assert normalise_email(f"{padding}Ada@Example.com{padding}") == "ada@example.com"
    assert plain_address(f"{padding}Ada@Exa{padding}") == "ada@exa"
    assert normalise_code(f"{padding}fair{padding}-2099{padding}") == "FAIR-2099"
    assert digits(f"{padding}123{padding}456{padding}") == "123456"
    code = "abcdef-ghijkl-mnopqr-stuvwx"
    assert recovery_hash(f"{padding}{code.upper()}{padding}") == recovery_hash(code)
    assert finder(f"{padding}two{padding}")("One, two, three")


@pytest.mark.threat(111)
@pytest.mark.parametrize(
    ("typed", "meant"),
    [("１２３４５６", "123456"), ("123\u2013456", "123-456"), (None, ""), (5, ""), ("a\u2011b", "a-b")],
)
def test_a_code_is_read_as_it_was_meant(typed, meant):
    assert compact(typed) == meant


FORMS = ["Expos\u00e9", "Expose\u0301", "EXPOS\u00c9", "EXPOSE\u0301", "expose", "ex\u00adpos\u00e9", "Ｅｘｐｏｓé"]


@pytest.mark.threat(111)
@pytest.mark.parametrize("stored", FORMS)
@pytest.mark.parametrize("typed", FORMS)
def test_a_word_is_found_in_whichever_form_it_was_typed(typed, stored):
    assert finder(typed)(f"The {stored} of\nthe month")


@pytest.mark.threat(111)
@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("Menu\u0308", "Menü"),
        ("menü", "MENU\u0308"),
        ("MÜLLER", "Müller"),
        ("müller", "MÜLLER"),
        ("İstanbul", "istanbul"),
        ("istanbul", "İstanbul"),
        ("İSTANBUL", "İstanbul"),
        ("ISTANBUL", "ıstanbul"),
        ("strasse", "STRAẞE"),
        ("Straße", "STRASSE"),
        ("ΟΔΟΣ", "οδός"),
        ("fine", "ﬁne"),
        ("don't", "don’t"),
        ("a - b", "a – b"),
        ("monthly report", "monthly\n\u00a0 report"),
        ("lodz", "Łódź"),
        ("smørrebrød", "SMØRREBRØD"),
        ("שלום", "שָׁלוֹם"),
        ("كتاب", "كِتَاب"),
        ("한글", "\u1112\u1161\u11ab\u1100\u1173\u11af"),
        ("ガ", "ｶﾞ"),
        ("👩\u200d🚀", "an 👩\u200d🚀"),
    ],
)
def test_a_text_is_found_when_people_take_both_for_the_same(typed, stored):
    assert finder(typed)(stored)


@pytest.mark.parametrize(
    ("typed", "stored"), [("かく", "がく"), ("report", "repotr"), ("हिन्दी", "हिन्द"), ("no", "yes")]
)
def test_a_text_is_not_found_when_it_says_something_else(typed, stored):
    assert not finder(typed)(stored)


@pytest.mark.parametrize("words", ["", " ", "\u200b", "\ufeff \u00a0", "\u3164"])
def test_nothing_is_looked_for_when_the_words_show_nothing(words):
    assert finder(words) is None


@pytest.mark.threat(111)
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("two\n lines", "two lines"),
        ("\u200b" * 500 + "hidden behind", "hidden behind"),
        ("\u3164" * 60 + "x", "x"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\u2800", ""),
    ],
)
def test_a_title_shows_something_when_its_text_does(text, line):
    assert one_line(text) == line
    assert shows(excerpt(text))


LONG = 60_000  # what a form of anybody may hold: MAX_BODY
HOSTILE = {
    "spaces within": "a" + " " * LONG + "b",
    "invisible within": "a" + "\u200b" * LONG + "b",
    "ends of lines within": "a" + "\r\n" * (LONG // 2) + "b",
    "spaces and letters": " a" * (LONG // 2),
    "quotes": '"' * LONG,
    "cells": "a, " * (LONG // 3),
    "marks": "e" + "\u0301" * (LONG // 2),
}
READERS = [trimmed, one_line, compact, plain_address, shows, search_key, finder, excerpt, digits, recovery_hash]
READERS += [normalise_email, normalise_code, check_description, check_note, check_reason]


@pytest.mark.threat(40)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_the_work_for_a_text_grows_with_its_length_and_no_faster(read, text):
    """60,000 characters took a minute and more where each space began a search for the end."""
    before = time.thread_time()

    with suppress(InvalidInput):
        read(text)

    assert time.thread_time() - before < 5


@pytest.mark.parametrize(
    "text", ["", " ", "\u200b \u00ad", "a", " a b ", "\u2003a\u200b", "a\n\n", "\n a \u2060b\r\n\t"]
)
def test_only_what_is_around_the_words_is_taken_off(text):
    kept = [place for place, char in enumerate(text) if shows(char)]

    assert trimmed(text) == (text[kept[0] : kept[-1] + 1] if kept else "")


@pytest.mark.parametrize(
    ("whole", "part"),
    [
        ("short", ("short", False)),
        ("one two\n\nthree four five", ("one two", True)),
        ("one two three four five", ("one two", True)),
        ("x" * 30, ("x" * 12, True)),
    ],
)
def test_the_first_part_of_a_text_ends_where_a_reader_would_pause(whole, part):
    assert first_part(whole, 12) == part
