"""What people's text may hold, whether it shows anything, and how a search compares it: one place for all of it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from .errors import InvalidInput

# What draws nothing, as the inside of a regular expression's set. Mostly Default_Ignorable_Code_Point of
# https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt; a test compares the format characters (Cf)
# with those that this Python knows. Arabic and Kaithi number signs are format characters that do draw something.
INVISIBLE = (
    "\u00ad\u034f\u061c"  # soft hyphen, combining grapheme joiner, Arabic letter mark
    "\u115f\u1160\u3164\uffa0"  # Hangul fillers
    "\u17b4\u17b5\u180b-\u180f"  # Khmer inherent vowels, Mongolian selectors
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"  # zero width, direction, byte order mark
    "\u2800"  # Braille pattern blank
    "\ufe00-\ufe0f\U000e0000-\U000e0fff"  # variation selectors, tag characters
    "\ufff0-\ufffc\ufffe\uffff"  # also the place of an object (a pasted picture) that did not come along
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a"  # hieroglyphs, shorthand, music
)
CONTROLS = r"\u0000-\u001f\u007f-\u009f"
# The marks that a hurried hand leaves out: of Latin, Greek and Cyrillic letters, of Hebrew and of Arabic. Not those of
# other scripts, where they are letters of their own (Hindi vowels, the Japanese voicing mark).
_ACCENTS = "\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670"

_IGNORED = re.compile(f"[{INVISIBLE}]+")
_IGNORED_IN_SEARCH = re.compile(f"[{INVISIBLE}{_ACCENTS}]+")
_KEPT = re.compile(rf"[^\s{INVISIBLE}]")  # where words begin or end
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_DRAWN = re.compile(rf"[^\s{CONTROLS}{INVISIBLE}]")
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2212"
# What typing aids put in place of the plain characters, and letters that Unicode takes for whole though people do not.
_ALIKE = [*((dash, "-") for dash in _DASHES), *zip("‘’ʼ“”ıøłđ", "'''\"\"iold", strict=True)]


def storable(text: object, field: str) -> str:
    """Return `text` unchanged, or raise InvalidInput if it is no string or cannot be kept exactly.

    NUL and lone surrogates are refused; everything else (emoji, right-to-left marks, U+2028) is kept as it is.
    """
    if not isinstance(text, str):
        raise InvalidInput(f"{field.capitalize()} must be text.", field=field)
    if _UNSTORABLE.search(text):
        raise InvalidInput("The text holds characters that cannot be stored.", field=field)
    return text


def shows(text: str) -> bool:
    """Whether a reader would see anything: not spaces, controls, soft hyphens, fillers, tags or marks of direction."""
    return _DRAWN.search(text) is not None


def trimmed(text: str) -> str:
    """`text` without what nobody sees around it: pasted addresses, ids and words of a search bring it along."""
    first, last = _KEPT.search(text), _KEPT.search(text[::-1])  # a pattern for the end would begin at every space
    return text[first.start() : len(text) - last.start()] if first and last else ""


def one_line(text: str) -> str:
    """`text` on one line, for a title or a link; without the characters that draw nothing where they hide the rest."""
    line = " ".join(text.split())
    return line if shows(line[:60]) else " ".join(_IGNORED.sub("", text).split())


def first_part(text: str, limit: int) -> tuple[str, bool]:
    """The beginning of `text`, to its last paragraph, line or word that ends within `limit`; and whether it was cut."""
    if len(text) <= limit:
        return text, False
    head = text[:limit]
    ends = (head.rfind(mark) for mark in ("\n\n", "\n", " "))
    return head[: next((end for end in ends if end > limit // 2), limit)].rstrip(), True


def compact(code: object) -> str:
    """A code as it was meant: without spaces and what nobody sees, in plain characters (dashes, full-width letters, the
    digits of any script).
    """
    text = unicodedata.normalize("NFKC", code) if isinstance(code, str) else ""
    text = "".join(str(unicodedata.decimal(char, char)) for char in text)
    return "".join(_alike(_IGNORED.sub("", text)).split())


def plain_address(text: str) -> str:
    """An e-mail address as accounts are kept by, whether it is one or not; a search has only its beginning."""
    return unicodedata.normalize("NFC", trimmed(text)).lower()


def search_key(text: str) -> str:
    """What two texts have in common that people take for the same, whatever wrote them.

    Compatibility forms are taken apart (NFKD: composed and decomposed letters, ligatures, full-width), case is folded,
    and accents are left out, which also removes the dot above that folding the Turkish İ leaves (U+0307).
    """
    if text.isascii():
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFKD", text).casefold()
    return " ".join(_alike(_IGNORED_IN_SEARCH.sub("", folded)).split())


def finder(words: str) -> Callable[[str], bool] | None:
    """Whether a text holds the words of a search; None when nothing is looked for."""
    wanted = search_key(words)
    return (lambda text: wanted in search_key(text)) if wanted else None


def _alike(text: str) -> str:
    for typed, plain in _ALIKE:  # str.translate takes ten times as long
        text = text.replace(typed, plain)
    return text
