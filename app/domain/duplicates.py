"""Noticing that a text says nearly the same as an earlier one, before it is paid for twice."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from difflib import SequenceMatcher

from .tasks import CANCELLED, REJECTED, Task
from .text import search_key

LOOKED_AT = 50  # earlier tasks that a text is compared with
REMEMBERED = 30  # tasks whose marks the account keeps
MIN_WORDS = 4  # shorter texts say too little to call them the same
SAME = 0.92  # share of the words in common, in their order: in a short text no word may differ
MAX_WORDS = 200  # compared of each text: comparing grows with the square

_WORD = re.compile(r"\w+")


def marks(text: str) -> tuple[str, ...]:
    """Two short hashes, of the words in no order and of the first few: near duplicates share one of them.

    An account keeps those of its latest tasks, so that a submit reads nothing more unless one of them comes again.
    """
    words = _words(text)
    if len(words) < MIN_WORDS:
        return ()
    return _mark(sorted(set(words))), _mark(words[:6])


def remember(recent: str, text: str) -> str:
    """The marks of the latest tasks, oldest first, as one string of bounded length."""
    return " ".join([*recent.split(), *marks(text)][-2 * REMEMBERED :])


def may_repeat(recent: str, text: str) -> bool:
    return not set(marks(text)).isdisjoint(recent.split())


def find_twin(text: str, earlier: Iterable[Task]) -> Task | None:
    """The first of `earlier` that says nearly the same and was not called off."""
    words = _words(text)
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(words)
    for task in earlier:
        if task.status in (CANCELLED, REJECTED):
            continue
        others = _words(task.description)
        if _numbers(others) != _numbers(words):  # "invoice 12" and "invoice 13" are two tasks
            continue
        matcher.set_seq1(others)
        if matcher.real_quick_ratio() >= SAME and matcher.quick_ratio() >= SAME and matcher.ratio() >= SAME:
            return task
    return None


def repeated_within(texts: list[str]) -> set[int]:
    """Which of several texts repeat an earlier one of them, word for word."""
    seen: set[tuple[str, ...]] = set()
    repeats = set()
    for place, text in enumerate(texts):
        words = tuple(_words(text))
        if words in seen:
            repeats.add(place)
        seen.add(words)
    return repeats


def _words(text: str) -> list[str]:
    return _WORD.findall(search_key(text))[:MAX_WORDS]


def _numbers(words: list[str]) -> list[str]:
    return [word for word in words if word.isdigit()]


def _mark(words: list[str]) -> str:
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:5]
