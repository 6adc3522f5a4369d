"""CSV exports: lines that a spreadsheet shows and never runs."""

from __future__ import annotations

import csv
import io
from typing import Any


def csv_line(values: tuple[Any, ...]) -> str:
    """One line of a CSV file, with its line end."""
    line = io.StringIO()
    csv.writer(line).writerow([formula_safe(value) for value in values])
    return line.getvalue()


def formula_safe(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets a quote in front; numbers are ours and stay numbers."""
    if isinstance(value, str) and value.lstrip()[:1] in ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b"):
        return "'" + value
    return value
