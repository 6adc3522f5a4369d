"""DynamoDB throttled, failing, slow, cut off, or silent after it has written: what people are told, and the books."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.web.server_state import KEY, ServerState
from tests.routes.browser import Browser, Program
from tests.support import ledger, make_account, post_webhook, session_event

BROKEN = ["throttle", "error", "cut", "lost", "garbage"]
BOUND_SECONDS = 12.0


@pytest.fixture
def program(shaky_app, store) -> Program:
    make_account(store, credits=100)
    return Program(shaky_app)


def timed(call):
    begun = time.monotonic()
    answer = call()
    return answer, time.monotonic() - begun


def charged(store) -> int:
    return sum(-entry.amount for entry in ledger(store, "ada@example.com") if entry.type == "spend")


@pytest.mark.threat(13, 14)
@pytest.mark.parametrize("fault", [fault for fault in BROKEN if fault != "lost"])
def test_nothing_is_charged_and_503_says_so_when_the_store_cannot_answer(store, proxy, program, fault):
    proxy.every(fault)

    answer, seconds = timed(lambda: program.submit({"description": "Try"}, **{"Idempotency-Key": "k-1"}))

    assert (answer.status_code, answer.json["code"]) == (503, "store_unavailable")
    assert "Nothing was charged" in answer.json["error"]
    assert int(answer.headers["Retry-After"]) > 0
    assert seconds < 5
    assert charged(store) == 0
    proxy.heal()
    assert program.submit({"description": "Try"}, **{"Idempotency-Key": "k-1"}).status_code == 201
    assert charged(store) == 10


@pytest.mark.threat(14)
@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("path", ["/api/user", "/api/tasks", "/api/transactions"])
def test_a_program_reads_503_and_never_an_empty_list(proxy, program, fault, path):
    proxy.every(fault)

    answer, seconds = timed(lambda: program.get(path))

    assert answer.status_code == 503
    assert seconds < BOUND_SECONDS


@pytest.mark.threat(14)
@pytest.mark.parametrize("fault", BROKEN)
def test_a_page_is_503_not_signed_out_and_not_500(shaky_app, store, proxy, fault):
    make_account(store, credits=100)
    browser = Browser(shaky_app)
    browser.sign_in()
    proxy.every(fault)

    for path in ("/dashboard", "/transactions", "/account", "/account/export.json", "/account/second-factor"):
        answer = browser.get(path)
        assert answer.status_code == 503, path
        assert answer.headers["Retry-After"]
        assert "Nothing was charged" in answer.text
    for path in ("/", "/login", "/signup", "/forgot", "/robots.txt"):
        assert browser.get(path).status_code == 200, path
    assert browser.get("/healthz").status_code == 503
    proxy.heal()
    assert browser.get("/dashboard").status_code == 200


@pytest.mark.threat(14)
def test_what_was_typed_is_kept_when_the_store_fails(shaky_app, store, proxy):
    make_account(store, credits=100)
    browser = Browser(shaky_app)
    browser.sign_in()
    form = browser.composer() | {"description": "A long and careful text"}
    proxy.every("error")

    page = browser.client.post("/tasks", data=form)
    fragment = browser.client.post("/tasks", data=form, headers={"HX-Request": "true"})

    assert page.status_code == fragment.status_code == 503
    assert "A long and careful text" in page.text
    proxy.heal()
    assert browser.client.post("/tasks", data=form).status_code == 303
    assert charged(store) == 10


@pytest.mark.threat(5, 10)
@pytest.mark.parametrize("lost", [1, 2])
def test_one_charge_when_the_answer_to_the_write_is_lost(store, proxy, program, lost):
    """The library tries again: that second write must be read as the first one's success."""
    proxy.first(lost, "lost", "TransactWriteItems")

    answer = program.submit({"description": "Once"}, **{"Idempotency-Key": "k-1"})

    assert answer.status_code == 201
    assert charged(store) == 10
    assert answer.json["credits_remaining"] == 90


@pytest.mark.threat(10, 15)
def test_one_charge_when_every_answer_is_lost_and_the_program_tries_again(store, proxy, program):
    proxy.every("lost", "TransactWriteItems")
    first = program.submit({"description": "Once"}, **{"Idempotency-Key": "k-1"})
    proxy.heal()

    again = program.submit({"description": "Once"}, **{"Idempotency-Key": "k-1"})

    assert first.status_code in (201, 503)
    assert again.status_code == 201
    assert charged(store) == 10


@pytest.mark.threat(11)
@pytest.mark.parametrize("conflicts", [1, 2, 3])
def test_a_few_write_conflicts_are_ridden_out(store, proxy, program, conflicts):
    proxy.first(conflicts, "conflict", "TransactWriteItems")

    assert program.submit({"description": "Once"}).status_code == 201
    assert charged(store) == 10


@pytest.mark.threat(11)
def test_endless_write_conflicts_end_in_503(store, proxy, program):
    proxy.every("conflict", "TransactWriteItems")

    answer, seconds = timed(lambda: program.submit({"description": "Never"}))

    assert (answer.status_code, answer.json["code"]) == (503, "busy")
    assert seconds < BOUND_SECONDS
    assert charged(store) == 0


@pytest.mark.threat(15)
def test_the_answer_comes_within_twelve_seconds_when_every_call_takes_five(store, proxy, program):
    proxy.delay_seconds = 5.0
    proxy.every("delay")

    answer, seconds = timed(lambda: program.submit({"description": "Slow"}, **{"Idempotency-Key": "k-1"}))

    assert answer.status_code == 503
    assert seconds < BOUND_SECONDS
    time.sleep(5.5)  # what was on its way arrives
    proxy.heal()
    assert program.submit({"description": "Slow"}, **{"Idempotency-Key": "k-1"}).status_code == 201
    assert charged(store) == 10


@pytest.mark.threat(15)
def test_one_charge_when_only_the_write_is_slow(store, proxy, program):
    """The library gives up on the answer and repeats, while the first write still arrives."""
    proxy.delay_seconds = 3.0
    proxy.every("delay", "TransactWriteItems")

    answer, seconds = timed(lambda: program.submit({"description": "Slow"}, **{"Idempotency-Key": "k-1"}))

    assert answer.status_code in (201, 503)
    assert seconds < BOUND_SECONDS
    time.sleep(3.5)
    proxy.heal()
    assert program.submit({"description": "Slow"}, **{"Idempotency-Key": "k-1"}).status_code == 201
    assert charged(store) == 10


@pytest.mark.threat(2, 10)
def test_every_answer_is_true_when_a_third_of_all_calls_fails(store, proxy, program):
    """Forty submits over a store that throttles, cuts and forgets: each 201 is one task, each 503 at most one."""
    faults = ["pass", "pass", "pass", "pass", "throttle", "lost", "cut"]
    proxy.rule = lambda _operation, number: faults[number * 5 % len(faults)]

    def submit(number: int) -> int:
        return program.submit({"description": f"Task {number}"}, **{"Idempotency-Key": f"k-{number % 8}"}).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(submit, [*range(8)] * 3))
    proxy.heal()

    assert set(answers) <= {201, 503}
    final = [submit(number) for number in range(8)]
    assert final == [201] * 8
    assert charged(store) == 80


@pytest.mark.threat(41)
@pytest.mark.parametrize("fault", [*BROKEN, "conflict"])
def test_a_webhook_is_503_until_the_write_is_durable_and_credits_once_afterwards(shaky_app, store, proxy, fault):
    event = session_event("new@example.com")
    client = shaky_app.test_client()
    proxy.every(fault, *(["TransactWriteItems"] if fault == "conflict" else []))

    answer, seconds = timed(lambda: post_webhook(client, event))

    assert answer.status_code == 503
    assert seconds < BOUND_SECONDS
    proxy.heal()
    assert [post_webhook(client, event).status_code for _ in range(2)] == [200, 200]
    assert store.accounts.get("new@example.com").credits_balance == 1000
    assert len(ledger(store, "new@example.com")) == 1


@pytest.mark.threat(41)
@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_webhook_credits_once_when_the_answer_to_its_write_is_lost(shaky_app, store, proxy, lost):
    event = session_event("new@example.com")
    client = shaky_app.test_client()
    proxy.first(lost, "lost", "TransactWriteItems")

    first = post_webhook(client, event)
    again = post_webhook(client, event)

    assert first.status_code in (200, 503)
    assert again.status_code == 200
    assert store.accounts.get("new@example.com").credits_balance == 1000


@pytest.mark.threat(64)
@pytest.mark.parametrize("fault", ["throttle", "error", "cut"])
def test_sign_in_fails_closed_when_only_the_counters_are_out_of_reach(shaky_app, store, proxy, fault):
    """Without counters nobody may guess; those who are signed in notice nothing."""
    make_account(store, credits=100)
    browser = Browser(shaky_app)
    browser.sign_in()
    form = browser.composer() | {"description": "Works"}
    proxy.every(fault, "UpdateItem")  # the counters are the only updates outside transactions here

    assert Browser(shaky_app).sign_in().status_code == 503
    assert Browser(shaky_app).post("/forgot", {"email": "ada@example.com"}).status_code == 200
    assert browser.client.post("/tasks", data=form).status_code == 303


@pytest.mark.threat(14)
def test_an_outage_is_no_reason_to_replace_a_server_or_to_send_it_no_requests(shaky_app, proxy):
    client = shaky_app.test_client()

    def asked() -> list[int]:
        return [client.get(path).status_code for path in ("/livez", "/readyz", "/healthz")]

    proxy.every("error")
    at_the_start = asked()
    proxy.heal()
    well = asked()
    proxy.every("error")

    assert (at_the_start, well, asked()) == ([200, 503, 503], [200, 200, 200], [200, 200, 503])


def test_a_worker_that_is_started_again_in_an_outage_is_as_ready_as_the_others_of_its_server(shaky_app, proxy):
    client, server = shaky_app.test_client(), ServerState()

    def asked(state: ServerState) -> int:
        return client.get("/readyz", environ_overrides={KEY: state}).status_code

    before = asked(server)
    proxy.every("error")

    assert (before, asked(server), asked(ServerState())) == (200, 200, 503)


@pytest.mark.threat(99)
def test_health_names_the_missing_table(app, client, store):
    store.client.delete_table(TableName=store.prefix + "Outbox")

    answer, ready = client.get("/healthz"), client.get("/readyz")

    assert (answer.status_code, ready.status_code, client.get("/livez").status_code) == (503, 503, 200)
    missing = ["table ImpacterAGI_Outbox is missing; python scripts/setup_db.py makes it"]
    assert answer.json["problems"] == ready.json["problems"] == missing
