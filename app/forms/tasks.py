"""The composer, for one task and for a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask_wtf import FlaskForm
from wtforms import StringField, TextAreaField

from app.domain.errors import InvalidInput
from app.domain.labels import check_reference, check_tags
from app.domain.tasks import BRIEF_FIELDS, MAX_BATCH, Brief, check_description
from app.domain.text import shows, trimmed

from .base import IdempotencyKey, labels_of, rule, unix_newlines
from .tables import read_file, read_pasted

MAX_TABLE_BYTES = 2 * 1024 * 1024  # of a file


class Batch(list[str]):
    """The texts of a batch; see Found for what else is to be known before it is paid for."""

    left_out: Sequence[tuple[int, str]] = ()
    fuller: Sequence[str] = ()
    note = ""


def read_batch(lines: str | None, table: bytes) -> Batch:
    """The tasks of a batch: one for each line, or for each row of a table (see tables.py). Raises InvalidInput."""
    if table and shows(lines or ""):
        raise InvalidInput("Send either the lines or the file: take one of them out.", field="lines")
    read = read_file(table) if table else read_pasted(lines or "")
    found = Batch(unix_newlines(text) for text in read.texts if shows(text))
    found.left_out, found.note = read.left_out, read.note
    found.fuller = [unix_newlines(text) for text in read.fuller if shows(text)]
    if not found and not found.left_out:
        raise InvalidInput("Write one task on each line, or choose a CSV file.", field="lines")
    if len(found) > MAX_BATCH:
        raise InvalidInput(f"There are {len(found):,} tasks; at most {MAX_BATCH} go at once.", field="lines")
    check_batch(found)
    return found


def check_batch(texts: list[str]) -> list[str]:
    """Return the texts, or raise InvalidInput with the number of the one that cannot be a task."""
    for number, text in enumerate(texts, 1):
        try:
            check_description(text)
        except InvalidInput as error:
            raise InvalidInput(f"Task {number}: {error.message}", field="lines") from error
    return texts


def typed_tags(text: str | None) -> tuple[str, ...]:
    """What stands between commas."""
    return tuple(part for part in (text or "").split(",") if shows(part))


def tidy(text: str | None) -> str:
    return trimmed(text or "")


def read_tags(text: str | None) -> tuple[str, ...]:
    """Tags as they are typed for several tasks. Raises InvalidInput."""
    return check_tags(typed_tags(text))


class TaskForm(FlaskForm):
    """A field for each of a brief, under its name and with the label that it is handed back under."""

    description = TextAreaField("Task", filters=[unix_newlines], validators=[rule(check_description)])
    reference = StringField("Reference", filters=[tidy], validators=[rule(check_reference)])
    tags = StringField("Tags", filters=[tidy], validators=[rule(read_tags)])
    request_id = IdempotencyKey(required=False)

    @property
    def brief(self) -> Brief:
        typed: dict[str, Any] = {name: self[name].data or "" for name in BRIEF_FIELDS}
        return Brief(**typed | {"tags": typed_tags(self.tags.data)})

    def show(self, brief: Brief) -> None:
        """Fill the form in with an earlier brief, whose reference stays its own."""
        for name in set(BRIEF_FIELDS) - {"reference"}:
            self[name].data = getattr(brief, name)
        self.tags.data = ", ".join(brief.tags)


if missing := set(BRIEF_FIELDS) - set(labels_of(TaskForm)):
    raise TypeError(f"A task is asked for without {missing}, which are of a brief")
