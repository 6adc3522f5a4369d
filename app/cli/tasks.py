"""`flask tasks`: the queue at a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from pathlib import Path
from typing import Any, TypeVar

import click
from flask.cli import ScriptInfo

from app.cli.groups import Group, Pasted
from app.cli.tables import MOST, first_of, print_table, say_more
from app.cli.text_files import read_text
from app.domain.accounts import Address
from app.domain.by_hand import COMMAND_LINE, is_person
from app.domain.clock import to_iso, utcnow
from app.domain.errors import DomainError
from app.domain.formatting import excerpt, relative_time
from app.domain.paging import each
from app.domain.tasks import DEFAULT_LEASE_MINUTES, IN_PROGRESS, OPEN_STATUSES, PENDING, STATUSES, Task
from app.domain.text import plain_address
from app.services import figures, queue
from app.web import deps
from app.web.files import MAX_FILE_BYTES
from app.web.names import address_of, look_up_names
from app.web.shapes import QUEUED_TASK

group = Group("tasks", help="The queue.")

Answer = TypeVar("Answer")
PAGE = 100
as_json = click.option("--json", "as_json", is_flag=True, help="For programs.")


def key_of_operator(context: click.Context, option: click.Parameter, name: str) -> str:
    """Rows name an operator by the account's key; an address that it has left names nobody who may act."""
    if not is_person(name):
        return name
    address = Address(plain_address(name))
    with context.ensure_object(ScriptInfo).load_app().app_context():  # options are read before the command has one
        holder = told(lambda: deps.store().accounts.find_holder(address))
    if holder and holder.address != address:
        raise click.BadParameter(f"{name} was left by its account, which is at {holder.address} now.")
    return holder.email if holder else name


operator = click.option(
    *("--as", "operator"),
    default=COMMAND_LINE,
    show_default=True,
    callback=key_of_operator,
    help="Who does it, for the audit log.",
)
limit = click.option("--limit", type=click.IntRange(1, MOST), default=50, show_default=True, help="How many at most.")
minutes = click.option("--minutes", default=DEFAULT_LEASE_MINUTES, show_default=True, help="How long the lease lasts.")


@group.command("list")
@click.option("--status", type=click.Choice(STATUSES), default=None, help="Open tasks unless given.")
@click.option(
    "--customer",
    "--user",
    "email",
    default=None,
    help="Of this customer; closed tasks are listed for one customer only.",
)
@limit
@as_json
def list_tasks(status: str | None, email: str | None, limit: int, as_json: bool) -> None:
    """Open tasks, oldest first; or a customer's, newest first. Says so when there are more than it shows."""
    tasks, more = told(lambda: first_of(_listed(status, email), limit))
    _print_tasks(tasks, as_json)
    if more:
        say_more("Tasks", limit, "--limit", as_json=as_json)


@group.command("pending")
@limit
@as_json
def pending(limit: int, as_json: bool) -> None:
    """What waits, oldest first. Says so when there are more than it shows."""
    tasks, more = told(lambda: first_of(_in_queue(PENDING), limit))
    _print_tasks(tasks, as_json)
    if more:
        say_more("Tasks", limit, "--limit", as_json=as_json)


@group.command("show")
@click.argument("task_id", type=Pasted())
@click.option("--acts", "most", type=click.IntRange(1, MOST), default=50, show_default=True, help="The newest of them.")
@as_json
def show(task_id: str, most: int, as_json: bool) -> None:
    """One task with its result and what happened to it."""
    task, result = told(lambda: deps.store().tasks.get_with_result(task_id))
    acts, more = told(lambda: first_of(deps.store().audit.every_of(task_id), most))
    if as_json:
        body = QUEUED_TASK(task) | {"reason": task.reason, "result": result.text if result else None}
        _print_json(
            body | {"audit": [{"at": to_iso(a.at), "actor": a.actor, "action": a.action} for a in reversed(acts)]}
        )
        if more:
            say_more("The newest acts", most, "--acts", as_json=True)
        return
    facts = [
        ("task", task.task_id),
        ("customer", address_of(task.user_email)),
        ("status", task.status),
        ("submitted", to_iso(task.created_at)),
        ("credits", task.credits_spent),
        ("worked by", address_of(task.lease_owner)),
        ("lease ends", to_iso(task.lease_until) if task.lease_until else None),
        ("reference", task.reference or None),
        ("tags", ", ".join(task.tags) or None),
        ("reason", task.reason),
        ("files", ", ".join(file.name for file in result.files) if result else None),
    ]
    print_table(("", ""), [(name, value) for name, value in facts if value is not None])
    click.echo(f"\n{_plain(task.description)}")
    if result and result.text:
        click.echo(f"\n--- result ---\n{_plain(result.text)}")
    if acts:
        click.echo()
        print_table(
            ("at", "who", "did", "why"), [(to_iso(a.at)[:19], a.actor, a.action, a.reason) for a in reversed(acts)]
        )
    if more:
        say_more("The newest acts", most, "--acts", as_json=False)


@group.command("claim")
@click.argument("task_id", type=Pasted(), required=False)
@operator
@minutes
@as_json
def claim(task_id: str | None, operator: str, minutes: int, as_json: bool) -> None:
    """Lease a task, or the oldest free one; ends with 1 when nothing is free."""
    store, now = deps.store(), utcnow()
    if task_id:
        task: Task | None = told(lambda: queue.claim(store, operator, task_id, now=now, minutes=minutes))
    else:
        task = told(lambda: queue.claim_next(store, operator, now=now, minutes=minutes))
    if task is None:
        raise click.ClickException("Nothing is waiting.")
    _print_task(task, as_json, f"Claimed by {operator} until {to_iso(task.lease_until or now)[:16]} UTC")


@group.command("release")
@click.argument("task_id", type=Pasted())
@operator
@as_json
def release(task_id: str, operator: str, as_json: bool) -> None:
    """Give a claimed task back to the queue."""
    task = told(lambda: queue.release(deps.store(), operator, task_id, now=utcnow()))
    _print_task(task, as_json, "Back in the queue")


@group.command("complete")
@click.argument("task_id", type=Pasted())
@click.option("--result", "text", default=None, help="The result, as Markdown.")
@click.option("--result-file", type=click.File("rb"), default=None, help="Read it from here; - is stdin.")
@click.option("--file", "paths", type=click.Path(exists=True, dir_okay=False, path_type=Path), multiple=True)
@operator
@as_json
def complete(
    task_id: str, text: str | None, result_file: Any, paths: Sequence[Path], operator: str, as_json: bool
) -> None:
    """Answer a task that one has claimed."""
    words = read_text(result_file.read(), getattr(result_file, "name", "This")) if result_file else text or ""
    for path in paths:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise click.ClickException(f"{path} is larger than {MAX_FILE_BYTES // 1024 // 1024} MB.")
    found, now = deps.get(), utcnow()

    def act() -> Task:
        if paths:
            queue.check_holder(found.store, operator, task_id, now=now)
        files = [found.files.put(task_id, path.name, path.read_bytes()) for path in paths]
        return queue.complete(found.store, operator, task_id, words, files=files, now=now)

    _print_task(told(act), as_json, "Completed")


@group.command("reject")
@click.argument("task_id", type=Pasted())
@click.option("--reason", required=True, help="The customer reads it.")
@operator
@as_json
def reject(task_id: str, reason: str, operator: str, as_json: bool) -> None:
    """Refuse a task; its credits go back."""
    task = told(lambda: queue.reject(deps.store(), operator, task_id, reason, now=utcnow()))
    _print_task(task, as_json, f"Rejected, {task.credits_spent} credits given back")


@group.command("figures")
def read_figures() -> None:
    """Read the whole ledger once for the overview's charts: for a nightly run."""
    told(lambda: figures.read_ledger(deps.store(), deps.store().ledger.every(), utcnow()))
    click.echo("The overview shows the ledger as it is now.")


def told(act: Callable[[], Answer]) -> Answer:
    """What `act` returns; a refusal ends the command with 1 and its sentence."""
    try:
        return act()
    except DomainError as error:
        raise click.ClickException(error.message) from error


def _listed(status: str | None, email: str | None) -> Iterator[Task]:
    store = deps.store()
    if email:
        owner = store.accounts.get_holder(Address(plain_address(email))).email
        return each(lambda cursor: store.tasks.page(owner, limit=PAGE, cursor=cursor, status=status or ""))
    if status and status not in OPEN_STATUSES:
        raise click.UsageError("Closed tasks are listed for one customer: add --customer.")
    wanted = [status] if status else [PENDING, IN_PROGRESS]
    return merge(*map(_in_queue, wanted), key=lambda task: (task.created_at, task.task_id))


def _in_queue(status: str) -> Iterator[Task]:
    """Oldest first, page by page."""
    return each(lambda cursor: deps.store().queue.page(status, limit=PAGE, cursor=cursor))


def _print_tasks(tasks: Sequence[Task], as_json: bool) -> None:
    look_up_names(name for task in tasks for name in (task.user_email, task.lease_owner))
    if as_json:
        _print_json([QUEUED_TASK(task) for task in tasks])
        return
    rows = [
        (
            t.task_id,
            t.status,
            relative_time(t.created_at),
            address_of(t.user_email),
            address_of(t.lease_owner),
            excerpt(t.description, 60),
        )
        for t in tasks
    ]
    print_table(("task", "status", "submitted", "customer", "worked by", "what"), rows)


def _print_task(task: Task, as_json: bool, words: str) -> None:
    if as_json:
        _print_json(QUEUED_TASK(task))
    else:
        click.echo(f"{words}: {task.task_id}, {excerpt(task.description, 60)}")


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))


def _plain(text: str) -> str:
    """Text of others for a terminal: its lines, but none of its control characters."""
    return "".join(char if char.isprintable() or char in "\n\t" else repr(char)[1:-1] for char in text)
