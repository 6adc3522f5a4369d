"""The command line of the queue and the accounts: tables, JSON, and 1 for what is not there."""

import json

import pytest

from app import create_app
from app.domain.clock import utcnow
from app.domain.mails import Mail
from app.services import tasks
from tests.support import FakeSender, every_task, ledger, make_account


@pytest.fixture
def run(config, store):
    app = create_app(config, store=store, sender=FakeSender())
    return lambda *words, **more: app.test_cli_runner().invoke(args=list(words), **more)


@pytest.fixture
def task(store):
    account = make_account(store, credits=100)
    return tasks.submit(store, account, "Summarise \x1b[31mthe report", now=utcnow()).task


def test_a_task_is_worked_at_the_terminal_when_each_step_is_typed(run, store, task, tmp_path):
    assert task.task_id in run("tasks", "pending").output
    assert task.task_id in run("tasks", "list").output
    claimed = json.loads(run("tasks", "claim", "--as", "op@example.com", "--json").stdout)
    assert (claimed["task_id"], claimed["lease_owner"]) == (task.task_id, "op@example.com")
    assert json.loads(run("tasks", "list", "--status", "in-progress", "--json").stdout)[0]["task_id"] == task.task_id
    assert run("tasks", "complete", task.task_id, "--result", "x").exit_code == 1  # somebody else holds it

    done = run(
        "tasks", "complete", task.task_id, "--result-file", "-", "--as", "op@example.com", input="# Done\n\nAll of it."
    )

    assert done.exit_code == 0, done.output
    shown = run("tasks", "show", task.task_id)
    assert "All of it." in shown.output
    assert "task.complete" in shown.output
    assert "\x1b" not in shown.output
    body = json.loads(run("tasks", "show", task.task_id, "--json").stdout)
    assert (body["status"], body["result"]) == ("completed", "# Done\n\nAll of it.")
    assert [act["action"] for act in body["audit"]] == ["task.claim", "task.complete"]
    assert run("tasks", "claim").exit_code == 1  # nothing waits
    listed = json.loads(run("tasks", "list", "--user", "ada@example.com", "--status", "completed", "--json").stdout)
    assert [row["task_id"] for row in listed] == [task.task_id]


def test_a_rejection_gives_the_credits_back_when_it_is_typed(run, store, task):
    assert run("tasks", "reject", task.task_id).exit_code == 2  # no reason

    done = run("tasks", "reject", task.task_id, "--reason", "Not possible")

    assert "10 credits given back" in done.output
    assert store.accounts.get("ada@example.com").credits_balance == 100


@pytest.mark.parametrize(
    "words",
    [
        ("tasks", "show", "task_unknown"),
        ("tasks", "claim", "task_unknown"),
        ("tasks", "release", "task_unknown"),
        ("tasks", "complete", "task_unknown", "--result", "x"),
        ("tasks", "reject", "task_unknown", "--reason", "x"),
        ("tasks", "list", "--user", "nobody@example.com"),
        ("accounts", "show", "nobody@example.com"),
        ("accounts", "adjust", "nobody@example.com", "5", "--reason", "x"),
        ("accounts", "adjust", "ada@example.com", "-5000", "--reason", "x"),
        ("accounts", "adjust", "ada@example.com", "0", "--reason", "x"),
        ("operators", "grant", "nobody@example.com"),
    ],
)
def test_nothing_is_written_when_the_id_is_unknown_or_the_rule_says_no(run, store, task, words):
    result = run(*words)

    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert every_task(store)[0]["status"] == "pending"
    assert len(ledger(store, "ada@example.com")) == 2
    assert store.audit.search(until=utcnow().date(), days=1, limit=5).items == []


def test_accounts_are_listed_shown_and_adjusted_when_asked(run, store, task):
    assert "ada@example.com" in run("accounts", "list").output
    assert json.loads(run("accounts", "list", "zed", "--json").stdout) == []

    taken = run("accounts", "adjust", "ada@example.com", "-30", "--reason", "Billed twice", "--request-id", "r-1")
    run("accounts", "adjust", "ada@example.com", "-30", "--reason", "Billed twice", "--request-id", "r-1")

    assert taken.exit_code == 0, taken.output
    assert "the balance is 60" in taken.output
    body = json.loads(run("accounts", "show", "ADA@example.com", "--json").stdout)
    assert (body["credits"], body["transactions"][0]["amount"]) == (60, -30)
    assert "Adjustment: Billed twice" in run("accounts", "show", "ada@example.com").output
    assert "Proposed" in run("accounts", "adjust", "ada@example.com", "6000", "--reason", "Migration").output
    assert store.accounts.get("ada@example.com").credits_balance == 60


LISTS = {
    "tasks list": ("tasks", "list", "--limit"),
    "tasks of one customer": ("tasks", "list", "--user", "ada@example.com", "--limit"),
    "tasks pending": ("tasks", "pending", "--limit"),
    "accounts list": ("accounts", "list", "--limit"),
    "accounts show": ("accounts", "show", "ada@example.com", "--rows"),
    "tasks show": ("tasks", "show", "", "--acts"),
}


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_was_cut_says_so_and_how_the_rest_is_seen(run, store, task, monkeypatch, name, as_json):
    """Three of everything; read one by one, so that the pages are put together, too."""
    monkeypatch.setattr("app.cli.tasks.PAGE", 1)
    make_account(store, "bea@example.com")
    make_account(store, "cyd@example.com")
    for number in range(2):
        tasks.submit(store, store.accounts.get("ada@example.com"), f"Number {number}", now=utcnow())
    for act in ("claim", "release", "claim"):
        run("tasks", act, task.task_id)
    if name == "tasks pending":
        run("tasks", "release", task.task_id)
    words = [word or task.task_id for word in LISTS[name]]
    form = ["--json"] if as_json else []

    cut, whole = run(*words, "2", *form), run(*words, "20", *form)

    said = cut.stderr if as_json else cut.stdout
    assert f"2 are shown and there are more. {words[-1]} 20 shows more." in said
    assert "there are more" not in whole.output
    if as_json:
        bodies = [json.loads(each.stdout) for each in (cut, whole)]
        rows = [body.get("transactions", body.get("audit")) if isinstance(body, dict) else body for body in bodies]
        assert list(map(len, rows)) == [2, 4 if name == "accounts show" else 3]


def test_open_tasks_are_listed_by_age_whatever_their_status(run, store, task):
    for number in range(3):
        tasks.submit(store, store.accounts.get("ada@example.com"), f"Number {number}", now=utcnow())
    by_age = [row["task_id"] for row in json.loads(run("tasks", "pending", "--json").stdout)]
    run("tasks", "claim", by_age[1])

    assert [row["task_id"] for row in json.loads(run("tasks", "list", "--json").stdout)] == by_age


def test_mails_are_sent_to_the_last_when_more_are_due_than_one_look_takes(run, store):
    with store.transaction() as tx:
        for number in range(30):
            what = {"what": "Something was changed."}
            tx.mails.enqueue(Mail(f"m-{number}", "security", "ada@example.com", utcnow(), what))

    assert run("mail", "send").output == "30 sent, 0 put off\n"


def test_the_overview_knows_the_ledger_when_the_figures_are_read(run, store, task):
    assert run("tasks", "figures").exit_code == 0

    read = store.figures.ledger_days()

    assert read.days[utcnow().date().isoformat()] == {"sold": 0, "spent": 10, "submitted": 1}
    assert read.at is not None
