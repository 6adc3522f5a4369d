"""What customers call their tasks by: a reference of their own, unique an account, and tags that many tasks share."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from .accounts import AccountKey
from .clock import to_iso
from .errors import InvalidInput
from .text import CONTROLS, shows, storable, trimmed

if TYPE_CHECKING:
    from .tasks import Task

MAX_REFERENCE = 100
MAX_TAG = 40
MAX_TAGS = 10
SEPARATOR = "\n"  # stands in no label
# What may not stand within a label: two of them would look the same. Joiners stay, which some scripts are written with.
UNSEEN = rf"{CONTROLS}\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"

_UNSEEN = re.compile(f"[{UNSEEN}]")


@dataclass(frozen=True, slots=True)
class Label:
    """A row by which tasks of an account are found: one for a reference, and one for each tag of what was submitted
    together, whose tasks it names in their order. `created_at` is that of the first of them.
    """

    user_email: AccountKey
    label: str
    task_ids: tuple[str, ...]
    created_at: datetime


def check_reference(reference: object, *, given: bool = False) -> str:
    """As it is kept: trimmed, spaces one at a time, NFC. The empty text is none, unless one must be `given`.

    Raises InvalidInput.
    """
    return _checked(reference, "reference", "A reference", MAX_REFERENCE) if given or reference != "" else ""


def check_tags(tags: Sequence[object]) -> tuple[str, ...]:
    """As they are kept: each as a reference is, in the order given; one that is there but for its case is dropped.

    Raises InvalidInput.
    """
    if len(tags) > MAX_TAGS:
        raise InvalidInput(f"There are {len(tags)} tags; a task has at most {MAX_TAGS}.", field="tags")
    kept: dict[str, str] = {}
    for given in tags:
        tag = _checked(given, "tags", "A tag", MAX_TAG)
        if "," in tag:
            raise InvalidInput("A tag holds no comma: commas part one tag from the next.", field="tags")
        kept.setdefault(fold_tag(tag), tag)
    return tuple(kept.values())


def check_tag(tag: object) -> str:
    """One tag, as it is kept. Raises InvalidInput."""
    return check_tags([tag])[0]


def fold_tag(tag: str) -> str:
    """What two tags have in common that differ in case alone."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", tag).casefold())


def has_tag(task: Task, tag: str) -> bool:
    return fold_tag(tag) in map(fold_tag, task.tags)


def reference_label(reference: str) -> str:
    return f"ref#{reference}"


def tag_label(tag: str) -> str:
    """What the labels of a tag begin with; the time and a task's id follow, so that they stand in their order."""
    return f"tag#{fold_tag(tag)}{SEPARATOR}"


def labels_of(tasks: Iterable[Task]) -> Iterator[Label]:
    """The rows of tasks of one account that are submitted together, the references first."""
    tagged: dict[str, list[Task]] = {}
    for task in tasks:
        if task.reference:
            yield Label(task.user_email, reference_label(task.reference), (task.task_id,), task.created_at)
        for tag in task.tags:
            tagged.setdefault(tag_label(tag), []).append(task)
    for beginning, some in tagged.items():
        first = some[0]
        label = f"{beginning}{to_iso(first.created_at)}{SEPARATOR}{first.task_id}"
        yield Label(first.user_email, label, tuple(task.task_id for task in some), first.created_at)


def _checked(given: object, field: str, what: str, most: int) -> str:
    text = storable(given, field)
    if _UNSEEN.search(text):
        raise InvalidInput(f"{what} stands on one line and holds no invisible characters.", field=field)
    kept = unicodedata.normalize("NFC", " ".join(trimmed(text).split()))
    if not shows(kept):
        raise InvalidInput(f"{what} has 1 to {most} characters that can be seen.", field=field)
    if (length := max(len(text), len(kept))) > most:
        raise InvalidInput(f"{what} has at most {most} characters; this one has {length:,}.", field=field)
    return kept
