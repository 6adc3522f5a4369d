"""What the forms share: a rule of the domain as a validator, and text as browsers send it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wtforms import HiddenField, TextAreaField, ValidationError
from wtforms.fields.core import UnboundField

from app.domain.errors import InvalidInput, Malformed
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


def usable_key(text: str | None) -> str | None:
    """The idempotency key of a form, if it can be one: it is not empty, and of characters that every part carries."""
    try:
        return text if check_idempotency_key(text or "").strip() else None
    except Malformed:
        return None


class IdempotencyKey(HiddenField):
    """The key under which a form is done once, however often it comes. One that cannot be used is replaced.

    `required=False` takes a form without any: each time that it comes it is done.
    """

    data: str | None

    def __init__(self, *, required: bool = True, **more: Any) -> None:
        super().__init__(**more)
        self._required = required

    def pre_validate(self, form: Any) -> None:
        if (self.data or self._required) and usable_key(self.data) is None:
            self.data = new_idempotency_key()
            raise ValidationError(LOST_KEY)


def unix_newlines(text: str | None) -> str:
    """Browsers send CRLF for a line that was typed as one newline."""
    return (text or "").replace("\r\n", "\n")


def labels_of(form: type) -> dict[str, tuple[str, bool]]:
    """The label of each field that has one, and whether it takes a text area."""
    named = {name: field for name, field in vars(form).items() if isinstance(field, UnboundField) and field.args}
    return {name: (field.args[0], issubclass(field.field_class, TextAreaField)) for name, field in named.items()}
