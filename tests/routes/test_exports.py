"""Files of many rows: what they end with, who can read them, and what a ledger that is still settling does to them."""

from __future__ import annotations

import csv
import io
import json

import pytest

from app.data.ledger import LedgerReads
from app.domain.clock import utcnow
from app.domain.paging import Page
from app.services import tasks
from tests.many_rows import ADA, with_audit, with_ledger
from tests.routes.browser import Browser, Program
from tests.support import ledger, make_account, make_key


@pytest.fixture
def ada(store, browser) -> Browser:
    make_account(store, credits=100)
    tasks.submit(store, store.accounts.get(ADA), "An Exposé, please", now=utcnow())
    browser.enter()
    return browser


@pytest.fixture
def operator(app, store) -> Browser:
    make_account(store, "op@example.com", role="admin")
    found = Browser(app)
    found.enter("op@example.com")
    return found


def table(response) -> list[list[str]]:
    return list(csv.reader(io.StringIO(response.data.decode("utf-8-sig"))))


@pytest.mark.threat(106, 111)
def test_a_person_gets_a_file_that_excel_reads_and_that_ends_with_number_and_sum(ada):
    answer = ada.get("/transactions.csv")

    assert answer.data.startswith("\ufeffdate,".encode())
    assert "Exposé".encode() in answer.data
    rows = table(answer)
    assert rows[-1] == ["", "total", "2 rows, sum 90", "", "", ""]
    assert sum(int(row[3]) for row in rows[1:-1]) == 90 == int(rows[1][4])
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    assert ada.get("/transactions.csv?for=excel").data == answer.data


def this_month() -> str:
    """Asked for within a test: what a parameter says is in its name, and must be the same in each process."""
    return f"{utcnow():%Y-%m}"


def as_on_the_page(answer) -> tuple:
    names = ("Content-Type", "Content-Disposition", "Content-Length", "X-Row-Count", "X-Sum", "Cache-Control")
    return (answer.status_code, answer.data, *(answer.headers.get(name) for name in names))


@pytest.mark.parametrize("query", ["", "?for=program", "?type=spend", "?month={month}", "?month=2026-01"])
def test_the_api_gives_the_same_file_of_the_ledger_as_the_page(app, ada, query):
    program, query = Program(app), query.format(month=this_month())

    answer = program.client.get(f"/api/statement.csv{query}", headers=program._headers())

    assert as_on_the_page(answer) == as_on_the_page(ada.get(f"/transactions.csv{query}"))
    assert "ETag" not in answer.headers
    assert "RateLimit" in answer.headers


def test_the_api_gives_the_same_data_of_ones_own_as_the_page(app, ada):
    answer = Program(app).get("/api/export")

    assert as_on_the_page(answer) == as_on_the_page(ada.get("/account/export.json"))
    assert json.loads(answer.data)["rows"]["ledger"] == 2
    assert "ETag" not in answer.headers


def test_a_file_of_the_api_is_sent_from_the_disk_piece_by_piece(app, ada, monkeypatch):
    program = Program(app)
    monkeypatch.setattr("app.web.exports.IN_MEMORY", 1)

    with app.test_request_context("/api/export", headers=program._headers()):
        answer = app.full_dispatch_request()

        assert (answer.status_code, answer.is_streamed, answer.direct_passthrough) == (200, True, True)
        answer.close()


@pytest.mark.parametrize(("scope", "file", "data"), [("billing:read", 200, 403), ("tasks:read", 403, 403)])
def test_a_key_gets_the_ledger_by_its_scope_and_never_all_that_we_keep(app, store, scope, file, data):
    make_account(store)
    client = app.test_client(use_cookies=False)
    headers = {"Authorization": f"Bearer {make_key(store, scopes=[scope])}"}

    assert client.get("/api/statement.csv", headers=headers).status_code == file
    assert client.get("/api/export", headers=headers).status_code == data


@pytest.mark.parametrize("path", ["/api/statement.csv?for=nobody", "/api/statement.csv?month=2026-13"])
def test_what_no_file_is_for_is_refused_by_its_name(app, store, path):
    make_account(store)
    program = Program(app)

    answer = program.client.get(path, headers=program._headers())

    assert (answer.status_code, answer.get_json()["field"]) == (400, path.partition("?")[2].partition("=")[0])


@pytest.mark.threat(106)
def test_a_program_gets_rows_and_nothing_else_and_the_number_in_a_header(ada):
    answer = ada.get("/transactions.csv?for=program")

    found = list(csv.DictReader(io.StringIO(answer.data.decode("utf-8"))))
    assert [int(row["credits"]) for row in found] == [-10, 100]
    assert all(row["date"] for row in found)
    assert (answer.headers["X-Row-Count"], answer.headers["X-Sum"]) == ("2", "90")
    assert ada.get("/transactions.csv?for=nobody").status_code == 400


@pytest.mark.threat(106, 111)
def test_the_audit_log_ends_with_its_number(store, operator):
    with_audit(store, 3)

    answer = operator.get("/admin/audit.csv")

    assert answer.data.startswith(b"\xef\xbb\xbfat,")
    assert table(answer)[-1] == ["", "", "total", "3 rows", "", "", ""]
    assert int(answer.headers["Content-Length"]) == len(answer.data)


@pytest.mark.threat(106)
def test_an_export_is_refused_rather_than_cut_when_it_is_too_long(store, operator, monkeypatch):
    with_audit(store, 4)
    monkeypatch.setattr("app.routes.admin.records.MAX_EXPORT", 3)

    answer = operator.get("/admin/audit.csv")

    assert answer.status_code == 422
    assert "more than 3 rows" in answer.text


@pytest.mark.threat(106)
@pytest.mark.parametrize("path", ["/transactions.csv", "/account/export.json"])
def test_an_export_is_refused_when_it_is_larger_than_its_file_may_be(ada, monkeypatch, path):
    monkeypatch.setattr("app.web.exports.MAX_BYTES", 200)
    monkeypatch.setattr("app.web.own_files.MAX_OWN_DATA", 200)

    assert ada.get(path).status_code == 422


@pytest.mark.threat(106)
def test_ones_own_data_ends_with_numbers_that_agree_with_the_balance(ada):
    data = json.loads(ada.get("/account/export.json").data)

    assert list(data)[-2:] == ["rows", "ledger_sum"]
    assert data["rows"] == {name: len(data[name]) for name in data["rows"]}
    assert {"tasks", "ledger", "mails", "unsent", "drafts", "webhooks", "webhook_deliveries"} == set(data["rows"])
    assert data["ledger_sum"] == sum(row["amount"] for row in data["ledger"]) == data["credits"] == 90


def lagging(monkeypatch, store, lacks, tries: int) -> list[int]:
    """The index does not list some rows yet, for so many reads."""
    reads, real = [0], LedgerReads.page

    def entries(self, *args, **more):
        page = real(self, *args, **more)
        if not more.get("cursor"):
            reads[0] += 1
        if reads[0] > tries:
            return page
        return Page([entry for entry in page.items if not lacks(entry)], page.next_cursor)

    monkeypatch.setattr(LedgerReads, "page", entries)
    return reads


LACKS = {
    "the newest": lambda entry: entry.sequence == 2,
    "the oldest": lambda entry: entry.sequence == 1,
    "all": lambda entry: True,
}
STATEMENTS = ["/transactions/statement/{month}", "/transactions/statement/{month}.pdf"]
LISTS = ["/transactions.csv", "/transactions.csv?type=promo", "/transactions.csv?month={month}"]


@pytest.mark.threat(106)
@pytest.mark.parametrize("lacks", LACKS)
@pytest.mark.parametrize("path", [*LISTS, "/account/export.json", *STATEMENTS])
def test_rows_that_are_not_listed_yet_are_waited_for_and_never_left_out(store, ada, monkeypatch, lacks, path):
    of_a_month, path = "{month}" in path, path.format(month=this_month())
    whole = ada.get(path)
    if lacks == "the oldest" and of_a_month:
        return  # of a month nobody can tell without it where it begins; it was written long before the newest

    lagging(monkeypatch, store, LACKS[lacks], tries=1)
    assert ada.get(path).data[-200:] == whole.data[-200:]
    monkeypatch.setattr("app.services.statements.SETTLING_SECONDS", (0, 0))
    lagging(monkeypatch, store, LACKS[lacks], tries=99)
    refused = ada.get(path)
    assert refused.status_code == 503
    assert "not listed yet" in refused.text


@pytest.mark.threat(106)
@pytest.mark.parametrize("path", ["/transactions.csv", "/account/export.json"])
def test_number_and_sum_are_of_one_moment_when_rows_are_added_meanwhile(store, browser, monkeypatch, path):
    with_ledger(store, 1_001)
    browser.sign_in()
    added, real = [], LedgerReads.page

    def entries(self, *args, **more):
        page = real(self, *args, **more)
        if not added:  # between the first page and the second
            added.append(tasks.submit(store, store.accounts.get(ADA), "Another task", now=utcnow()))
        return page

    monkeypatch.setattr(LedgerReads, "page", entries)
    answer = browser.get(path)

    if path.endswith("json"):
        data = json.loads(answer.data)
        assert data["credits"] == data["ledger_sum"] == data["ledger"][0]["balance_after"]
        assert data["rows"]["ledger"] == len({row["transaction_id"] for row in data["ledger"]})
    else:
        rows = table(answer)[1:-1]
        assert sum(int(row[3]) for row in rows) == int(rows[0][4]) == int(answer.headers["X-Sum"])
        assert len({row[5] for row in rows}) == len(rows) == int(answer.headers["X-Row-Count"])
    assert len(added) == 1
    assert len(ledger(store, ADA)) == 1_002
