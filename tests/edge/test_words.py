"""What the Worker takes away, refuses and says itself, before a server that notes each byte."""

from __future__ import annotations

import json
import re
import socket
import threading
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode, urlsplit

import pytest
from bs4 import BeautifulSoup

from app.routes.stripe_webhook import MAX_WEBHOOK_BODY
from app.services.edge import HEADER, read_visitor
from app.web import admission, files, static_files
from app.web.typed import Typed
from scripts.cloudflare.passes import pass_link
from scripts.local.ports import free_port
from tests.edge import front
from tests.edge.front import SECRET, WORKER, Front, wrangler
from tests.edge.origin import answered

MIB = 1024 * 1024
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": "__Host-session=x"}
WEBHOOK = "/api/stripe/webhook"


# What goes on


def test_what_names_another_address_host_or_request_stays_behind(before_origin, origin):
    lies = [
        *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "Forwarded", "Via"),
        *("CF-Connecting-IPv6", "CF-IPCountry", "CF-Visitor", "True-Client-IP", "X-Real-IP", "X-Client-IP"),
        *("X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-Edge-Anything", "X-Host"),
        *("X_Real_IP", "X_Forwarded_For", "x_edge_visitor", "True_Client_IP"),
        *("Keep-Alive", "Proxy-Authorization", "TE", "Trailer", "X-Of-This-Connection"),
    ]
    sent = dict.fromkeys(lies, "6.6.6.6") | {"Connection": "keep-alive, X-Of-This-Connection", "Accept-Language": "de"}

    before_origin.ask("/a?b=c", headers=sent | {HEADER: "v1;time=1"})

    (heard,) = origin.heard
    names = {name.lower() for name, _ in heard.headers}
    assert heard.line == "GET /a?b=c HTTP/1.1"
    assert not names & {name.lower() for name in lies}
    assert "cf-connecting-ip" not in names
    assert heard.header("Accept-Language") == "de"
    assert "6.6.6.6" not in str(heard.headers)
    assert [name.lower() for name, _ in heard.headers].count(HEADER.lower()) == 1


@pytest.mark.parametrize("path", ["/metrics", "/metrics?x=1", "/%6Detric%73", "/x/../metrics"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_the_figures_of_a_server_are_never_the_publics(before_origin, origin, path, method):
    """Not with the token either: any server would answer, and the token would have gone through the world."""
    answer = before_origin.ask(path, method, headers={"Authorization": "Bearer of-whoever-has-it"})

    assert (answer.status, origin.heard) == (404, [])
    assert ("There is nothing here" in answer.text) == (method != "HEAD")
    before_origin.ask(path.replace("metric", "metrix").replace("%6D", "n"), method)
    assert len(origin.heard) == 1, "another address goes on"


@pytest.mark.threat(119)
@pytest.mark.parametrize(
    ("path", "decoded"),
    [("/", b"/"), ("/a%20b/%C3%A9", "/a b/é".encode()), ("/%2e%2e/x%2Fy", b"/x/y"), ("/%0a%zz", b"/\n%zz")],
)
def test_what_is_signed_is_what_the_app_reads(before_origin, origin, path, decoded):
    before_origin.ask(path, "POST", b"x")

    (heard,) = origin.heard
    visitor = read_visitor(heard.header(HEADER), "POST", decoded, (SECRET,))
    assert visitor.address == "203.0.113.9"


def test_a_webhook_is_touched_by_nobody(before_origin, origin):
    body = b' {"id" :\t"evt_1",\r\n "name": "Zo\xc3\xab \\u00eb", "odd": "\x00\xff" } \n'
    sent = {
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": "t=1,v1=ab,v0=cd",
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "Accept": "*/*; q=0.5, application/xml",
        "Cache-Control": "no-cache",
        "Via": "1.1 something-of-stripes",
    }

    before_origin.ask(WEBHOOK, "POST", body, sent)

    (heard,) = origin.heard
    assert heard.body == body
    assert {name: heard.header(name) for name in sent} == sent
    assert heard.header("Content-Length") == str(len(body))


def test_redirects_cookies_and_what_the_app_refuses_pass(before_origin, origin):
    cookies = ["a=1; Path=/; HttpOnly", "b=2; Expires=Wed, 21 Oct 2037 07:28:00 GMT"]
    location = "Location: https://checkout.stripe.com/c/pay"
    lines = ["X-Request-Id: 1", location, *(f"Set-Cookie: {each}" for each in cookies)]
    origin.answer = answered("303 See Other", b"", *lines)

    answer = before_origin.ask("/credits/buy", "POST", b"pack=1", FORM)
    origin.answer = answered("503 Service Unavailable", b"in its own words", "X-Request-Id: 2", "Retry-After: 7")
    refused = before_origin.ask("/")

    assert (answer.status, answer.header("Location")) == (303, "https://checkout.stripe.com/c/pay")
    assert answer.all("Set-Cookie") == cookies
    assert (refused.status, refused.body, refused.header("Retry-After")) == (503, b"in its own words", "7")
    assert len(origin.heard) == 2, "no redirect is followed, nothing is asked twice"


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd"])
def test_what_is_packed_passes_as_it_is(before_origin, origin, encoding):
    packed = bytes(range(256))
    origin.answer = answered("200 OK", packed, f"Content-Encoding: {encoding}", "X-Request-Id: 1")

    answer = before_origin.ask("/", headers={"Accept-Encoding": encoding})

    assert (answer.header("Content-Encoding"), answer.body) == (encoding, packed)


# Bodies


@pytest.fixture
def hurried(before_origin):
    """It waits for nobody; everywhere else it is as patient as when it is deployed: a machine may be slow."""
    before_origin.set(IDLE_SECONDS="0.5", ORIGIN_SECONDS="1")
    yield before_origin
    before_origin.set(IDLE_SECONDS="", ORIGIN_SECONDS="")


def test_the_limits_are_those_of_the_app():
    text = (WORKER / "src/limits.js").read_text()
    units = {"KIB": 1024, "MIB": MIB}
    found = {
        name: int(number) * units[unit] for name, number, unit in re.findall(r"(\w+)(?: =|:) (\d+) \* (KIB|MIB)", text)
    }
    assert found.pop("MIB") == MIB
    assert found == {
        "webhook": MAX_WEBHOOK_BODY,
        "call": admission.MAX_BODY,
        "file": files.MAX_FILE_BYTES,
        "stranger": admission.MAX_CARRIED,
        "form": admission.MAX_GIVEN_BACK,
        "upload": files.MAX_BODY_WITH_FILES,
        "KEPT": files.MAX_FILE_BYTES,
    }
    kept = re.search(r"\[0-9a-f\]\{(\d+)\}", (WORKER / "src/static_files.js").read_text())
    assert int(kept[1]) == static_files.HASH_CHARACTERS


@pytest.mark.parametrize(
    ("path", "headers", "limit"),
    [
        (WEBHOOK, {}, 256 * 1024),
        ("/api/tasks", {}, 64 * 1024),
        ("/api/admin/tasks/t-1/files", {}, 10 * MIB),
        ("/signup", {"Content-Type": FORM["Content-Type"]}, 256 * 1024),
        ("/tasks", FORM, 8 * MIB),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_what_fits_comes_whole_and_a_byte_more_is_refused(before_origin, origin, path, headers, limit, chunked):
    def sent(size: int) -> int:
        body = b"a=" + b"x" * (size - 2)
        return before_origin.ask(path, "POST", iter([body]) if chunked else body, headers).status

    assert (sent(limit), sent(limit + 1)) == (200, 413)

    assert [len(heard.body) for heard in origin.heard] == [limit]


def test_files_of_a_result_pass_however_long(before_origin, origin):
    body = b"%PDF" + bytes(12 * MIB)
    path, sent = "/admin/tasks/t-1/complete", {"Cookie": "session=x"}

    passed = before_origin.ask(path, "POST", body, sent)
    unannounced = before_origin.ask(path, "POST", iter([body[:MIB], body[MIB:]]), sent)

    assert (passed.status, unannounced.status) == (200, 413), "without a length nobody could tell the whole from a part"
    (heard,) = origin.heard
    assert heard.body == body
    assert heard.header("Content-Length") == str(len(body))


@pytest.mark.threat(120)
def test_a_text_that_is_refused_is_shown_again_and_what_nobody_typed_is_not(before_origin, origin):
    words = "<script>alert('Zoë')</script>\nשלום "
    untyped = {"csrf_token": "secret-1", "password": "secret-2", "request_id": "secret-3"}
    form = {"description": words + "x" * 8 * MIB, **untyped}
    answer = before_origin.ask("/tasks", "POST", urlencode(form).encode(), FORM)

    page = BeautifulSoup(answer.body, "html.parser")
    (kept,) = page.find_all("textarea")
    assert answer.status == 413
    assert kept.text.lstrip("\n").startswith(words)
    assert page.find("label", attrs={"for": kept["id"]}).text == "Description"
    assert b"secret-" not in answer.body
    assert origin.heard == []


def test_a_text_too_long_to_show_again_stays_in_the_browser(before_origin, origin):
    answer = before_origin.ask("/tasks", "POST", b"description=" + b"x" * 11 * MIB, FORM)

    assert answer.status == 413
    assert "go back to the form" in answer.text
    assert len(answer.body) < 10_000


def test_a_program_and_an_open_page_are_refused_in_their_own_way(before_origin, origin):
    told = before_origin.ask("/api/tasks", "POST", b"x" * 70_000)
    part = before_origin.ask("/tasks", "POST", b"a=" + b"x" * 9 * MIB, FORM | {"HX-Request": "true"})

    assert (told.status, json.loads(told.body)) == (413, {"error": "That is too large.", "code": "too_large"})
    assert told.header("Content-Type") == "application/json"
    assert part.status == 413
    assert part.text.startswith('<div id="toasts" role="status" data-hx-swap-oob="innerHTML">')
    assert "nothing was charged" in part.text


@pytest.mark.threat(120)
@pytest.mark.parametrize("head", ["Content-Length: 9\r\n\r\na=1", "Transfer-Encoding: chunked\r\n\r\n3\r\na=1\r\n"])
def test_a_body_that_dribbles_never_reaches_the_app(hurried, origin, head):
    where = urlsplit(hurried.url)
    with socket.create_connection((where.hostname, where.port), 30) as client:
        named = f"Host: {where.netloc}\r\nCookie: session=x\r\nContent-Type: {FORM['Content-Type']}\r\n"
        client.sendall(f"POST /tasks HTTP/1.1\r\n{named}{head}".encode())
        said = client.makefile("rb").read(4000)

    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"nothing was charged" in said
    assert origin.heard == []


def test_a_body_that_breaks_off_never_reaches_the_app(before_origin, origin):
    where = urlsplit(before_origin.url)
    with socket.create_connection((where.hostname, where.port), 30) as client:
        client.sendall(f"POST /tasks HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Length: 9\r\n\r\na=1".encode())
        client.shutdown(socket.SHUT_WR)
        client.makefile("rb").read(4000)

    assert before_origin.ask("/after").status == 200
    assert [heard.line for heard in origin.heard] == ["GET /after HTTP/1.1"]


def test_only_what_the_app_calls_immutable_is_kept(before_origin, origin):
    path = "/static/app.css?v=0123456789ab"
    for control, asked in (("public, max-age=60", 2), ("public, max-age=60, immutable", 3)):
        origin.answer = answered("200 OK", b"a{}", f"Cache-Control: {control}", "Content-Type: text/css")
        answers = [before_origin.ask(path).body for _ in range(2)]

        assert answers == [b"a{}", b"a{}"]
        assert len(origin.heard) == asked


def test_a_look_that_brings_a_body_is_a_look(before_origin, origin):
    assert before_origin.ask("/", "GET", b"a=1").status == 200

    (heard,) = origin.heard
    assert heard.body == b""


def test_what_no_app_answers_is_not_handed_on(before_origin, origin):
    assert before_origin.ask("/", "TRACE").status == 405
    assert origin.heard == []


# No answer


def page_of(answer):
    page = BeautifulSoup(answer.body, "html.parser")
    assert page.html["lang"] == "en"
    assert page.find("meta", attrs={"name": "viewport"})
    assert page.title.text
    assert [each.name for each in page.find_all(["h1", "main"])] == ["main", "h1"]
    assert not page.find_all(["script", "link", "img"])
    assert not page.find_all(style=True)
    assert "light-dark(" in page.style.text
    assert answer.header("Content-Security-Policy").startswith("default-src 'none'; style-src 'sha256-")
    assert answer.header("Cache-Control") == "no-store"
    assert page.code.text == answer.header("X-Request-Id")
    return page


FRONTS = {
    "502 of the balancer": (answered("502 Bad Gateway", b"<html>awselb"), 502),
    "503 of the balancer": (answered("503 Service Temporarily Unavailable", b"<html>awselb"), 503),
    "504 of the balancer": (answered("504 Gateway Time-out", b"<html>awselb"), 504),
    "521 of Cloudflare": (answered("521 Web Server Is Down", b"<html>cloudflare"), 502),
    "522 of Cloudflare": (answered("522 Connection Timed Out", b"<html>cloudflare"), 504),
    "526 of Cloudflare": (answered("526 Invalid SSL", b"<html>cloudflare"), 502),
    "nothing": (b"", 502),
    "nonsense": (b"SSH-2.0-OpenSSH\r\n\r\n", 502),
}


@pytest.mark.threat(120)
@pytest.mark.parametrize(("said", "status"), FRONTS.values(), ids=FRONTS.keys())
def test_when_the_app_has_no_say_it_is_said_in_words(before_origin, origin, said, status):
    origin.answer = said

    opened = before_origin.ask("/dashboard")
    sent = before_origin.ask("/tasks", "POST", "description=Zoë's+words".encode(), FORM)
    told = before_origin.ask("/api/tasks", "POST", b"{}")
    webhook = before_origin.ask(WEBHOOK, "POST", b"{}")

    assert [each.status for each in (opened, sent, told, webhook)] == [status] * 4
    assert "Nothing was charged by opening this page." in page_of(opened).main.text
    kept = page_of(sent).textarea.text
    assert kept.strip() == "Zoë's words", "what was typed is not lost"
    assert ("look at your history" in sent.text) == (status != 503)
    assert json.loads(told.body)["code"] in ("unreachable", "too_late")
    assert opened.header("Retry-After") == "30"
    assert b"awselb" not in opened.body + sent.body + told.body


def test_what_a_sign_in_carries_along_is_not_lost(before_origin, origin):
    origin.answer = answered("502 Bad Gateway")
    typed = Typed("/tasks", (("description", "Zoë's words"), ("request_id", "secret-1")))
    form = {"email": "ada@example.com", "password": "secret-2", "carried": typed.carried(), "next": "/x"}

    page = page_of(before_origin.ask("/login", "POST", urlencode(form).encode(), FORM))

    assert [area.text.strip() for area in page.find_all("textarea")] == ["ada@example.com", "Zoë's words"]
    assert "secret-" not in str(page)


def test_what_another_site_has_sent_is_shown_to_nobody(before_origin, origin):
    origin.answer = answered("502 Bad Gateway")

    answer = before_origin.ask(
        "/tasks", "POST", b"description=Call+this+number", FORM | {"Sec-Fetch-Site": "cross-site"}
    )

    assert (answer.status, "this number" in answer.text) == (502, False)


@pytest.mark.threat(120)
def test_who_does_not_answer_in_time_is_not_waited_for(hurried, origin):
    origin.waits_for = threading.Event()

    answer = hurried.ask("/dashboard")
    empty = hurried.ask("/dashboard", "HEAD")
    origin.waits_for.set()

    assert answer.status == 504
    assert "has not answered in time" in page_of(answer).main.text
    assert (empty.status, empty.body) == (504, b"")


def test_nobody_at_home_is_a_502(installed, tmp_path):
    with Front(free_port(), tmp_path / "worker.log") as alone:
        answer = alone.ask("/")
        assert (answer.status, page_of(answer).h1.text) == (502, "We cannot answer right now")
        assert "edge answered" in alone.log(), "and it is in the Worker's log"


def test_a_worker_without_its_secret_says_so_in_its_log_and_breaks_no_page(before_origin, origin):
    before_origin.set(EDGE_SECRET="")
    answer = before_origin.ask("/")
    before_origin.set(EDGE_SECRET=SECRET)

    assert answer.status == 500
    assert page_of(answer).h1.text == "Something broke on our side"
    assert "EDGE_SECRET is not set" in before_origin.log()
    assert "EDGE_SECRET" not in answer.text
    assert origin.heard == []


# Maintenance


@pytest.fixture
def closed(before_origin):
    """Until in an hour."""
    until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    before_origin.set(MAINTENANCE=until)
    yield before_origin
    before_origin.set(MAINTENANCE="")


@pytest.mark.threat(120)
def test_while_it_is_closed_everybody_is_told_until_when(closed, origin):
    opened, sent = closed.ask("/dashboard"), closed.ask("/tasks", "POST", b"description=My+words", FORM)
    told, part = closed.ask("/api/tasks"), closed.ask("/dashboard", headers={"HX-Request": "true"})
    webhook = closed.ask(WEBHOOK, "POST", b"{}", {"Stripe-Signature": "t=1"})

    for answer in (opened, sent, told, part, webhook):
        assert answer.status == 503
        assert 3000 < int(answer.header("Retry-After")) <= 3600
    assert re.search(r"expected back by \d\d:\d\d UTC on \d{4}-\d\d-\d\d", page_of(opened).main.text)
    assert page_of(sent).textarea.text.strip() == "My words"
    assert json.loads(told.body)["code"] == json.loads(webhook.body)["code"] == "maintenance"
    assert part.text.startswith('<div id="toasts"')
    assert origin.heard == [], "Stripe sends again what was not taken"


def test_balancers_and_the_doctor_are_answered_all_the_same(closed, origin):
    for path in ("/livez", "/readyz", "/healthz", "/healthz/as-seen"):
        assert closed.ask(path).body == b"ok"


def test_an_operator_with_a_pass_looks_before_it_is_opened(closed, origin):
    link = pass_link("https://dashboard.example.com", SECRET, hours=2)
    path = link.removeprefix("https://dashboard.example.com")

    given = closed.ask(path)
    cookie = given.header("Set-Cookie")

    assert (given.status, given.header("Location")) == (303, "/")
    assert all(part in cookie for part in ("__Host-edge-pass=", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=7"))
    assert closed.ask("/dashboard", headers={"Cookie": f"a=b; {cookie.partition(';')[0]}"}).body == b"ok"
    assert len(origin.heard) == 1


@pytest.mark.parametrize("hours", [-1, 25])
@pytest.mark.parametrize("secret", [SECRET, "of-nobody"])
def test_a_pass_that_is_over_too_long_or_forged_opens_nothing(closed, origin, hours, secret):
    path = pass_link("", secret, hours=hours if secret == SECRET else 1)
    pair = "=".join(re.fullmatch(r"/\.edge/pass\?until=(\d+)&mac=(\w+)", path).groups()).replace("=", ".")

    assert closed.ask(path).status == 410
    assert closed.ask("/", headers={"Cookie": f"__Host-edge-pass={pair}"}).status == 503
    assert origin.heard == []


def test_closed_without_an_end_asks_to_come_again_in_five_minutes(before_origin, origin):
    before_origin.set(MAINTENANCE="on")
    answer = before_origin.ask("/")
    before_origin.set(MAINTENANCE="")

    assert (answer.status, answer.header("Retry-After")) == (503, "300")
    assert "expected back" not in answer.text


@pytest.mark.parametrize("said", ["off", "OFF", "0", ""])
def test_what_says_that_it_is_open_opens_it(before_origin, origin, said):
    before_origin.set(MAINTENANCE=said)

    assert before_origin.ask("/").status == 200


# What is deployed


def test_wrangler_takes_the_configuration(installed, tmp_path):
    done = wrangler("deploy", "--dry-run", f"--outdir={tmp_path}")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "MAINTENANCE" in done.stdout
    assert (tmp_path / "worker.js").stat().st_size < 100_000


def test_the_lock_names_no_registry_and_every_package_has_its_hash():
    lock = json.loads((WORKER / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert len(packages) > 20
    assert [name for name, package in packages.items() if not package.get("integrity", "").startswith("sha512-")] == []
    assert [name for name, package in packages.items() if "resolved" in package] == []
    asked = json.loads((WORKER / "package.json").read_text())["devDependencies"]
    assert all(re.fullmatch(r"[\d.]+", version) for version in asked.values())
    assert packages["node_modules/wrangler"]["dependencies"]["miniflare"] == asked["miniflare"], "one runtime for both"
    assert (WORKER / ".npmrc").read_text().count("omit-lockfile-registry-resolved=true") == 1


def test_where_no_registry_is_in_reach_the_tests_fail_in_words(tmp_path, monkeypatch):
    for name in ("package.json", "package-lock.json"):
        (tmp_path / name).write_bytes((WORKER / name).read_bytes())
    (tmp_path / "npm.js").write_text("console.error('npm error code ENOTFOUND'); process.exit(1)")
    monkeypatch.setattr(front, "WORKER", tmp_path)
    monkeypatch.setattr(front, "NPM", tmp_path / "npm.js")

    with pytest.raises(front.CannotInstall, match=r"(?s)from an npm registry.*npm ping.*ENOTFOUND"):
        front.install()
