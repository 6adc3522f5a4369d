"""Lists of tasks as spreadsheets write them: which letters, delimiter and column, and what no task would hold."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.domain.errors import InvalidInput
from app.domain.text import search_key, shows, trimmed

SAVE_AS = "Save it as “CSV UTF-8” (in Excel: File, Save as) and choose that file."
# What the column of the tasks may be called, best first; case, accents and spaces do not matter.
HEADINGS = (
    *("description", "task description", "task", "tasks", "text"),
    *("beschreibung", "aufgabe", "aufgaben", "auftrag"),  # German
    *("tache", "taches", "descripcion", "tarea", "tareas", "descrizione", "compito", "attivita"),  # French, Spanish, …
    *("descricao", "tarefa", "beschrijving", "taak", "opis", "zadanie"),  # Portuguese, Dutch, Polish
)
DELIMITERS = (";", "\t", ",", "|")
_SEP = re.compile(r'\A"?sep=([;,|:\t])"?[ \t]*(?:\r\n|\r|\n|\Z)', re.IGNORECASE)
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x19\x1b-\x1f\x7f]")
_LINE_END = re.compile(r"\r\n|\r|\n")
_MAGIC = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook (xls)"),
    (b"%pdf", "a PDF"),
    (b"{\\rtf", "a text with formats (RTF)"),
    (b"\x1f\x8b", "compressed (gzip)"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "XML"),
)
_ZIPPED = (
    (b"opendocument.spreadsheet", "an OpenDocument spreadsheet (ods)"),
    (b"xl/", "an Excel workbook (xlsx)"),
    (b"word/", "a Word document (docx)"),
    (b"Index/", "a Numbers spreadsheet"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """The tasks of a list. `left_out` are (row, cell) that none of them holds; `fuller` the tasks with those put in."""

    texts: list[str]
    left_out: list[tuple[int, str]] = field(default_factory=list)
    fuller: list[str] = field(default_factory=list)
    note: str = ""


def read_file(content: bytes) -> Found:
    """Raises InvalidInput, in words that say which format is wanted."""
    text, note = decode(content)
    return _read(text, note)


def read_pasted(text: str) -> Found:
    """One task on each line, unless it was plainly copied out of a table: cells with tabs, a heading, a `sep=` line."""
    if "\t" in text or _SEP.match(text) or _heads(text):
        return _read(text, "")
    return Found([trimmed(line) for line in _LINE_END.split(text)])


def as_lines(texts: Sequence[str]) -> str:
    """For the field that they are pasted into: one on each line, or as a quoted table where that would change them."""
    if not texts:
        return ""  # not a heading without tasks
    lines = "\n".join(texts)
    read = read_pasted(lines)
    if read.texts == list(texts) and not read.left_out:
        return lines
    table = io.StringIO()
    csv.writer(table, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([["Task"], *([text] for text in texts)])
    return table.getvalue()


def decode(content: bytes) -> tuple[str, str]:
    """The text of a file, and what a person should know of how it was read. Raises InvalidInput."""
    if kind := _kind(content):
        raise InvalidInput(f"This file is {kind}, not a list in CSV. {SAVE_AS}", field="table")
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if content.startswith(mark):
            return _decoded(content, encoding), ""
    if b"\x00" in content:  # UTF-16 without its mark has one in every other place
        even, odd = content[::2].count(0), content[1::2].count(0)
        return _decoded(content, "utf-16-le" if odd > even else "utf-16-be"), ""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        note = (
            "The file is not in UTF-8. It was read as Windows-1252: check letters such as ü, é and ß below. "
            f"If they are wrong: {SAVE_AS[0].lower()}{SAVE_AS[1:]}"
        )
        return _decoded(content, "cp1252"), note
    return _decoded(content, "utf-8"), ""


def _kind(content: bytes) -> str | None:
    if content.startswith(b"PK\x03\x04"):
        return next((kind for mark, kind in _ZIPPED if mark in content), "a zip archive")
    start = content[:64].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return next((kind for mark, kind in _MAGIC if start.startswith(mark)), None)


def _decoded(content: bytes, encoding: str) -> str:
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        words = f"This file is no text in UTF-8, UTF-16 or Windows-1252. {SAVE_AS}"
        raise InvalidInput(words, field="table") from error
    if _NO_TEXT.search(text):
        raise InvalidInput(f"This file is no text. {SAVE_AS}", field="table")
    return text


def _read(text: str, note: str) -> Found:
    text = text.removeprefix("\ufeff")
    named = _SEP.match(text)
    if named:
        text = text[named.end() :]
    delimiter, rows = _table(text, named[1] if named else None)
    if delimiter is None:
        return Found([trimmed(row[0]) for row in rows], note=note)
    column = _column(rows[0]) if rows else None
    heading = [trimmed(cell) for cell in rows[0]] if column is not None else []
    body = list(enumerate(rows, 1))[1:] if heading else list(enumerate(rows, 1))
    texts, left_out, fuller = [], [], []
    for number, row in body:
        text = row[column or 0] if len(row) > (column or 0) else ""
        others = [(place, cell) for place, cell in enumerate(row) if place != (column or 0) and shows(cell)]
        left_out += [(number, cell) for _, cell in others]
        texts.append(text)
        fuller.append(_joined(text, others, heading, column or 0, delimiter))
    return Found(texts, left_out, fuller if left_out else [], note)


def _joined(text: str, others: Sequence[tuple[int, str]], heading: list[str], column: int, delimiter: str) -> str:
    """A task with the other cells of its row: what ran over where it broke off, a named column on a line of its own."""
    for place, cell in others:
        name = heading[place] if place < len(heading) else ""
        if name:
            text += f"\n{name}: {cell}"
        elif place > column and delimiter != "\t":
            text += f"{delimiter}{cell}"
        else:
            text = f"{text} {cell}".strip()
    return text


def _table(text: str, named: str | None) -> tuple[str | None, list[list[str]]]:
    """The delimiter and the rows; without one, each line is a row of one cell. Raises InvalidInput."""
    candidates = [named] if named else list(DELIMITERS)
    parsed: dict[str, list[list[str]]] = {}
    for delimiter in candidates:
        try:
            parsed[delimiter] = _rows(text, delimiter)
        except csv.Error:
            continue
    for delimiter, rows in parsed.items():  # a heading that we know, or one that was named, decides
        if named or (rows and len(rows[0]) > 1 and _is_heading(rows)):
            return delimiter, rows
    if (single := parsed.get(",")) and len(single[0]) == 1 and _column(single[0]) is not None:  # one column
        return ",", single
    for delimiter, rows in parsed.items():
        if _is_table(rows, delimiter):
            return delimiter, rows
    if named or _heads(text):
        words = f"A quotation mark in this table is not closed, or text follows one. {SAVE_AS}"
        raise InvalidInput(words, field="table")
    if any(len(row) == 1 and _LINE_END.search(row[0]) for row in parsed.get(",", [])):  # a quoted cell of many lines
        return None, [[",".join(row)] for row in parsed[","]]
    return None, [[_unquoted(line)] for line in _LINE_END.split(text) if shows(line)]


def _rows(text: str, delimiter: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    return [row for row in reader if any(shows(cell) for cell in row)]


def _heads(text: str) -> bool:
    """Whether the first line names a column as a table does; a sentence has a space after its comma."""
    first = _LINE_END.split(text.lstrip("\ufeff"), maxsplit=1)[0]
    split = ([cell.strip('"') for cell in first.split(delimiter)] for delimiter in DELIMITERS)
    return any(_column(row) is not None and not any(cell.startswith(" ") for cell in row) for row in split)


def _is_heading(rows: list[list[str]]) -> bool:
    even = len(rows) > 1 and len({len(row) for row in rows}) == 1
    return _column(rows[0]) is not None and (even or not any(cell.startswith(" ") for cell in rows[0]))


def _column(row: Sequence[str]) -> int | None:
    names = [search_key(trimmed(cell)) for cell in row]
    return next((names.index(heading) for heading in HEADINGS if heading in names), None)


def _is_table(rows: list[list[str]], delimiter: str) -> bool:
    """Every row as wide as the others, and no space after the delimiter: that is how sentences are written."""
    widths = {len(row) for row in rows}
    if len(widths) != 1 or widths == {1}:
        return False
    after = [cell for row in rows for cell in row[1:] if shows(cell)]
    return delimiter == "\t" or not any(cell.startswith((" ", "\u00a0")) for cell in after)


def _unquoted(line: str) -> str:
    """A line that is one quoted cell, without its quotes."""
    cell = trimmed(line)
    if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in cell[1:-1].replace('""', ""):
        return cell[1:-1].replace('""', '"')
    return cell
