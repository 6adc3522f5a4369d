"""CSV exports: lines that a spreadsheet shows and never runs."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

CONTROLS = ("\t", "\r", "\n")
OPERATORS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # and their full-width twins


# Where another cell or row begins for a program that takes another delimiter than ours: a comma is always quoted.
_INNER = re.compile(rf"""([;\t\r\n])(?=(?:[^\S\t\r\n]|")*[{re.escape("".join(OPERATORS))}])""")


def csv_line(values: tuple[Any, ...]) -> str:
    """One line of a CSV file, with its line end."""
    line = io.StringIO()
    csv.writer(line).writerow([formula_safe(value) for value in values])
    return line.getvalue()


def formula_safe(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets a quote in front; numbers are ours and stay numbers.

    So does what stands behind a semicolon, a tab or a line's end: Excel opens the file by its system's list separator,
    in much of Europe a semicolon, and then a quoted cell of ours is no cell. The characters are OWASP's, spaces before
    them included: https://owasp.org/www-community/attacks/CSV_Injection
    """
    if not isinstance(value, str):
        return value
    text = _INNER.sub(r"\1'", value)
    return "'" + text if value.startswith(CONTROLS) or value.lstrip().startswith(OPERATORS) else text
