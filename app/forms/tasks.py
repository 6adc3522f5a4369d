"""The composer, for one task and for a batch."""

from __future__ import annotations

import csv
import io

from flask_wtf import FlaskForm
from wtforms import HiddenField, TextAreaField, ValidationError

from app.domain.errors import InvalidInput, Malformed
from app.domain.tasks import MAX_BATCH, check_description, check_request_id

from .base import rule, unix_newlines


def read_batch(lines: str | None, table: bytes) -> list[str]:
    """The tasks of a batch: one for each line, or for each row of a CSV file.

    Of a file with a heading `description` that column, of any other the first. Raises InvalidInput.
    """
    if table:
        texts = _rows(table)
    else:
        texts = [line.strip() for line in unix_newlines(lines).split("\n")]
    found = [text for text in texts if text.strip()]
    if not found:
        raise InvalidInput("Write one task on each line, or choose a CSV file.", field="lines")
    if len(found) > MAX_BATCH:
        raise InvalidInput(f"There are {len(found):,} tasks; at most {MAX_BATCH} go at once.", field="lines")
    return check_batch(found)


def check_batch(texts: list[str]) -> list[str]:
    """Return the texts, or raise InvalidInput with the number of the one that cannot be a task."""
    for number, text in enumerate(texts, 1):
        try:
            check_description(text)
        except InvalidInput as error:
            raise InvalidInput(f"Task {number}: {error.message}", field="lines") from error
    return texts


def _rows(table: bytes) -> list[str]:
    try:
        rows = list(csv.reader(io.StringIO(table.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput("The file is not CSV in UTF-8.", field="table") from error
    if not rows:
        return []
    heading = [cell.strip().casefold() for cell in rows[0]]
    column = heading.index("description") if "description" in heading else 0
    body = rows[1:] if "description" in heading else rows
    return [unix_newlines(row[column]) for row in body if len(row) > column]


class TaskForm(FlaskForm):
    description = TextAreaField(filters=[unix_newlines], validators=[rule(check_description)])
    request_id = HiddenField()

    def validate_request_id(self, field: HiddenField) -> None:
        try:
            check_request_id(field.data or "")
        except Malformed as error:
            raise ValidationError(error.message) from error
