"""What the forms share: a rule of the domain as a validator, and text as browsers send it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from wtforms import DateField, Field, HiddenField, IntegerField, TextAreaField, ValidationError
from wtforms.fields.core import UnboundField
from wtforms.validators import StopValidation

from app.domain.errors import DomainError, InvalidInput, Malformed
from app.domain.tasks import check_idempotency_key, new_idempotency_key

LOST_KEY = "This form had lost the key under which it is done once. It has a new one. Nothing was done: send it again."


def rule(check: Callable[..., Any]) -> Callable[[Any, Any], None]:
    """A WTForms validator out of a domain check that raises InvalidInput."""

    def validate(_form: Any, field: Any) -> None:
        try:
            check(field.data or "")
        except InvalidInput as error:
            raise ValidationError(error.message) from error

    return validate


def blame(form: Any, error: DomainError, *, known_as: Mapping[str, str] | None = None) -> str:
    """Let a refusal stand at its field of the form; the words for above the form where it names none of it.

    `known_as`: fields that the form calls otherwise.
    """
    named = getattr(error, "field", None) or ""
    field = (known_as or {}).get(named, named)
    if field not in form:
        return error.message
    form[field].errors = [error.message]
    return ""


def usable_key(text: str | None) -> str | None:
    """The idempotency key of a form, if it can be one: it is not empty, and of characters that every part carries."""
    try:
        return text if check_idempotency_key(text or "").strip() else None
    except Malformed:
        return None


def form_key(text: str | None) -> str:
    """The key of a form that has no place for an error: a new one where there is none.

    Raises Malformed for one that is there and cannot be used.
    """
    if text is None:
        return new_idempotency_key()
    if usable_key(text) is None:
        raise Malformed("This form has lost the key under which it is done once. Nothing was done: load it again.")
    return text


class IdempotencyKey(HiddenField):
    """The key under which a form is done once, however often it comes. One that cannot be used is replaced.

    `required=False` takes a form without any: each time that it comes it is done.
    """

    data: str | None

    def __init__(self, *, required: bool = True, **more: Any) -> None:
        super().__init__(**more)
        self._required = required

    def pre_validate(self, form: Any) -> None:
        if (self.raw_data or self._required) and usable_key(self.data) is None:
            self.data = new_idempotency_key()
            raise ValidationError(LOST_KEY)


class _Readable(Field):
    """What was typed and cannot be read gets one sentence, ours; the checks of its value say nothing besides."""

    def pre_validate(self, form: Any) -> None:
        if self.process_errors and any(self.raw_data or ()):
            raise StopValidation


MAX_DIGITS = 18  # WTForms cannot compare what is beyond every float, and the store cannot keep it


class WholeNumber(_Readable, IntegerField):
    def __init__(self, label: str, *, such_as: str, **more: Any) -> None:
        super().__init__(label, invalid_value_message=f"Use a whole number, such as {such_as}.", **more)

    def process_formdata(self, valuelist: list[str]) -> None:
        if valuelist and len(valuelist[0].strip()) > MAX_DIGITS:
            raise ValueError(self.invalid_value_message)
        super().process_formdata(valuelist)


class Day(_Readable, DateField):
    def __init__(self, label: str, **more: Any) -> None:
        super().__init__(
            label, invalid_value_message="Use a date with year, month and day, such as 2026-12-31.", **more
        )


def unix_newlines(text: str | None) -> str:
    """Browsers send CRLF for a line that was typed as one newline."""
    return (text or "").replace("\r\n", "\n")


def labels_of(form: type) -> dict[str, tuple[str, bool]]:
    """The label of each field that has one, and whether it takes a text area."""
    named = {name: field for name, field in vars(form).items() if isinstance(field, UnboundField) and field.args}
    return {name: (field.args[0], issubclass(field.field_class, TextAreaField)) for name, field in named.items()}
