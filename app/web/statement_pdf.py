"""A statement as a PDF file: the rows, words and sums of the page, on sheets with numbers, to be sent to an accountant.

The same statement is the same bytes: its date is that of its last row.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime

from fpdf import FPDF

from app.domain.errors import InvalidInput
from app.domain.formatting import credits, kind_name, month_name, short_date, signed_credits
from app.domain.money import money
from app.domain.statement import MAX_IN_FULL, Money, Statement, StatementRow
from app.web.pdf_fonts import MAIN, OTHERS, Drawn, drawn, needs_shaping, path_of, runs

MAX_WEIGHT = 500_000  # characters; one that has to be shaped takes as long as five others
SHAPED_WEIGHT = 5
MARGIN, BOTTOM = 18.0, 20.0
WIDTHS = (22.0, 96.0, 20.0, 17.0, 19.0)  # date, what, money, credits, balance: 174 mm between the margins of A4
WHAT = WIDTHS[1] - 3
LINE, GAP = 4.4, 1.5
LONG, BEGINNING = 26, 4  # lines: half a sheet, and how many of a longer row stand at the foot of one
HEAD = ("Date", "What", "Money", "Credits", "Balance")
CUT = "So many tasks were submitted in this month that each is shown by its first words."
UNKNOWN = "A – under Money: what was paid is not known here; the receipt says it."
BY_NUMBER = "Characters that this file has no picture for stand as their Unicode numbers, [U+…]; the page shows them."
_WIDE = "\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uffef"  # a line may end behind any of these
_PIECES = re.compile(rf"[{_WIDE}]\s*|[^\s{_WIDE}]+\s*")


def statement_pdf(statement: Statement, email: str) -> bytes:
    """Raises InvalidInput for more rows than it holds."""
    if not statement.fits_a_file:
        raise InvalidInput(
            f"A PDF file holds {MAX_IN_FULL:,} rows, and this month has {len(statement.rows):,}. "
            "The page can be printed, and the CSV file has every row."
        )
    words = [drawn(_words(row)) for row in statement.rows]
    in_full = statement.in_full and sum(map(_weight, words)) <= MAX_WEIGHT
    if not in_full:
        words = [drawn(row.entry.description) for row in statement.rows]
    who = drawn(f"ImpacterAGI, account {email}")
    sheets = _Sheets(f"Statement, {month_name(statement.month)}", who, [*words, who])
    sheets.set_creation_date(statement.rows[-1].entry.timestamp if statement.rows else _first_day(statement.month))
    sheets.begin("Credits, and the money paid for them. All dates are UTC.", *([] if in_full else [CUT]))
    sheets.row(("", "Opening balance", "", "", credits(statement.opening)), bold=True)
    for row, text in zip(statement.rows, words, strict=True):
        sheets.row(_cells(row, text.text))
    if not statement.rows:
        sheets.row(("", "No transaction in this month.", "", "", ""))
    sheets.sums(list(_sums(statement)))
    notes = ((UNKNOWN, statement.money_unknown), (BY_NUMBER, any(text.missing for text in (*words, who))))
    for note in (note for note, holds in notes if holds):
        sheets.note(note)
    sheets.number()
    return bytes(sheets.output())


def _words(row: StatementRow) -> str:
    kind = row.entry.type
    return row.words if kind == "spend" else f"{row.words} · {kind_name(kind)}"


def _weight(text: Drawn) -> int:
    return len(text.text) * (SHAPED_WEIGHT if text.shaped else 1)


def _first_day(month: str) -> datetime:
    return datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC)


def _cells(row: StatementRow, words: str) -> tuple[str, ...]:
    entry = row.entry
    paid = money(*row.money) if row.money else "–" if row.money_unknown else ""
    balance = "–" if entry.is_original else credits(entry.balance_after)
    return short_date(entry.timestamp), words, paid, signed_credits(entry.amount), balance


def _sums(statement: Statement) -> Iterator[tuple[str, ...]]:
    sums: list[tuple[str, Money]] = [("Paid", each) for each in statement.paid]
    sums += [("Paid back", each) for each in statement.paid_back]
    for label, amount in sums:
        yield "", label, money(*amount), "", ""
    yield "", "Came in", "", signed_credits(statement.credits_in), ""
    yield "", "Went out", "", signed_credits(-statement.credits_out), ""
    yield "", "Closing balance", "", "", credits(statement.closing)


class _Sheets(FPDF):
    """A4, with the table's head on each and "2 of 10" below."""

    def __init__(self, title: str, who: Drawn, texts: list[Drawn]) -> None:
        super().__init__(format="A4")
        self.set_title(title)
        self.set_author("ImpacterAGI")
        self.set_creator("ImpacterAGI")
        self.set_subject(who.text)
        self.set_lang("en")
        self.add_font(MAIN, "", path_of(MAIN))
        self.add_font(MAIN, "B", path_of(MAIN, "Bold"))
        wanted = {font for text in texts for font in text.fonts}
        others = [font for font in OTHERS if font in wanted]
        for font in others:
            self.add_font(font, "", path_of(font))
        self.set_fallback_fonts(others, exact_match=False)
        self.set_margins(MARGIN, MARGIN)
        self.set_auto_page_break(False)
        self.alias_nb_pages("")
        self.c_margin = 0
        self._title, self._who = title, who
        self._known: dict[tuple[bool, str], float] = {}

    def begin(self, *words: str) -> None:
        self.add_page()
        self._pen(16, bold=True)
        self.cell(0, 9, self._title, new_x="LMARGIN", new_y="NEXT")
        for text in (self._who.text, *words):
            self.note(text)
        self.ln(4)
        self._head()

    def row(self, cells: tuple[str, ...], *, bold: bool = False) -> None:
        """One row, whole on one sheet unless it is longer than half of one."""
        self._pen(bold=bold)
        lines = self._wrapped(cells[1], WHAT)
        needed = len(lines) if len(lines) <= LONG else BEGINNING
        if self._left() < needed * LINE + 2 * GAP:
            self._turn()
            self._pen(bold=bold)
        self.ln(GAP)
        if self._left() < len(lines) * LINE:
            self._line((cells[0], lines.pop(0), *cells[2:]))
            self._over_sheets(lines)
        else:  # words first, so that they are read as one
            top = self.get_y()
            for number, line in enumerate(lines):
                self._line(("" if number else cells[0], line, "", "", ""))
            bottom = self.get_y()
            self.set_y(top)
            self._line(("", "", *cells[2:]))
            self.set_y(bottom)
        self.ln(GAP)
        self._rule(200)

    def _over_sheets(self, lines: list[str]) -> None:
        for line in lines:
            if self._left() < LINE:
                self._turn()
                self._pen()
                self.ln(GAP)
            self._line(("", line, "", "", ""))

    def sums(self, rows: list[tuple[str, ...]]) -> None:
        """At the end, together on one sheet."""
        if self._left() < len(rows) * (LINE + 2 * GAP):
            self._turn()
        self._rule(0)
        for cells in rows:
            self.row(cells, bold=True)

    def note(self, text: str) -> None:
        self._pen(8)
        self.set_text_color(70)
        for line in self._wrapped(text, sum(WIDTHS)):
            if self._left() < LINE:
                self.add_page()
                self._pen(8)
            self._text(0, line)
            self.ln(LINE)
        self.set_text_color(0)

    def number(self) -> None:
        """Once all are there. fpdf2's own mark for their count would be replaced in a customer's words as well."""
        for number in range(1, self.pages_count + 1):
            self.page = number
            self.set_y(-BOTTOM + 6)
            self._pen(7)  # each change of the size tells the sheet of its font
            self._pen(8)
            self.set_text_shaping(False)
            self.cell(0, LINE, f"{number} of {self.pages_count}", align="R")

    def _turn(self) -> None:
        self.add_page()
        self._head()

    def _head(self) -> None:
        self._pen(8, bold=True)
        self._line(HEAD)
        self.ln(GAP)
        self._rule(0)

    def _line(self, cells: tuple[str, ...]) -> None:
        for number, (width, text) in enumerate(zip(WIDTHS, cells, strict=True)):
            self._text(width, text, align="L" if number < 2 else "R")
        self.ln(LINE)

    def _text(self, width: float, text: str, align: str = "L") -> None:
        if not text:
            self.set_x(self.get_x() + width)
            return
        if not needs_shaping(text):
            self.set_text_shaping(False)
            self.cell(width, LINE, text, align=align)
            return
        end, style, size = self.get_x() + width, self.font_style, self.font_size_pt
        for run in runs(text):
            self.set_font(run.font, style if run.font == MAIN else "", size)
            self.set_text_shaping(True, direction="rtl" if run.level % 2 else "ltr")
            self.cell(self.get_string_width(run.text), LINE, run.text)
        self.set_font(MAIN, style, size)
        self.set_x(end)

    def _rule(self, grey: int) -> None:
        self.set_draw_color(grey)
        self.line(MARGIN, self.get_y(), self.w - MARGIN, self.get_y())

    def _pen(self, size: float = 9, *, bold: bool = False) -> None:
        self.set_font(MAIN, "B" if bold else "", size)

    def _left(self) -> float:
        return float(self.h - BOTTOM - self.get_y())

    def _wrapped(self, text: str, width: float) -> list[str]:
        """Lines that are no wider, broken between words where there are any."""
        lines, line, used = [], "", 0.0
        for piece in self._pieces(text, width):
            needed = self._width(piece.rstrip())
            if line and used + needed > width:
                lines.append(line.rstrip())
                line, used = "", 0.0
            line, used = line + piece, used + self._width(piece)
        return [*lines, line.rstrip()]

    def _pieces(self, text: str, width: float) -> Iterator[str]:
        """Words; of one that is wider than a line the characters, each with its marks."""
        for piece in _PIECES.findall(text):
            if self._width(piece) <= width:
                yield piece
                continue
            yield from _clusters(piece)

    def _width(self, text: str) -> float:
        key = (self.font_style == "B", text)
        if key not in self._known:
            self.set_text_shaping(needs_shaping(text))
            self._known[key] = self.get_string_width(text) / self.font_size
        return self._known[key] * self.font_size


def _clusters(text: str) -> Iterator[str]:
    cluster = ""
    for char in text:
        if cluster and not unicodedata.category(char).startswith(("M", "C", "Z")):
            yield cluster
            cluster = ""
        cluster += char
    yield cluster
