"""A statement as a PDF file, read again: the rows and sums of the page, whole, on sheets with numbers."""

from __future__ import annotations

import io
import re
from datetime import timedelta

import pytest
from bs4 import BeautifulSoup
from fontTools.ttLib import TTFont
from pypdf import PdfReader

from app.domain.clock import utcnow
from app.domain.payments import RefundFact
from app.services import tasks
from app.services.payments import record_fact
from app.web.pdf_fonts import FOLDER, font_of, path_of, runs
from tests.many_rows import with_ledger
from tests.routes.browser import Browser
from tests.services.test_payments import paid, record
from tests.support import NOW, make_account

pytestmark = pytest.mark.long

EMAIL = "ada@example.com"
PATH = "/transactions/statement/2026-11.pdf"
LONG = "Compare " + "the quotes in the attachment, and " * 140 + "say which is best."
SCRIPTS = {
    "Cyrillic and Greek": "Переведите письмо. Καλημέρα",
    "Han and kana": "四半期報告書を取締役会のためにまとめてください。",
    "Hangul, rare syllables too": "보고서를 요약해 주세요 뷁",
    "Thai": "สรุปรายงานประจำไตรมาส",
    "signs": "≤ → √ − ✓ € ₹ 🚀",
}


@pytest.fixture
def browser(app, store) -> Browser:
    """Of a customer with a purchase, tasks in many scripts and a refund of money in November."""
    return customer(app, store, *SCRIPTS.values())


@pytest.fixture
def latin(app, store) -> Browser:
    """The same in Latin letters alone: each further font is a tenth of a second of a file."""
    return customer(app, store)


def customer(app, store, *scripts: str) -> Browser:
    make_account(store, EMAIL)
    store.updates.accounts.change(store.accounts.get(EMAIL), created_at=NOW - timedelta(days=60))
    record_fact(store, paid(), now=NOW - timedelta(days=1))
    for words in ("Summarise the report", *scripts, LONG):
        tasks.submit(store, store.accounts.get(EMAIL), words, now=NOW)
    record(store, RefundFact("pi_1", "re_1", 250, "succeeded"))
    browser = Browser(app)
    browser.sign_in()
    return browser


def read(browser: Browser, path: str = PATH) -> PdfReader:
    answer = browser.get(path)
    assert answer.status_code == 200, answer.text
    return PdfReader(io.BytesIO(answer.data))


def bare(text: str) -> str:
    """Without spaces: where a line breaks says nothing. Without the dot before the kind of a row, which the page sets
    off by its colour.
    """
    return re.sub(r"[\s·\u00ad]", "", text)


def words_of(pdf: PdfReader) -> str:
    """What its sheets say one after another, without what stands on each."""
    number = re.compile(rf"\d+ of {len(pdf.pages)}\s*$")
    sheets = [page.extract_text() for page in pdf.pages]
    assert all(number.search(sheet) for sheet in sheets)
    return bare("".join(number.sub("", sheet).replace("Date What Money Credits Balance", "") for sheet in sheets))


def rows_of_page(browser: Browser, path: str = PATH) -> list[str]:
    page = BeautifulSoup(browser.get(path.removesuffix(".pdf")).data, "html.parser")
    return [bare(row.text) for row in page.select("tbody tr")]


def test_every_row_and_sum_of_the_page_stands_in_the_file_in_this_order(browser):
    found = words_of(read(browser))

    place = 0
    for row in rows_of_page(browser):
        if bare(LONG) in row:  # over sheets: its numbers stand beside its first line
            assert bare(LONG)[:40] in found
            continue
        assert row in found[place:], row
        place = found.index(row, place)
    for words in ("Bought1,000creditsfor$10.00Purchase$10.00+1,0001,000", "−$2.50−250", "Paid$10.00", "Paidback−$2.50"):
        assert words in found
    assert found.count("Closingbalance") == found.count("Openingbalance") == 1


def test_the_words_of_a_long_task_are_whole(browser, monkeypatch):
    monkeypatch.setattr("app.web.statement_pdf.BOTTOM", 200)  # a sheet of 15 lines, so that it runs over many
    pdf = read(browser)

    assert len(pdf.pages) > 5
    words = words_of(pdf)
    begin = words.index("Task:Compare")
    assert bare(LONG)[:20] in words[begin:]
    assert bare(LONG).removeprefix("Compare") in words[begin:].replace("−10930", "", 1)


def test_a_long_row_begins_where_the_one_before_it_ends(browser):
    first = read(browser).pages[0].extract_text()

    assert "Task: Summarise" in first
    assert "Task: Compare" in first


def test_each_script_is_drawn_and_read_again(browser):
    found = words_of(read(browser))

    assert [script for script, words in SCRIPTS.items() if bare(words) not in found] == []


@pytest.mark.parametrize(
    "words",
    [
        *(
            "{nb} of {nb}",
            "**bold** __x__ ~~y~~",
            "\\(a) <</Type/Page>> endobj (",
            "[U+0041]",
            "a\u00adb\u200fc\u2028d",
        ),
        *(
            "\u0301\u0301",
            "\u0640" * 200,
            "\u200d\u200c x",
            "\u202e\u05d0 x",
            "x" * 900,
            "\u0e33" * 300,
            "\ufffd\ue000",
        ),
    ],
)
def test_no_words_of_a_customer_break_the_file(latin, store, words):
    tasks.submit(store, store.accounts.get(EMAIL), f"{words} z", now=NOW)
    found = words_of(read(latin))

    assert "Closingbalance" in found
    if words.isascii():
        assert bare(f"Task: {words} z") in found


def test_what_no_font_has_is_told_by_its_number(latin, store):
    assert "Unicode" not in words_of(read(latin))

    tasks.submit(store, store.accounts.get(EMAIL), "Yi \ua000, and beyond \U00020000", now=NOW)
    found = words_of(read(latin))

    assert "Yi[U+A000],andbeyond[U+20000]" in found
    assert "nopicturefor" in found


def test_no_row_is_cut_and_each_sheet_has_about_thirty_of_them(app, store):
    with_ledger(store, 150)
    browser = Browser(app)
    browser.sign_in()
    pdf = read(browser, f"/transactions/statement/{utcnow():%Y-%m}.pdf")

    sheets = [page.extract_text() for page in pdf.pages]
    counts = [sheet.count("Adjustment") for sheet in sheets]
    assert sum(counts) == 150
    assert all(28 <= count <= 36 for count in counts[:-1]), counts
    assert [("Closing balance" in sheet) for sheet in sheets] == [False] * (len(sheets) - 1) + [True]
    assert [sheet.split("\n")[-1] for sheet in sheets] == [f"{n} of {len(sheets)}" for n in range(1, len(sheets) + 1)]
    assert all("Date What Money Credits Balance" in sheet for sheet in sheets)


def test_the_same_statement_is_the_same_bytes(browser):
    first, second = browser.get(PATH), browser.get(PATH)

    assert first.data == second.data
    pdf = PdfReader(io.BytesIO(first.data))
    assert pdf.trailer["/Root"]["/Lang"] == "en"
    assert (pdf.metadata.title, pdf.metadata.author) == ("Statement, November 2026", "ImpacterAGI")
    assert f"{pdf.metadata.creation_date:%Y-%m}" == "2026-11"


def test_it_is_a_file_to_keep_that_the_page_leads_to(latin):
    answer = latin.get(PATH)

    assert answer.mimetype == "application/pdf"
    assert answer.headers["Content-Disposition"] == "attachment; filename=impacteragi-statement-2026-11.pdf"
    assert answer.content_length == len(answer.data)
    assert latin.page("/transactions/statement/2026-11").select_one(f'main a[href="{PATH}"]')
    assert latin.get("/transactions/statement/2026-13.pdf").status_code == 400


def test_a_month_without_a_row_is_a_file_too(browser):
    found = words_of(read(browser, "/transactions/statement/2026-09.pdf"))

    assert "Notransactioninthismonth." in found
    assert "Closingbalance0" in found


def test_more_rows_than_it_holds_are_refused_in_words(browser, monkeypatch):
    for place in ("domain.statement", "web.statement_pdf"):
        monkeypatch.setattr(f"app.{place}.MAX_IN_FULL", 8)

    links = [link["href"] for link in browser.page("/transactions/statement/2026-11").select("main .act a")]
    refused = browser.get(PATH)

    assert refused.status_code == 422
    assert "A PDF file holds 8 rows, and this month has 9" in refused.text
    assert "Content-Disposition" not in refused.headers
    assert links == ["/transactions.csv?month=2026-11"]


def test_letters_that_join_weigh_more_and_too_many_words_are_cut_as_the_ledger_has_them(browser, store, monkeypatch):
    arabic = "لخص التقرير الفصلي " * 20
    tasks.submit(store, store.accounts.get(EMAIL), arabic, now=NOW)
    whole = sum(len(page.extract_text()) for page in read(browser).pages)
    monkeypatch.setattr("app.web.statement_pdf.MAX_WEIGHT", 6_000)

    found = read(browser)

    assert "eachisshownbyitsfirstwords" in words_of(found)
    assert sum(len(page.extract_text()) for page in found.pages) < whole / 2


def test_lines_of_two_directions_read_as_on_the_page():
    """A Hebrew word, a number and a Hebrew word: the last stands leftmost, and the number between them."""
    line = runs("Task: \u05d0 299 \u05d1, 5 end \U0001f680 6")

    assert "".join(run.text for run in line) == "Task: 5, \u05d1 299\u05d0  end \U0001f680 6"
    assert [run.text for run in line if run.font == "NotoEmoji"] == ["\U0001f680"]
    assert [run.font for run in line if "\u05d0" in run.text] == ["NotoSansHebrew"]
    family = "\U0001f469\u200d\U0001f467"
    assert [(run.text, run.font) for run in runs(family)] == [(family, "NotoEmoji")]


def test_no_font_draws_a_blank_for_a_character_and_none_is_kept_in_vain():
    """Some fonts name characters that they have no picture of: 8,693 Hangul syllables of NanumSquare's."""
    fonts: dict[str, TTFont] = {}
    blank, used = [], set()
    for char in map(chr, (*range(0x21, 0x3400), *range(0x3400, 0xD800, 7), *range(0xE000, 0x1FB00))):
        font = font_of(char)
        if font is None or not char.strip():
            continue
        used.add(font)
        opened = fonts.setdefault(font, TTFont(path_of(font), lazy=True))
        if opened["glyf"][opened.getBestCmap()[ord(char)]].numberOfContours == 0:
            blank.append(char)

    assert blank == []
    assert {path.name for path in FOLDER.glob("*.ttf")} == {path_of(font).name for font in used} | {"NotoSans-Bold.ttf"}
