"""What text may be stored: one place for the characters that break stores, mails and pages."""

from __future__ import annotations

from .errors import InvalidInput


def storable(text: object, field: str) -> str:
    """Return `text` unchanged, or raise InvalidInput if it is no string or cannot be kept exactly.

    NUL and lone surrogates are refused; everything else (emoji, right-to-left marks, U+2028) is kept as it is.
    """
    if not isinstance(text, str):
        raise InvalidInput(f"{field.capitalize()} must be text.", field=field)
    if "\x00" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise InvalidInput("The text holds characters that cannot be stored.", field=field)
    return text
