"""A store that fails in the middle of an export: nothing is delivered rather than a file that looks whole."""

from __future__ import annotations

import csv
import io
import json
import urllib.error
import urllib.request

import pytest

from tests.http.server import Server
from tests.many_rows import ADA, with_audit, with_ledger
from tests.routes.browser import Browser
from tests.support import PASSWORD, make_account

LEDGER_ROWS, AUDIT_ROWS = 1_201, 1_001  # three pages of 500


def break_from(proxy, page: int, fault: str) -> None:
    """Every Query from this one on fails, however often it is asked again."""
    seen = [0]

    def rule(operation: str, _number: int) -> str:
        seen[0] += operation == "Query"
        return fault if operation == "Query" and seen[0] >= page else "pass"

    proxy.rule = rule


@pytest.mark.threat(106)
def test_no_export_of_the_ledger_is_delivered_when_any_page_of_it_fails(shaky_app, store, proxy):
    account = with_ledger(store, LEDGER_ROWS)
    browser = Browser(shaky_app)
    browser.sign_in()

    for path in ("/transactions.csv", "/transactions.csv?for=program", "/transactions.csv?type=adjustment"):
        for page in (1, 2, 3):
            break_from(proxy, page, "error" if page % 2 else "cut")
            answer = browser.get(path)
            assert answer.status_code == 503, (path, page)
            assert "Content-Disposition" not in answer.headers
            assert "Try again" in answer.text
        proxy.heal()
        whole = list(csv.reader(io.StringIO(browser.get(path).data.decode("utf-8-sig"))))
        assert [int(row[3]) for row in whole[1 : LEDGER_ROWS + 1]] == list(range(LEDGER_ROWS, 0, -1))
    statement = f"/transactions/statement/{account.last_entry_at:%Y-%m}"
    for path in ("/account/export.json", statement, f"{statement}.pdf"):
        for page in (1, 2, 3):
            break_from(proxy, page, "error")
            assert browser.get(path).status_code == 503, (path, page)
        proxy.heal()
        assert browser.get(path).status_code == 200


@pytest.mark.threat(106)
def test_no_export_of_the_audit_log_is_delivered_when_any_page_of_it_fails(shaky_app, store, proxy):
    make_account(store, "op@example.com", role="admin")
    with_audit(store, AUDIT_ROWS)
    operator = Browser(shaky_app)
    operator.sign_in("op@example.com")

    for path in ("/admin/audit.csv", "/admin/audit.csv?actor=op@example.com"):
        for page in (1, 2, 3):
            break_from(proxy, page, "error")
            answer = operator.get(path)
            assert answer.status_code == 503, (path, page)
            assert "Content-Disposition" not in answer.headers
        proxy.heal()
        rows = list(csv.DictReader(io.StringIO(operator.get(f"{path}{'&' if '?' in path else '?'}for=program").text)))
        assert len(rows) == AUDIT_ROWS


@pytest.mark.threat(106)
def test_a_client_of_the_server_reads_a_whole_file_or_a_refusal(dynamodb_url, store, proxy, tmp_path):
    """Through the server as it is deployed: the answer says how long it is, and a broken one has another status."""
    account = with_ledger(store, LEDGER_ROWS)
    with Server(proxy.url, tmp_path / "server.log", workers=1) as server:
        cookie, key = signed_in(server.url), token(server.url)

        def fetch(path: str):
            signed = {"Authorization": f"Bearer {key}"} if path.startswith("/api/") else {"Cookie": cookie}
            request = urllib.request.Request(server.url + path, headers=signed)
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, answer.read()

        status, headers, body = fetch("/transactions.csv")
        assert status == 200
        assert int(headers["Content-Length"]) == len(body)
        assert (headers["X-Row-Count"], headers["X-Sum"]) == (str(LEDGER_ROWS), str(account.credits_balance))
        assert body.startswith(b"\xef\xbb\xbfdate,")
        assert "Exposé 1,".encode() in body
        assert body.decode().splitlines()[-1] == f',total,"{LEDGER_ROWS} rows, sum {account.credits_balance}",,,'
        assert json.loads(fetch("/account/export.json")[2])["rows"]["ledger"] == LEDGER_ROWS
        assert fetch("/api/statement.csv")[2] == body
        assert json.loads(fetch("/api/export")[2])["rows"]["ledger"] == LEDGER_ROWS
        for page in (1, 2, 3):
            break_from(proxy, page, "error")
            for path in ("/transactions.csv", "/api/statement.csv", "/account/export.json", "/api/export"):
                with pytest.raises(urllib.error.HTTPError) as refused:
                    fetch(path)
                assert refused.value.code == 503


def token(url: str) -> str:
    body = json.dumps({"email": ADA, "password": PASSWORD}).encode()
    request = urllib.request.Request(f"{url}/api/auth/login", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["token"]


def signed_in(url: str) -> str:
    """The cookie of a browser that signs in at a real server."""
    import http.cookiejar
    import re
    import urllib.parse

    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    page = opener.open(f"{url}/login", timeout=60).read().decode()
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    assert token
    form = {"csrf_token": token[1], "email": ADA, "password": PASSWORD}
    request = urllib.request.Request(
        f"{url}/login", urllib.parse.urlencode(form).encode(), headers={"Referer": f"{url}/login", "Origin": url}
    )
    opener.open(request, timeout=60).read()
    return "; ".join(f"{each.name}={each.value}" for each in jar)
