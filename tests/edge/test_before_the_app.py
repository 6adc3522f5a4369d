"""The Worker before the real app: whose a request is, and that everything else passes as it came."""

from __future__ import annotations

import gzip
import json
import re
import socket
import time
from urllib.parse import unquote_to_bytes, urlsplit

import brotli
import pytest

from app.services.edge import HEADER, Visitor, written
from tests.edge.front import ADDRESS, SECRET, Answer, Front, ask
from tests.support import PASSWORD, ledger, make_account, session_event, signed

PER_CONNECTION = {"connection", "date", "keep-alive", "transfer-encoding", "content-length", "x-request-id", "server"}
STYLES = re.compile(r'href="(/static/app\.css\?v=[0-9a-f]{12})"')


def signs_up(front: Front, name: str, address: str, **headers: str) -> int:
    body = json.dumps({"email": f"{name}@example.com", "password": PASSWORD}).encode()
    sent = {"Content-Type": "application/json", **headers}
    return front.ask("/api/auth/signup", "POST", body, sent, address).status


def token(front: Front) -> dict[str, str]:
    body = json.dumps({"email": "ada@example.com", "password": PASSWORD}).encode()
    told = json.loads(front.ask("/api/auth/login", "POST", body, {"Content-Type": "application/json"}).body)
    return {"Authorization": f"Bearer {told['token']}"}


@pytest.mark.threat(119)
@pytest.mark.parametrize("address", ["203.0.113.9", "2001:db8:7::1"])
def test_limits_count_the_visitor_whatever_the_visitor_says(before_app, store, address):
    """Three accounts an hour for each address."""
    assert [signs_up(before_app, name, address) for name in ("ada", "bob", "cyd")] == [201] * 3
    other = "198.51.100.77"
    lies = {
        "X-Forwarded-For": other,
        "X-Real-IP": other,
        "True-Client-IP": other,
        "Forwarded": f"for={other}",
        "X-Edge-Visitor": f"v1;time=1;reference=0123456789abcdef;address={other};mac={'0' * 64}",
    }

    assert signs_up(before_app, "dan", address, **lies) == 429
    assert signs_up(before_app, "eve", other) == 201


@pytest.mark.threat(119)
def test_around_the_worker_nobody_comes_in_and_balancers_are_answered(server, store):
    assert ask(server.url, "/login").status == 403
    assert [ask(server.url, path).status for path in ("/livez", "/readyz", "/healthz")] == [200] * 3


def test_one_reference_is_the_requests_in_the_answer_and_in_the_log(before_app, server, store):
    answer = before_app.ask("/nowhere")
    rays = before_app.ask("/nowhere", headers={"CF-Ray": "8c1f0e2d3b4a5968-FRA"})

    reference = answer.header("X-Request-Id")
    assert re.fullmatch("[0-9a-f]{16}", reference)
    assert f'"request_id": "{reference}"' in server.log()
    assert rays.header("X-Request-Id") == "8c1f0e2d3b4a5968", "so that Cloudflare's logs have it, too"


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/", "GET"),
        ("/login", "HEAD"),
        ("/dashboard", "GET"),
        ("/nowhere", "GET"),
        ("/api/user", "GET"),
        ("/static/app.css", "GET"),
        ("/a%20b/%C3%A9%2F%zz?x=%20&y=%C3%A9", "GET"),
        ("/%ff", "GET"),
        ("/login", "PUT"),
        ("/healthz", "GET"),
    ],
)
def test_an_answer_passes_as_the_app_has_given_it(before_app, server, store, path, method):
    """Compared with what the app says to somebody who signs like the Worker: status, headers one by one, bytes."""
    through = before_app.ask(path, method)
    direct = ask(server.url, path, method, headers={"Accept-Encoding": "identity", **as_the_worker(path, method)})

    assert through.status == direct.status
    assert plain(through) == plain(direct)
    assert shape(through.body) == shape(direct.body)


def as_the_worker(path: str, method: str) -> dict[str, str]:
    visitor = Visitor(ADDRESS, "0123456789abcdef")
    decoded = unquote_to_bytes(path.partition("?")[0])
    return {HEADER: written(SECRET, int(time.time()), visitor, method, decoded)}


def plain(answer: Answer) -> list[tuple[str, str]]:
    """Without what is each connection's own. Packed, a file has another length and mark."""
    kept = [(name.lower(), value) for name, value in answer.headers if name.lower() not in PER_CONNECTION]
    return sorted((name, re.sub(r"session=[^;]+|:(br|gzip)(?=\")", "", value)) for name, value in kept)


def shape(body: bytes) -> bytes:
    """Without what is another one each time."""
    return re.sub(rb'(value="|<code>)[\w.=-]{16,}', b"", body)


def test_a_browser_signs_in_and_is_led_on(before_app, store):
    make_account(store, credits=70)
    page = before_app.ask("/login")
    cookie = page.all("Set-Cookie")[0].partition(";")[0]
    csrf = page.text.split('name="csrf_token" value="')[1].split('"')[0]
    form = f"csrf_token={csrf}&email=ada%40example.com&password={PASSWORD.replace(' ', '+')}".encode()
    sent = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}

    answer = before_app.ask("/login", "POST", form, sent)

    assert (answer.status, answer.header("Location")) == (303, "/dashboard")
    cookies = answer.all("Set-Cookie")
    assert len(cookies) == 2, "each on a line of its own"
    sent = {"Cookie": "; ".join(each.partition(";")[0] for each in cookies), "Accept-Encoding": "gzip"}
    dashboard = before_app.ask("/dashboard", headers=sent)
    assert (dashboard.status, dashboard.header("Content-Encoding")) == (200, "gzip")
    assert b"ada@example.com" in gzip.decompress(dashboard.body)


def test_a_download_comes_whole_and_a_head_of_it_without_its_body(before_app, store):
    make_account(store, credits=70)
    bearer = token(before_app)

    told = before_app.ask("/api/user", headers=bearer)
    head = before_app.ask("/api/user", "HEAD", headers=bearer)

    assert json.loads(told.body)["email"] == "ada@example.com"
    assert (head.status, head.body, head.header("Content-Length")) == (200, b"", str(len(told.body)))


@pytest.mark.threat(119)
def test_a_payment_comes_through_byte_by_byte_and_counts_once(before_app, store):
    """Odd spaces, letters beyond ASCII and an escape: the signature is over the bytes."""
    told = session_event("Zoe@Example.com", cents=1000, metadata={"for": "Zoë"})
    event = json.dumps(told, ensure_ascii=False, indent=3)
    body = event.replace("Zoe", "Zo\\u0065", 1).encode() + b" \n"
    sent = {"Content-Type": "application/json; charset=utf-8", "Stripe-Signature": signed(body)}

    answers = [before_app.ask("/api/stripe/webhook", "POST", body, sent).status for _ in range(2)]
    forged = before_app.ask("/api/stripe/webhook", "POST", body.replace(b"1000", b"9000"), sent)

    assert answers == [200, 200]
    assert forged.status == 400
    assert [row.amount for row in ledger(store, "zoe@example.com")] == [1000]


@pytest.mark.threat(119)
def test_a_header_that_the_apps_server_would_take_for_the_signed_one_stays_behind(before_app, server, store):
    """WSGI knows no difference between X_Edge_Visitor and X-Edge-Visitor."""
    for path in ("/login", "/api/stripe/webhook"):
        answer = before_app.ask(path, headers={"X_Edge_Visitor": "v1;time=1", "X_Forwarded_For": "6.6.6.6"})
        assert answer.status in (200, 405), "not 403"


def test_a_cookie_with_bytes_beyond_ascii_meets_the_apps_own_words(before_app, store):
    where = urlsplit(before_app.url)
    with socket.create_connection((where.hostname, where.port), 30) as client:
        head = f"GET /login HTTP/1.1\r\nHost: {where.netloc}\r\nCF-Connecting-IP: 203.0.113.9\r\n"
        client.sendall(head.encode() + b"Cookie: session=\xff\xfe\r\nConnection: close\r\n\r\n")
        said = client.makefile("rb").readline()

    assert said.split()[1] in (b"200", b"400"), "and no 5xx of the Worker's"


# Static files


def test_a_file_under_its_own_hash_is_kept_at_the_edge(before_app, store):
    """Each client gets it in what it reads: the runtime unpacks it for those that read less."""
    path = STYLES.search(before_app.ask("/").text)[1]
    before_app.ask(path)
    unpack = {"br": brotli.decompress, "gzip": gzip.decompress, "identity": bytes}

    for encoding, unpacked in unpack.items():
        answer = before_app.ask(path, headers={"Accept-Encoding": encoding})

        assert answer.header("CF-Cache-Status") == "HIT"
        assert (answer.header("Content-Encoding") or "identity") == encoding
        assert b"--paper" in unpacked(answer.body)
        assert answer.header("Cache-Control") == "public, max-age=31536000, immutable"
        assert answer.header("X-Content-Type-Options") == "nosniff"
    whole = before_app.ask(path)
    assert before_app.ask(path, headers={"If-None-Match": whole.header("ETag")}).status == 304
    assert before_app.ask(path, "HEAD").body == b""
    part = before_app.ask(path, headers={"Range": "bytes=2-5"})
    assert (part.status, part.header("CF-Cache-Status"), part.header("Content-Range")[:10]) == (206, None, "bytes 2-5/")


@pytest.mark.parametrize(
    "query",
    ["", "?v=000000000000", "?v={v}&v={v}", "?v={v}&x=1", "?v={V}", "?V={v}"],
    ids=lambda query: query or "none",
)
def test_nothing_else_is_kept_at_the_edge(before_app, store, query):
    """In a release an older server answers the newer one's address with what it has: nobody may keep that."""
    path, _, version = STYLES.search(before_app.ask("/").text)[1].partition("?v=")
    asked = path + query.format(v=version, V=version.upper())

    answers = [before_app.ask(asked) for _ in range(3)]

    assert [answer.header("CF-Cache-Status") for answer in answers] == [None] * 3
    assert {answer.status for answer in answers} == {200}


def test_a_page_is_never_kept(before_app, store):
    answers = [before_app.ask("/login?v=0123456789ab") for _ in range(2)]

    assert len({answer.header("X-Request-Id") for answer in answers}) == 2
    assert all(answer.header("Cache-Control") == "no-store" for answer in answers)


# Bodies


def test_a_text_that_the_app_gives_back_reaches_it(before_app, store):
    """Longer than a form may be, and shorter than what the edge refuses: the app's page has it, with its own words."""
    form = b"csrf_token=none&description=" + b"x" * 200_000
    sent = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": "session=none"}

    answer = before_app.ask("/login", "POST", form, sent)

    assert answer.status in (400, 413)
    assert "pages.css" in answer.text, "a page of the app's"


def test_a_chunked_body_arrives_with_its_length(before_app, store):
    body = json.dumps({"email": "fay@example.com", "password": PASSWORD}).encode()

    answer = before_app.ask(
        "/api/auth/signup", "POST", iter([body[:9], body[9:]]), {"Content-Type": "application/json"}, "198.51.100.3"
    )

    assert answer.status == 201
