"""What the forms share: a rule of the domain as a validator, and text as browsers send it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wtforms import ValidationError

from app.domain.errors import InvalidInput


def rule(check: Callable[..., Any]) -> Callable[[Any, Any], None]:
    """A WTForms validator out of a domain check that raises InvalidInput."""

    def validate(_form: Any, field: Any) -> None:
        try:
            check(field.data or "")
        except InvalidInput as error:
            raise ValidationError(error.message) from error

    return validate


def unix_newlines(text: str | None) -> str:
    """Browsers send CRLF for a line that was typed as one newline."""
    return (text or "").replace("\r\n", "\n")
