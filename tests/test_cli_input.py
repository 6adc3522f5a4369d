"""Whatever a person types at a command, or hands it as a file: a sentence and 1 or 2, never a traceback."""

from __future__ import annotations

import click
import pytest

from app import create_app
from app.cli.every import GROUPS
from app.data import Store
from app.data.client import make_client
from app.data.table_copies import TableCopies
from app.data.tables import USERS
from app.domain.clock import utcnow
from app.services import queue, tasks
from scripts.local.ports import free_port
from tests.services.test_books import Listed
from tests.support import FakeSender, make_account

COMMANDS = {f"{group.name} {name}": command for group in GROUPS for name, command in group.commands.items()}
ODD = [
    *("", " ", "\u200b", "nobody@example.com", "not an address", "../../etc/passwd", "x" * 5000, "é" * 300, "\ud800"),
    *("-1", "0", "1.5", "nan", "9" * 40, "1e400", "0x10", "2026-13-45", "0001-01-01", "9999-12-31", "tomorrow"),
    *("task_none", "ÀÉ", "🦕", "'; drop", "%00", "/", "."),
]
AS_A_FOLDER = [word if word != "/" else "/proc" for word in ODD]  # root would write into "/", and nobody into this one
GOOD = {"email": "ada@example.com", "account": "ada@example.com", "amount": "5", "code": "FAIR-2099", "reason": "why"}
GOOD |= {"since": "2026-11-01"}
GOOD |= {
    "credits_each": "5",
    "uses": "5",
    "expires": "2099-01-01",
    "actor": "op@example.com",
    "password": "x y z 1 2 3",
}
# Where a command wants one of several options, or another one first.
ONE_OF = {"restore run": ["--moment=2026-11-01T00:00:00"], "restore settle": ["--imported"]}


@pytest.fixture(autouse=True)
def somewhere_else(tmp_path, monkeypatch):
    """Where a command puts what it keeps beside itself."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def app(config, store):
    return create_app(config, store=store, sender=FakeSender(), stripe=Listed())


@pytest.fixture
def task(store):
    account = make_account(store, credits=100)
    task = tasks.submit(store, account, "A task", now=utcnow()).task
    queue.claim(store, "command line", task.task_id, now=utcnow())
    return task


def spoken(result) -> bool:
    return (
        result.exit_code in (0, 1, 2)
        and isinstance(result.exception, SystemExit | None)
        and ("Traceback" not in result.output)
    )


def words_of(command: click.Command, task_id: str, changed: str = "", value: str = "") -> list[str]:
    """Good words for everything that a command needs, but for one."""
    words: list[str] = []
    for param in command.params:
        if not param.required and param.name != changed:
            continue
        given = value if param.name == changed else GOOD.get(param.name or "", task_id)
        words += [given] if isinstance(param, click.Argument) else [f"{param.opts[0]}={given}"]
    return words


CASES = [
    (name, param.name)
    for name, command in COMMANDS.items()
    for param in command.params
    if not getattr(param, "is_flag", False) and param.name != "paths"
]


@pytest.mark.threat(111)
@pytest.mark.parametrize(("name", "param"), CASES)
def test_odd_input_ends_in_a_sentence(app, store, task, monkeypatch, name, param):
    monkeypatch.setattr("app.cli.books.time.sleep", lambda seconds: None)
    # Most odd folders take an export: of one table, for each is written in the same way.
    monkeypatch.setattr(TableCopies, "tables", lambda _self: [USERS])
    runner = app.test_cli_runner()
    for value in ODD if name != "backup export" else AS_A_FOLDER:
        result = runner.invoke(args=[*name.split(), *words_of(COMMANDS[name], task.task_id, param, value)])
        assert spoken(result), (name, param, value, result.exception)


@pytest.mark.threat(111)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_store_that_is_away_ends_in_a_sentence(config, name):
    away = Store(make_client(config, endpoint_url=f"http://127.0.0.1:{free_port()}"), "Nothing_")
    app = create_app(config, store=away, sender=FakeSender(), stripe=Listed())

    words = [*name.split(), *words_of(COMMANDS[name], "task_1"), *ONE_OF.get(name, [])]
    result = app.test_cli_runner().invoke(args=words)

    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.output.startswith("Error: ") or "\nError: " in result.output


TEXT = "# Résumé\n\nAll of it: “done”.\n"


@pytest.mark.threat(111)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("way", ["file", "stdin"])
def test_a_result_is_read_as_windows_wrote_it(app, store, task, tmp_path, encoding, way):
    content = TEXT.replace("\n", "\r\n").encode(encoding)
    path = tmp_path / "result.md"
    path.write_bytes(content)
    source = str(path) if way == "file" else "-"

    done = app.test_cli_runner().invoke(
        args=["tasks", "complete", task.task_id, "--result-file", source], input=content if way == "stdin" else None
    )

    assert done.exit_code == 0, done.output
    assert store.tasks.get_with_result(task.task_id)[1].text == TEXT


@pytest.mark.threat(111)
@pytest.mark.parametrize(
    "content",
    ["Résumé".encode("cp1252"), b"\x89PNG\r\n\x1a\n\x00\x00", b"\xff\xfe\x00", b"\x00\x00\x00\x01" * 9],
)
def test_what_is_no_text_is_refused_in_a_sentence(app, store, task, tmp_path, content):
    path = tmp_path / "result.md"
    path.write_bytes(content)

    done = app.test_cli_runner().invoke(args=["tasks", "complete", task.task_id, "--result-file", str(path)])

    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)
    assert "UTF-8" in done.output
    assert store.tasks.find(task.task_id).status == "in-progress"


@pytest.mark.threat(111)
@pytest.mark.parametrize("option", ["--result-file", "--file"])
def test_a_path_that_cannot_be_read_ends_in_a_sentence(app, store, task, tmp_path, monkeypatch, option):
    locked = tmp_path / "locked"
    locked.write_bytes(b"x")
    runner = app.test_cli_runner()
    for path in (tmp_path / "none", tmp_path, "", "x" * 5000):
        assert spoken(runner.invoke(args=["tasks", "complete", task.task_id, option, str(path)])), path

    def refuse(*_args, **_more):
        raise PermissionError(13, "Permission denied", str(locked))

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    monkeypatch.setattr("click.utils.open_stream", refuse)
    monkeypatch.setattr("click.types.open_stream", refuse)
    result = runner.invoke(args=["tasks", "complete", task.task_id, option, str(locked)])
    assert result.exit_code in (1, 2)
    assert spoken(result)
    assert "Permission denied" in result.output
