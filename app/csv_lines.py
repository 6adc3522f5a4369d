"""CSV exports: lines that a spreadsheet shows and never runs."""

from __future__ import annotations

import csv
import io
from typing import Any

CONTROLS = ("\t", "\r", "\n")
OPERATORS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # and their full-width twins


def csv_line(values: tuple[Any, ...]) -> str:
    """One line of a CSV file, with its line end."""
    line = io.StringIO()
    csv.writer(line).writerow([formula_safe(value) for value in values])
    return line.getvalue()


def formula_safe(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets a quote in front; numbers are ours and stay numbers.

    The characters are OWASP's, spaces before them included: https://owasp.org/www-community/attacks/CSV_Injection
    """
    if isinstance(value, str) and (value.startswith(CONTROLS) or value.lstrip().startswith(OPERATORS)):
        return "'" + value
    return value
