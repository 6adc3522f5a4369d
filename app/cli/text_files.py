"""Text of files as people have them: UTF-8 with or without a byte-order mark, and UTF-16 as Windows writes it."""

from __future__ import annotations

import codecs

import click

MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read_text(content: bytes, name: str) -> str:
    """Lines end as Unix ends them. Raises click's error, in words, for what is no such text."""
    encoding = next((encoding for mark, encoding in MARKS if content.startswith(mark)), None)
    if encoding is None:
        encoding = _without_mark(content)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise _no_text(name) from error
    if "\x00" in text:
        raise _no_text(name)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _without_mark(content: bytes) -> str:
    """UTF-16 of Latin text has a NUL in every other place."""
    if b"\x00" not in content or len(content) % 2:
        return "utf-8"
    even, odd = content[::2].count(0), content[1::2].count(0)
    return "utf-16-le" if odd > even else "utf-16-be"


def _no_text(name: str) -> click.ClickException:
    return click.ClickException(f"{name} is no text in UTF-8 or UTF-16. Save it as UTF-8 and try again.")
