"""The operators' JSON API: a program works the queue; nobody else's token opens it."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from app.domain.clock import utcnow
from app.services import queue, tasks
from tests.routes.browser import Program
from tests.support import all_mails, make_account, make_key

WORKER = Path(__file__).parents[2] / "scripts" / "worker_example.py"
PORT = 8249


@pytest.fixture
def ada(store):
    return make_account(store, credits=100)


@pytest.fixture
def op(store, app) -> Program:
    make_account(store, "op@example.com", role="admin")
    return Program(app, "op@example.com")


@pytest.fixture
def task(store, ada):
    return submit(store)


def submit(store, text="Summarise the report"):
    return tasks.submit(store, store.accounts.get("ada@example.com"), text, now=utcnow()).task


def test_a_program_works_a_task_when_it_has_an_operators_token(store, op, task):
    listed = op.get("/api/admin/tasks").get_json()
    claimed = op.post("/api/admin/tasks/claim", json={"minutes": 10}).get_json()["task"]
    renewed = op.post(f"/api/admin/tasks/{task.task_id}/renew", json={"minutes": 60}).get_json()
    stored = op.post(f"/api/admin/tasks/{task.task_id}/files?name=a.csv", data=b"a,b", content_type="text/csv")
    body = {"result": "# Done", "files": [stored.get_json()["file_id"]]}
    done = op.post(f"/api/admin/tasks/{task.task_id}/complete", json=body)
    again = op.post(f"/api/admin/tasks/{task.task_id}/complete", json=body)

    assert [row["task_id"] for row in listed["tasks"]] == [task.task_id]
    assert (claimed["task_id"], claimed["lease_owner"]) == (task.task_id, "op@example.com")
    assert renewed["lease_until"] > claimed["lease_until"]
    assert (done.status_code, again.status_code) == (200, 200)
    assert done.get_json()["status"] == "completed"
    shown = op.get(f"/api/admin/tasks/{task.task_id}").get_json()
    assert shown["result"] == "# Done"
    assert shown["files"] == [{"number": 1, "name": "a.csv", "size_bytes": 3, "content_type": "text/csv"}]
    assert len(all_mails(store)) == 1


@pytest.fixture(autouse=True)
def bucket(app):
    app.extensions["impacteragi"].files.create_bucket()


def test_the_customers_program_reads_the_result_when_it_is_done(store, app, op, task):
    op.post("/api/admin/tasks/claim")
    op.post(f"/api/admin/tasks/{task.task_id}/complete", json={"result": "# Done"})
    ada = Program(app)

    body = ada.get(f"/api/tasks/{task.task_id}").get_json()
    redo = ada.post(f"/api/tasks/{task.task_id}/redo", json={"note": "More"})

    assert (body["status"], body["result"], body["files"]) == ("completed", "# Done", [])
    assert redo.status_code == 201
    assert redo.get_json()["credits_spent"] == 0
    cancelled = ada.post(f"/api/tasks/{redo.get_json()['task_id']}/cancel")
    assert cancelled.get_json()["credits_remaining"] == 90


def test_pending_tasks_are_listed_when_the_status_is_left_empty(op, task):
    listed = op.get("/api/admin/tasks", status="", q="", limit="", cursor="").get_json()["tasks"]

    assert [row["task_id"] for row in listed] == [task.task_id]


def test_null_is_the_answer_when_nothing_waits(op):
    answer = op.post("/api/admin/tasks/claim")

    assert (answer.status_code, answer.get_json()) == (200, {"task": None})


def test_a_refusal_has_its_code_when_the_step_is_not_possible(store, op, task):
    path = f"/api/admin/tasks/{task.task_id}"

    assert op.post(f"{path}/complete", json={"result": "x"}).get_json()["code"] == "wrong_state"
    assert op.post(f"{path}/renew").status_code == 409
    assert op.post(f"{path}/files?name=a", data=b"a").status_code == 409
    assert op.post(f"{path}/reject", json={}).status_code == 422
    assert op.post(f"{path}/reject", json={"reason": ""}).status_code == 422
    assert op.post("/api/admin/tasks/unknown/claim").status_code == 404
    for minutes in (0, 1000, "10", None, True, 1.5):
        assert op.post(f"{path}/claim", json={"minutes": minutes}).status_code == 422
    for status in ("completed", "nonsense"):
        assert op.get("/api/admin/tasks", status=status).status_code == 400
    assert op.get("/api/admin/tasks", cursor="WzFd").status_code == 400
    op.post(f"{path}/claim")
    for files in ("a", [1], ["../../x"], ["0" * 16], ["x"] * 6):
        assert op.post(f"{path}/complete", json={"result": "x", "files": files}).status_code == 422
    assert op.post(f"{path}/complete", json={}).status_code == 422
    assert op.post(f"{path}/release").get_json()["status"] == "pending"
    rejected = op.post(f"{path}/reject", json={"reason": "Not possible"}).get_json()
    assert rejected["status"] == "rejected"
    assert op.post(f"{path}/reject", json={"reason": "Not possible"}).status_code == 409


def test_a_file_serves_no_other_task_when_it_was_stored_for_one(store, op, task):
    other = submit(store, "Another")
    op.post(f"/api/admin/tasks/{task.task_id}/claim")
    op.post(f"/api/admin/tasks/{other.task_id}/claim")
    file_id = op.post(f"/api/admin/tasks/{task.task_id}/files?name=a", data=b"a").get_json()["file_id"]

    answer = op.post(f"/api/admin/tasks/{other.task_id}/complete", json={"result": "x", "files": [file_id]})

    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/api/admin/tasks"),
        ("get", "/api/admin/tasks/{task}"),
        ("post", "/api/admin/tasks/claim"),
        ("post", "/api/admin/tasks/{task}/claim"),
        ("post", "/api/admin/tasks/{task}/complete"),
        ("post", "/api/admin/tasks/{task}/reject"),
        ("post", "/api/admin/tasks/{task}/files"),
        ("get", "/api/admin/customers/{ada}"),
        ("get", "/api/admin/customers"),
        ("get", "/api/admin/customers/search"),
        ("post", "/api/admin/customers/{ada}/adjust"),
        ("get", "/api/admin/users/ada@example.com"),
        ("post", "/api/admin/users/ada@example.com/adjust"),
    ],
)
def test_nothing_opens_when_the_token_is_a_customers(store, app, task, method, path):
    make_account(store, "bob@example.com")
    bob = Program(app, "bob@example.com")

    path = path.format(task=task.task_id, ada=store.accounts.get("ada@example.com").account_id)

    answer = getattr(bob, method)(path)
    bare = getattr(app.test_client(), method)(path)

    assert (answer.status_code, bare.status_code) == (403, 401)
    assert "ada@example.com" not in answer.text
    assert store.tasks.get(task.task_id, owner="ada@example.com").status == "pending"


def test_a_customer_is_found_by_part_of_the_address_and_by_the_id_of_a_task(op, ada, task):
    by_address = op.get("/api/admin/customers/search", q="ADA@exam").get_json()
    by_task = op.get("/api/admin/customers/search", q=task.task_id).get_json()
    nothing = op.get("/api/admin/customers/search", q="a").get_json()

    assert [found["account_id"] for found in by_address["customers"]] == [ada.account_id]
    assert (by_address["named_by_id"], by_address["next_cursor"]) == ([], None)
    assert by_task["customers"] == by_address["customers"]
    (named,) = by_task["named_by_id"]
    assert (named["kind"], named["task_id"], named["email"]) == ("task", task.task_id, ada.email)
    assert (nothing["customers"], "at least 3 characters" in nothing["searched"]) == ([], True)


def test_a_demoted_operators_token_is_dead_at_the_next_call(store, op, task):
    store.updates.accounts.change(store.accounts.get("op@example.com"), role="customer")

    assert op.post("/api/admin/tasks/claim").status_code == 403


def test_a_balance_is_adjusted_once_when_the_key_is_repeated(store, op, ada):
    path, key = f"/api/admin/customers/{ada.account_id}/adjust", {"Idempotency-Key": "k-1"}

    first = op.post(path, json={"amount": 5, "reason": "Goodwill"}, headers=key)
    again = op.post(path, json={"amount": 5, "reason": "Goodwill"}, headers=key)

    assert first.get_json() == again.get_json()
    assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    assert first.get_json()["balance_after"] == 105
    assert op.get(f"/api/admin/customers/{ada.account_id}").get_json()["credits"] == 105
    assert op.post(path, json={"amount": 6000, "reason": "Goodwill"}).status_code == 202
    for body in ({"amount": -200, "reason": "x"}, {"amount": "5", "reason": "x"}, {"reason": "x"}, {"amount": 5}):
        assert op.post(path, json=body).status_code == 422
    assert op.post("/api/admin/customers/acc_of_nobody/adjust", json={"amount": 5, "reason": "x"}).status_code == 404
    assert store.accounts.get("ada@example.com").credits_balance == 105


def test_what_waits_for_a_second_operator_says_when_it_is_told_again_also_by_the_address(op, ada):
    path, body = "/api/admin/users/ada@example.com/adjust", {"amount": 6000, "reason": "Goodwill"}

    answers = [op.post(path, json=body, headers={"Idempotency-Key": "k-1"}) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [202] * 3
    assert ["Idempotent-Replayed" in answer.headers for answer in answers] == [False, True, True]
    assert all("successor-version" in answer.headers["Link"] for answer in answers)


def test_the_example_worker_empties_the_queue_when_it_runs_once(store, app, op, ada):
    made = [submit(store, f"Count these words, {number}") for number in range(3)]
    server = make_server("127.0.0.1", PORT, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    key = make_key(store, "op@example.com", ["queue:work"])
    try:
        done = subprocess.run(
            [sys.executable, str(WORKER), "--once"],
            env={
                "API_URL": f"http://127.0.0.1:{PORT}",
                "API_KEY": key,
                "HEARTBEAT_SECONDS": "0.01",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
    finally:
        server.shutdown()

    assert done.stdout.count("completed") == 3
    for task in made:
        stored, result = store.tasks.get_with_result(task.task_id)
        assert (stored.status, result.text) == ("completed", "# Result\n\nYour task has **4** words.")


def test_a_claim_by_a_program_is_seen_when_an_operator_looks(store, op, task):
    op.post("/api/admin/tasks/claim")

    answer = op.get("/api/admin/tasks", status="in-progress").get_json()

    assert [row["lease_owner"] for row in answer["tasks"]] == ["op@example.com"]
    assert queue.claim_next(store, "two@example.com", now=utcnow()) is None
