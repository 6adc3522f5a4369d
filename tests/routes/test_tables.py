"""Lists of tasks as people have them: from every spreadsheet, in every encoding, nothing dropped without a word."""

from __future__ import annotations

import io

import pytest

from app.domain.errors import InvalidInput
from app.forms.tables import HEADINGS, read_file, read_pasted
from app.forms.tasks import read_batch
from tests.routes.browser import soup
from tests.routes.test_batch import hidden
from tests.support import every_task


def upload(browser, content: bytes):
    return browser.post("/tasks/batch", {"lines": "", "table": (io.BytesIO(content), "tasks.csv")})


@pytest.mark.threat(111)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Aufgabe;Notiz\r\nEins;\r\nZwei, drei;\r\n", ["Eins", "Zwei, drei"]),
        ("sep=;\r\nAufgabe;Notiz\r\nEins;\r\n", ["Eins"]),
        ('"sep=;"\r\n"Task";""\r\n"One";""\r\n', ["One"]),
        ("sep=,\nOne\nTwo\n", ["One", "Two"]),
        ("sep=\t\nTask\tX\nOne\t\n", ["One"]),
        ("Task\tWho\nOne\t\n", ["One"]),
        ("TASK\nOne\n", ["One"]),
        ("T\u00e2che\nUn\n", ["Un"]),
        ("Descripci\u00f3n\nUno\n", ["Uno"]),
        ("Ta\u0302che\nUn\n", ["Un"]),
        ("id;Beschreibung\n;Eins\n", ["Eins"]),
        ("id, description\n, One\n", [" One"]),
        ("One\rTwo\rThree", ["One", "Two", "Three"]),
        ("Task\rOne\rTwo", ["One", "Two"]),
        ('description\n"Two\r\nlines, really"\n', ["Two\r\nlines, really"]),
        ('description\n"He said ""hello"""\n', ['He said "hello"']),
        ("One;\nTwo;\n", ["One", "Two"]),
        ("One,\nTwo,\n", ["One", "Two"]),
        ("description\n\n\nOne\n , \n", ["One"]),
        (
            "Summarise the report, in five points\nWrite a poem",
            ["Summarise the report, in five points", "Write a poem"],
        ),
        ("Compare A, B and C\nCompare D, E and F", ["Compare A, B and C", "Compare D, E and F"]),
        ("Write, text, and more\nOne", ["Write, text, and more", "One"]),
        ('"Quoted, all of it"\nOne', ["Quoted, all of it", "One"]),
        ('"Hello" is what to say, twice\nOne', ['"Hello" is what to say, twice', "One"]),
        ('"Never closed\nOne', ['"Never closed', "One"]),
    ],
)
def test_each_row_is_a_task_and_nothing_of_it_is_lost(text, expected):
    found = read_file(text.encode())

    assert ([each for each in found.texts if each.strip(" ,")], found.left_out) == (expected, [])


@pytest.mark.threat(111)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_file_is_read_in_whichever_letters_excel_wrote_it(encoding, line_end):
    for mark in ("", "\ufeff") if encoding.startswith("utf-16-") else ("",):
        found = read_file((mark + line_end.join(["Aufgabe;x", "Größe prüfen;", "Café;"])).encode(encoding))

        assert found.texts == ["Größe prüfen", "Café"]
        assert bool(found.note) is (encoding == "cp1252")


@pytest.mark.threat(111)
@pytest.mark.parametrize("heading", HEADINGS)
def test_a_heading_is_none_of_the_tasks(heading):
    for shown in (heading, heading.upper(), heading.title(), f"\ufeff{heading} "):
        assert read_file(f"{shown};x\nOne;\n".encode()).texts == ["One"]
        assert read_pasted(f"{shown}\nOne").texts == ["One"]


@pytest.mark.threat(111)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04....[Content_Types].xml....xl/workbook.xml", "Excel workbook (xlsx)"),
        (b"PK\x03\x04....mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "OpenDocument"),
        (b"PK\x03\x04....Index/Document.iwa", "Numbers"),
        (b"PK\x03\x04....word/document.xml", "Word"),
        (b"PK\x03\x04....a.txt", "zip archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 500, "old Excel workbook (xls)"),
        (b"%PDF-1.7", "PDF"),
        (b"<html><table>", "web page"),
        (b"\x00\x01\x02\x03" * 50, "no text"),
        (b"\x81\x8d\xff binary", "no text"),
    ],
)
def test_a_file_that_is_no_list_is_refused_in_words_that_say_what_is_wanted(store, ada, content, words):
    answer = upload(ada, content)

    assert answer.status_code == 422
    said = soup(answer).select_one("#batch-error").get_text()
    assert words in said
    assert "CSV UTF-8" in said
    assert every_task(store) == []


@pytest.mark.threat(111)
@pytest.mark.parametrize(
    ("text", "texts", "left_out", "fuller"),
    [
        ("Write a poem;urgent\nWrite a song;later", ["Write a poem", "Write a song"], ["urgent", "later"], "urgent"),
        ("task,who\nOne,Ada\nTwo,", ["One", "Two"], ["Ada"], "who: Ada"),
        ("description\nSummarise this,in five points", ["Summarise this"], ["in five points"], "this,in five points"),
        ("id;description\n7;\n8;Two", ["Two"], ["7", "8"], "id: 8"),
        ("One\tx\nTwo\ty", ["One", "Two"], ["x", "y"], "x"),
    ],
)
def test_what_no_task_holds_is_asked_about_before_anything_is_charged(store, ada, text, texts, left_out, fuller):
    for preview in (upload(ada, text.encode()), ada.post("/tasks/batch", {"lines": text})):
        if not soup(preview).select_one("#left-out"):
            assert hidden(preview)["description"] == text.split("\n")  # typed lines are whole tasks
            continue
        told = [quote.get_text() for quote in soup(preview).select("#left-out q")]
        assert told == left_out
        assert "Leave it out: submit" in soup(preview).select_one("#batch button").get_text()
        sent = [area.get_text().removeprefix("\n") for area in soup(preview).select("#batch [name=description]")]
        assert sent == texts

        other = [area.get_text().removeprefix("\n") for area in soup(preview).select("#fuller [name=description]")]
        again = ada.post("/tasks/batch", {"description": other})
        assert again.status_code == 200
        assert not soup(again).select_one("#left-out")
        assert fuller in "\n".join(hidden(again)["description"])
    assert every_task(store) == []


@pytest.mark.threat(111)
def test_how_a_file_was_read_is_told_when_its_letters_were_guessed(ada):
    preview = upload(ada, "Größe prüfen".encode("cp1252"))

    assert hidden(preview)["description"] == ["Größe prüfen"]
    assert "Windows-1252" in preview.text


@pytest.mark.threat(111)
def test_typed_lines_stay_whole_and_exactly_as_they_are():
    typed = 'One, two; three\n"quoted" | piped\nmy task, text, and more'

    assert read_pasted(typed).texts == typed.split("\n")
    assert read_pasted('Task\tWho\n"Two\nlines"\t').texts == ["Two\nlines"]
    assert read_pasted("sep=;\nAufgabe;x\nEins;").texts == ["Eins"]


def test_lines_and_a_file_at_once_are_refused_because_one_of_them_would_be_lost():
    with pytest.raises(InvalidInput, match="either the lines or the file"):
        read_batch("One", b"Two")
