"""The Python client against the running app: nothing is charged twice, nothing is lost, and what goes wrong is told."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import traceback
from datetime import UTC, datetime

import httpx
import pytest

import impacteragi
from app.domain.credits import SPEND
from impacteragi import Client, Task, calls, credentials
from impacteragi.client import _Retries
from impacteragi.downloads import safe_name
from tests.loops import run
from tests.support import every_task, ledger, make_key

WORDS = "Résumé für 東京\nмир — שלום 🌍"


def spends(customer) -> int:
    return [row.type for row in ledger(customer.store, "ada@example.com")].count(SPEND)


def test_a_task_goes_out_and_its_result_comes_back_in_any_script(customer):
    with customer.client() as client:
        assert client.balance().credits == 100
        task = client.submit(WORDS)
        assert (task.status, task.credits_spent, task.credits_remaining) == ("pending", 10, 90)
        customer.complete(task.task_id, f"# {WORDS}")
        found = client.get(task)

    assert (found.status, found.description, found.result) == ("completed", WORDS, f"# {WORDS}")
    assert found.created_at.tzinfo
    assert not found.is_open
    assert found.raw["result"] == found.result


def test_the_asynchronous_client_does_the_same(customer):
    async def program() -> list[Task]:
        async with customer.async_client() as client:
            tasks = await asyncio.gather(*(client.submit(f"Task {number}") for number in range(3)))
            await client.cancel(tasks[0])
            for task in tasks[1:]:
                await asyncio.to_thread(customer.complete, task.task_id)
            done = await client.wait(tasks, timeout=20)
            assert (await client.balance()).credits == 80
            assert [task.task_id async for task in client.list(status="cancelled")] == [tasks[0].task_id]
            assert [task.task_id for task in done] == [task.task_id for task in tasks]
            return done

    assert [task.status for task in run(program())] == ["cancelled", "completed", "completed"]


@pytest.mark.parametrize("fault", ["lost", "cut"])
def test_a_submit_whose_answers_are_lost_is_one_task_and_charged_once(customer, between, fault):
    between.first(2, fault, "/api/tasks")

    with customer.client(between.url) as client:
        task = client.submit("Once")

    assert between.calls == [("/api/tasks", fault), ("/api/tasks", fault), ("/api/tasks", "pass")]
    assert [row["task_id"] for row in every_task(customer.store)] == [task.task_id]
    assert spends(customer) == 1


def test_whoever_gets_no_answer_at_all_is_told_the_key_to_go_on_with(customer, between):
    between.every("lost")
    with customer.client(between.url, retry_seconds=0.3) as client, pytest.raises(impacteragi.NoAnswer) as lost:
        client.submit("Once")
    assert lost.value.idempotency_key in str(lost.value)

    with customer.client() as client:
        task = client.submit("Once", idempotency_key=lost.value.idempotency_key)

    assert [row["task_id"] for row in every_task(customer.store)] == [task.task_id]
    assert spends(customer) == 1


def test_a_cancel_whose_answer_is_lost_gives_its_credits_back_once(customer, between):
    with customer.client(between.url) as client:
        task = client.submit("Not this")
        between.first(1, "lost", f"/api/tasks/{task.task_id}/cancel")
        assert client.cancel(task).status == "cancelled"
        assert client.balance().credits == 100


def test_an_asynchronous_submit_keeps_its_key_as_well(customer, between):
    between.first(2, "lost", "/api/tasks")

    async def program() -> Task:
        async with customer.async_client(between.url) as client:
            return await client.submit("Once")

    task = run(program())

    assert [row["task_id"] for row in every_task(customer.store)] == [task.task_id]
    assert spends(customer) == 1


def test_refusals_are_typed_and_nothing_of_them_is_tried_again(customer, between):
    with customer.client(between.url) as client:
        for number in range(10):
            client.submit(f"Task {number}")
        begun = len(between.calls)
        with pytest.raises(impacteragi.InsufficientCredits) as broke:
            client.submit("One more")
        with pytest.raises(impacteragi.NotFound):
            client.get("task_of_nobody")
        with pytest.raises(impacteragi.InvalidInput) as empty:
            client.submit(" ")
        with pytest.raises(impacteragi.BadRequest):
            list(client.list(status="purple"))
    assert (broke.value.required, broke.value.available) == (10, 0)
    assert (empty.value.field, empty.value.code) == ("description", "invalid")
    assert empty.value.request_id
    assert len(between.calls) == begun + 4


def test_a_key_says_what_it_may_not_do_and_what_it_has_spent(customer):
    reader = make_key(customer.store, scopes=["tasks:read"], name="Reader")
    spender = make_key(customer.store, scopes=["tasks:write"], name="Spender", monthly=15)
    with Client(reader, customer.server.url) as client, pytest.raises(impacteragi.MissingScope) as missing:
        client.submit("Not with this key")
    with Client(spender, customer.server.url) as client:
        task = client.submit("Within its limit")
        with pytest.raises(impacteragi.KeyLimitReached) as reached:
            client.submit("Beyond it")

    assert missing.value.scope == "tasks:write"
    assert (reached.value.limit, reached.value.used) == (15, 10)
    assert datetime.fromisoformat(reached.value.resets_at) > datetime.now(UTC)
    assert task.key_id
    assert spends(customer) == 1


def test_one_key_for_two_texts_is_refused(customer):
    with customer.client() as client:
        first = client.submit("One text", idempotency_key="mine")
        assert client.submit("One text", idempotency_key="mine").task_id == first.task_id
        with pytest.raises(impacteragi.IdempotencyKeyReused):
            client.submit("Another text", idempotency_key="mine")


def test_a_limit_is_told_with_its_seconds_and_not_waited_for(customer):
    """60 searches a minute; a minute that ends in between, on a busy machine, begins the count anew."""

    def search_on(client):
        for _ in range(200):
            list(client.list(q="nothing"))

    with customer.client(retry_seconds=1) as client, pytest.raises(impacteragi.RateLimited) as limited:
        search_on(client)

    assert limited.value.retry_after >= 1


def test_a_list_is_read_page_by_page(customer, monkeypatch):
    monkeypatch.setattr(calls, "PAGE", 2)
    with customer.client() as client:
        sent = [client.submit(f"Task {number}").task_id for number in range(5)]
        assert [task.task_id for task in client.list()] == sent[::-1]
        assert [task.task_id for task in client.list(status="completed")] == []


def test_the_key_is_shown_nowhere(customer, between, caplog):
    caplog.set_level(logging.DEBUG)
    between.first(1, "lost", "/api/tasks")
    client = customer.client(between.url, retry_seconds=1)
    client.submit("Once")
    between.every("cut")
    errors = []
    for asked in (client, Client("imp_live_" + "wrong", customer.server.url)):
        with pytest.raises(impacteragi.ImpacterError) as refused:
            asked.balance()
        errors.append(refused.value)

    every = [traceback.TracebackException.from_exception(error, capture_locals=True) for error in errors]
    told = "".join(line for each in every for line in each.format())
    shown = f"{client!r} {vars(client)!r} {errors!r} {told} {caplog.text}"
    assert [type(error) for error in errors] == [impacteragi.NoAnswer, impacteragi.Unauthorized]
    assert errors[0].__cause__ is None  # whose frames hold the request as it was sent
    assert "tried again" in caplog.text
    assert customer.key not in shown
    assert "imp_live_wrong" not in shown


def test_the_key_comes_from_a_file_that_nobody_else_reads(customer, monkeypatch, tmp_path):
    path = tmp_path / "impacteragi" / "key"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv(credentials.KEY, raising=False)
    with pytest.raises(impacteragi.NotConfigured, match="There is no API key"):
        Client(base_url=customer.server.url)
    path.parent.mkdir()
    path.write_text(f"{customer.key}\n", encoding="utf-8")
    path.chmod(0o640)
    with pytest.raises(impacteragi.NotConfigured, match="read by others") as refused:
        Client(base_url=customer.server.url)
    assert customer.key not in str(refused.value)
    path.chmod(0o600)

    with Client(base_url=customer.server.url) as client:
        assert client.balance().email == "ada@example.com"


@pytest.mark.parametrize(
    "address",
    ["http://example.com", "ftp://example.com", "example.com", "https://ada:secret@example.com", "https://", ""],
)
def test_a_key_leaves_this_machine_over_tls_alone(address, monkeypatch):
    monkeypatch.delenv(credentials.BASE_URL, raising=False)
    with pytest.raises(impacteragi.NotConfigured) as refused:
        Client("imp_live_x", address)
    assert "secret" not in str(refused.value)


def test_a_wait_ends_with_the_last_task_and_tells_of_each(customer):
    told = []
    with customer.client() as client:
        tasks = [client.submit(f"Task {number}") for number in range(3)]
        client.cancel(tasks[1])

        def work() -> None:
            for task in (tasks[0], tasks[2]):
                time.sleep(0.3)
                customer.complete(task.task_id, f"Result of {task.description}")

        thread = threading.Thread(target=work)
        thread.start()
        done = client.wait(tasks, timeout=30, progress=lambda known: told.append([*known.values()]))
        thread.join()

    assert [(task.status, task.result) for task in done] == [
        ("completed", "Result of Task 0"),
        ("cancelled", None),
        ("completed", "Result of Task 2"),
    ]
    assert [task.is_open for task in told[-1]] == [False, False, False]


def test_a_wait_in_vain_says_what_is_known(customer):
    with customer.client() as client:
        done, left = client.submit("Done"), client.submit("Left")
        customer.complete(done.task_id)
        with pytest.raises(impacteragi.WaitedInVain, match=r"1 of 2 tasks are closed; .*cancelled") as vain:
            client.wait([done, left], timeout=0.5)
        with pytest.raises(TimeoutError, match=left.task_id):
            client.wait(left.task_id, timeout=0)
        with pytest.raises(impacteragi.NotFound):
            client.wait(["task_of_nobody"], timeout=5)
        assert client.wait([]) == []

    assert {task_id: task.status for task_id, task in vain.value.tasks.items()} == {
        done.task_id: "completed",
        left.task_id: "pending",
    }


def test_a_wait_outlives_a_server_that_is_away(customer, between):
    with customer.client(between.url, retry_seconds=0.2) as client:
        task = client.submit("Patience")
        between.every("cut")
        threading.Timer(1.5, lambda: (customer.complete(task.task_id), between.heal())).start()
        assert client.wait(task, timeout=30).status == "completed"
        between.every("cut")
        with pytest.raises(impacteragi.WaitedInVain, match="not answered lately"):
            client.wait([task, "task_of_nobody"], timeout=0.5)
    assert "cut" in [fault for _, fault in between.calls]


def test_files_are_whole_under_their_names_and_over_nothing(customer, tmp_path):
    files = [("報告.txt", b"one"), ("報告.txt", b"two" * 100_000), ("../../etc/passwd", b"")]
    with customer.client() as client:
        task = client.submit("Files")
        customer.complete(task.task_id, "See the files.", files)
        places = client.download(task, tmp_path)
        with pytest.raises(FileExistsError, match="nothing was downloaded"):
            client.download(task, tmp_path)
        places[0].write_bytes(b"changed")
        client.download(task, tmp_path, overwrite=True)

        async def program() -> list[str]:
            async with customer.async_client() as client:
                (tmp_path / "more").mkdir()
                return [place.name for place in await client.download(task, tmp_path / "more")]

        assert run(program()) == ["報告.txt", "報告 (2).txt", "passwd"]

    assert [place.relative_to(tmp_path).as_posix() for place in places] == ["報告.txt", "報告 (2).txt", "passwd"]
    assert [place.read_bytes() for place in places] == [content for _, content in files]
    assert sorted(os.listdir(tmp_path)) == ["more", "passwd", "報告 (2).txt", "報告.txt"]


def test_a_file_that_does_not_come_whole_leaves_nothing_behind(customer, tmp_path, monkeypatch):
    with customer.client(retry_seconds=0.3) as client:
        task = client.submit("Files")
        customer.complete(task.task_id, "See the file.", [("a.txt", b"abc")])
        for size, error in ((2, impacteragi.Incomplete), (4, impacteragi.NoAnswer)):
            told = {**client.get(task).raw, "files": [{"number": 1, "name": "a.txt", "size_bytes": size}]}
            monkeypatch.setattr(client, "get", lambda _, told=told: Task.read(told))
            with pytest.raises(error):
                client.download(task, tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("con.txt", "file_con.txt"),
        (" .. ", "file"),
        ("a\x1b[31mb.txt", "a_[31mb.txt"),
        ("é" * 300 + ".pdf", "é" * 98 + ".pdf"),
    ],
)
def test_a_name_of_a_file_leads_nowhere(given, kept):
    assert safe_name(given) == kept


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(200, html="<p>Sign in to this network"), "sends text/html"),
        (httpx.Response(200, json=["a", "list"]), "sends application/json"),
        (httpx.Response(200, headers={"Content-Type": "application/json"}, content=b"{"), "sends application/json"),
        (httpx.Response(204), "sends nothing"),
        (httpx.Response(301, headers={"Location": "https://example.com/"}), "leads to https://example.com/"),
        (httpx.Response(304), "sends nothing"),
    ],
)
def test_what_is_no_answer_of_the_api_is_said_to_be_none(answer, said):
    with pytest.raises(impacteragi.NotOurs, match=said):
        calls.read_answer(calls.Call("GET", "/api/user"), answer)


def test_a_key_that_is_none_never_passes_for_a_new_one(customer):
    with customer.client() as client:
        for key in ("", " ", "é", "a\nb", "x" * 256):
            with pytest.raises(impacteragi.Unusable):
                client.submit("Once", idempotency_key=key)
            with pytest.raises(impacteragi.Unusable):
                client.batch(["Once"], idempotency_key=key)
        with pytest.raises(impacteragi.Unusable):
            client.get("..")
    assert every_task(customer.store) == []


def test_what_the_api_learns_later_survives():
    task = Task.read({"task_id": "t", "status": "translating", "created_at": "soon", "files": None, "new": {"a": 1}})
    assert (task.status, task.is_open, task.created_at, task.files, task.raw["new"]) == (
        "translating",
        True,
        None,
        (),
        {"a": 1},
    )
    assert impacteragi.errors.kind_of(418, "teapot") is impacteragi.ApiError
    assert impacteragi.errors.kind_of(409, "of_tomorrow") is impacteragi.Conflict
    assert impacteragi.errors.kind_of(599, "") is impacteragi.ServerFailed


def test_a_try_waits_as_long_as_it_is_told_and_no_longer_than_it_may():
    retries = _Retries(calls.Call("GET", "/api/user"), 10)

    assert 2 <= retries(impacteragi.Unavailable(503, "busy", "Busy.", retry_after=2)) <= 3
    assert retries(impacteragi.RateLimited(429, "rate_limited", "Slow.", retry_after=11)) is False
    assert retries(impacteragi.Unavailable(502, "unreachable", "Nobody is there.")) is True
    assert retries(httpx.ReadTimeout("late")) is True
    assert retries(impacteragi.InsufficientCredits(402, "insufficient_credits", "No.")) is False
    assert retries(impacteragi.ServerFailed(500, "internal", "Broken.")) is False
    assert _Retries(calls.Call("GET", "/api/user", until=time.monotonic()), 10)(httpx.ReadTimeout("late")) is False
