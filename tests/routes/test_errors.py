"""What a refusal or a failure looks like: as a page, as a fragment, as JSON; and what it never shows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError

from app import create_app
from app.data import Store
from app.web.headers import HEADERS, content_security_policy
from tests.routes.browser import Browser, Program, soup
from tests.support import PASSWORD, every_task, make_account, post_webhook, session_event


class Faulty:
    """A DynamoDB client that raises for the operations named in `broken`, and is real otherwise."""

    def __init__(self, client):
        self._client = client
        self.broken: dict[str, Exception] = {}

    def __getattr__(self, name: str):
        found = getattr(self._client, name)
        if name not in self.broken and "*" not in self.broken:
            return found

        def fail(**_):
            raise self.broken.get(name) or self.broken["*"]

        return found if name in ("meta", "exceptions", "usual_wait") else fail


@pytest.fixture
def faulty(store):
    return Faulty(store.client)


@pytest.fixture
def shaky(config, store, faulty, sender, stripe):
    """The app over a store that can be broken."""
    return create_app(config, store=Store(faulty, store.prefix, store.adopter), sender=sender, stripe=stripe)


def throttled() -> ClientError:
    return ClientError({"Error": {"Code": "ProvisionedThroughputExceededException", "Message": "slow down"}}, "Any")


DOWN = {
    "throttled": throttled(),
    "server error": ClientError({"Error": {"Code": "InternalServerError", "Message": ""}}, "Any"),
    "refused": EndpointConnectionError(endpoint_url="http://db"),
    "no answer": ReadTimeoutError(endpoint_url="http://db"),
    "no connection": ConnectTimeoutError(endpoint_url="http://db"),
}


@pytest.mark.threat(14)
@pytest.mark.parametrize("fault", DOWN)
def test_503_everywhere_when_the_store_is_down(shaky, store, faulty, fault):
    make_account(store, credits=100)
    browser, program = Browser(shaky), Program(shaky)
    browser.sign_in()
    fields = browser.composer() | {"description": "Precious words"}
    faulty.broken["*"] = DOWN[fault]

    page = browser.get("/dashboard")
    fragment = browser.get("/dashboard/live", fragment=True)
    submitted = browser.client.post("/tasks", data=fields)
    listed = program.get("/api/tasks")
    login = shaky.test_client().post("/api/auth/login", json={"email": "ada@example.com", "password": PASSWORD})
    webhook = post_webhook(shaky.test_client(), session_event(session="cs_1"))
    health = shaky.test_client().get("/healthz")

    for answer in (page, fragment, submitted, listed, login, webhook, health):
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
    for answer in (page, submitted):  # it was a read that failed: both know that nothing was charged
        words = " ".join(soup(answer).select_one("main").text.split())
        assert words.count("Nothing was charged") == 1
        assert "history" not in words
    assert soup(submitted).select_one("textarea").text.strip() == "Precious words"
    assert soup(fragment).select_one("#toasts [role=alert]") is not None
    assert "tasks" not in listed.get_json()
    assert listed.get_json()["code"] == "store_unavailable"
    faulty.broken.clear()
    assert store.accounts.get("ada@example.com").credits_balance == 100
    assert browser.get("/dashboard").status_code == 200


def test_front_page_and_sign_in_page_stand_when_the_store_is_down(shaky, store, faulty):
    make_account(store)
    browser = Browser(shaky)
    browser.sign_in()
    faulty.broken["*"] = DOWN["refused"]

    assert [browser.get(path).status_code for path in ("/", "/login", "/signup", "/forgot")] == [200] * 4


@pytest.mark.threat(13, 14)
def test_nothing_is_charged_when_only_the_write_fails(shaky, store, faulty):
    make_account(store, credits=100)
    program = Program(shaky)
    faulty.broken["transact_write_items"] = throttled()

    refused = program.submit({"description": "Summarise"}, **{"Idempotency-Key": "k-1"})
    faulty.broken.clear()
    again = program.submit({"description": "Summarise"}, **{"Idempotency-Key": "k-1"})

    assert (refused.status_code, again.status_code) == (503, 201)
    assert store.accounts.get("ada@example.com").credits_balance == 90


@pytest.mark.threat(10)
def test_one_charge_when_the_answer_of_a_write_is_lost(shaky, store, faulty):
    """The write went through, its answer did not: the same key afterwards is the same task."""
    make_account(store, credits=100)
    program = Program(shaky)
    real = store.client.transact_write_items

    class LostAnswer(Faulty):
        def transact_write_items(self, **request):
            real(**request)
            raise ReadTimeoutError(endpoint_url="http://db")

    shaky.extensions["impacteragi"].store.client = LostAnswer(store.client)
    lost = program.submit({"description": "Summarise"}, **{"Idempotency-Key": "k-1"})
    shaky.extensions["impacteragi"].store.client = store.client
    again = program.submit({"description": "Summarise"}, **{"Idempotency-Key": "k-1"})

    assert (lost.status_code, again.status_code) == (503, 201)
    assert "Nothing was charged" not in lost.get_json()["error"]
    assert again.get_json()["credits_remaining"] == 90
    assert len(every_task(store)) == 1


@pytest.mark.threat(64)
def test_sign_in_fails_closed_when_the_rate_limits_are_out_of_reach(shaky, store, faulty):
    make_account(store)
    faulty.broken["update_item"] = DOWN["refused"]

    answer = Browser(shaky).sign_in()

    assert answer.status_code == 503


@pytest.mark.threat(41)
def test_redelivery_credits_once_when_the_store_was_down(shaky, store, faulty):
    event = session_event(session="cs_1")
    faulty.broken["transact_write_items"] = throttled()
    first = post_webhook(shaky.test_client(), event)
    faulty.broken.clear()

    second = post_webhook(shaky.test_client(), event)

    assert (first.status_code, second.status_code) == (503, 200)
    assert store.accounts.get("ada@example.com").credits_balance == 1000


# Faults of ours


@pytest.fixture
def broken(shaky, store, faulty):
    """An app in which reading the history is a bug."""
    make_account(store, credits=100)
    browser = Browser(shaky)
    browser.sign_in()
    faulty.broken["query"] = RuntimeError("secret detail")
    return browser


@pytest.mark.threat(93)
def test_500_page_shows_a_reference_and_no_trace(broken):
    answer = broken.get("/dashboard")

    page = soup(answer)
    assert answer.status_code == 500
    assert page.select_one("main code").text == answer.headers["X-Request-Id"]
    assert "charged" in page.select_one("main").text
    assert "secret detail" not in answer.text
    assert "Traceback" not in answer.text


def test_500_fragment_is_a_toast(broken):
    answer = broken.get("/dashboard/live", fragment=True)

    assert answer.status_code == 500
    assert soup(answer).select_one("#toasts")["data-hx-swap-oob"]
    assert "secret detail" not in answer.text


@pytest.mark.usefixtures("fault_of_ours")
@pytest.mark.threat(93)
def test_500_is_json_under_api(shaky, store, faulty):
    make_account(store)
    program = Program(shaky)
    faulty.broken["query"] = RuntimeError("secret detail")

    answer = program.get("/api/tasks")

    assert (answer.status_code, answer.get_json()["code"]) == (500, "internal")
    assert "secret detail" not in answer.text


def test_500_page_reads_neither_session_nor_store(broken, faulty):
    faulty.broken["get_item"] = RuntimeError("secret detail")

    answer = broken.get("/dashboard")

    assert answer.status_code == 500
    assert "ada@example.com" not in answer.text


@pytest.mark.usefixtures("fault_of_ours")
def test_our_own_wrong_request_is_a_500_and_not_try_again(shaky, store, faulty):
    make_account(store)
    program = Program(shaky)
    faulty.broken["get_item"] = ClientError({"Error": {"Code": "ValidationException", "Message": "m"}}, "GetItem")

    assert program.get("/api/user").status_code == 500


# Addresses and methods


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/.env", 404),
        ("GET", "/.git/config", 404),
        ("GET", "/console", 404),
        ("GET", "/static/../app.py", 404),
        ("GET", "/static/nothing.css", 404),
        ("GET", "/" + "x" * 7000, 404),
        ("POST", "/", 405),
        ("DELETE", "/dashboard", 405),
        ("TRACE", "/", 405),
        ("BREW", "/", 405),
        ("GET", "/tasks", 405),
    ],
)
def test_plain_page_when_an_address_or_a_method_is_unknown(client, method, path, status):
    answer = client.open(path, method=method)

    assert answer.status_code == status
    assert soup(answer).select_one("main h1").text.strip()
    assert (answer.headers.get("Allow") is not None) is (status == 405)


@pytest.mark.threat(97)
@pytest.mark.parametrize("path", ["/%", "/%zz", "/%ff", "/%00", "/tasks/%ff%fe", "/login?next=%ff", "/?%00=%00"])
def test_no_crash_when_an_address_is_badly_escaped(client, path):
    assert client.get(path).status_code < 500


@pytest.mark.threat(79)
def test_what_was_asked_for_is_not_echoed(client):
    answer = client.get("/<script>alert(1)</script>{{70007*70007}}")

    assert "alert(1)" not in answer.text
    assert "4900980049" not in answer.text


# Headers of every answer


def every_answer(browser: Browser):
    return {
        "page": browser.get("/dashboard"),
        "public page": browser.get("/"),
        "fragment": browser.get("/dashboard/live", fragment=True),
        "redirect": Browser(browser.client.application).get("/dashboard"),
        "not found": browser.get("/nothing"),
        "method": browser.client.post("/"),
        "csrf": browser.client.post("/tasks"),
        "too large": browser.client.post("/tasks", data={"description": "x" * 100_000}),
        "json": browser.get("/api/user"),
        "webhook": browser.client.post("/api/stripe/webhook"),
        "health": browser.get("/healthz"),
        "refused": browser.post("/tasks", {"description": ""}, fragment=True),
    }


@pytest.mark.threat(82)
def test_every_answer_carries_the_policy_and_is_not_stored(browser, store, config):
    make_account(store, credits=100)
    browser.sign_in()

    for name, answer in every_answer(browser).items():
        assert answer.headers["Content-Security-Policy"] == content_security_policy(config), name
        assert {header: answer.headers.get(header) for header in HEADERS} == HEADERS, name
        assert answer.headers["Cache-Control"] == "no-store", name
        assert len(answer.headers["X-Request-Id"]) == 16, name
        assert "Access-Control-Allow-Origin" not in answer.headers, name
        assert "Server" not in answer.headers, name


@pytest.mark.threat(78)
def test_policy_allows_nothing_but_our_own_files(config):
    policy = dict(part.split(" ", 1) for part in content_security_policy(config).split("; "))

    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["form-action"] == "'self' https://checkout.stripe.com"
    assert policy["require-trusted-types-for"] == "'script'"
    assert not [rule for rule in policy.values() if "unsafe" in rule or "*" in rule or "data:" in rule]


def test_static_files_are_kept_for_ever_under_their_hash_alone(client):
    page = soup(client.get("/"))
    address = page.select_one("link[rel=stylesheet]")["href"]

    hashed, bare = client.get(address), client.get(address.partition("?")[0])

    assert hashed.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "max-age=31536000" not in bare.headers["Cache-Control"]
    assert hashed.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("query", ["v=0123456789ab", "v=", "v={own}&v=0123456789ab", "V={own}", "v={OWN}"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_another_release_asks_for_is_kept_by_nobody(client, query, method):
    """In a rolling release this server may be asked for the next one's file: it has the old content for the address."""
    address = soup(client.get("/")).select_one("link[rel=stylesheet]")["href"]
    path, _, own = address.partition("?v=")

    answer = client.open(f"{path}?{query.format(own=own, OWN=own.upper())}", method=method)
    again = client.open(answer.request.url, method=method, headers={"If-None-Match": answer.headers["ETag"]})

    assert (answer.status_code, again.status_code) == (200, 304)
    assert answer.headers["Cache-Control"] == again.headers["Cache-Control"] == "no-cache"


def test_pages_are_compressed(client):
    answer = client.get("/", headers={"Accept-Encoding": "gzip"})

    assert answer.headers["Content-Encoding"] == "gzip"


@pytest.mark.threat(96)
@pytest.mark.usefixtures("in_one_window")
def test_forwarded_address_counts_only_behind_a_configured_proxy(config, store, sender, stripe):
    make_account(store)

    def last_status(proxies: int) -> int:
        app = create_app(replace(config, trusted_proxies=proxies), store=store, sender=sender, stripe=stripe)
        for number in range(21):
            browser = Browser(app)
            answer = browser.post("/forgot", {"email": f"u{number}@e.com"}, X_Forwarded_For=f"198.51.100.{number}")
        return answer.status_code

    assert last_status(1) == 200
    assert last_status(0) == 429


# Health


def test_health_is_ok_when_the_tables_are_there(client):
    answer = client.get("/healthz")

    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok", "clock": "right"})


@pytest.mark.threat(99)
def test_health_names_what_is_missing(client, store):
    store.client.delete_table(TableName="ImpacterAGI_Outbox")

    answer = client.get("/healthz")

    assert answer.status_code == 503
    assert any("ImpacterAGI_Outbox" in problem for problem in answer.get_json()["problems"])
