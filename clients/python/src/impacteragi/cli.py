"""The command line: `impacteragi submit|batch|show|wait|list|updates|balance|statement|download|cancel|listen`."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import signal
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import click
import stamina.instrumentation

from . import inputs
from .calls import key_of
from .client import RETRY_SECONDS, Client
from .errors import (
    BatchStopped,
    Forbidden,
    ImpacterError,
    InsufficientCredits,
    KeyLimitReached,
    NoAnswer,
    NotConfigured,
    NotOurs,
    RateLimited,
    ServerFailed,
    Unauthorized,
    Unusable,
    WaitedInVain,
)
from .listening import Event, Receiver
from .models import COMPLETED, NewTask, Statement, Task
from .version import __version__

# Exit statuses, beside 0
REFUSED, USAGE, NO_ACCESS, NO_CREDITS, IN_VAIN, NO_SERVER, NOT_COMPLETED, STOPPED = 1, 2, 3, 4, 5, 6, 7, 130
STATUSES: tuple[tuple[type[ImpacterError], int], ...] = (
    (NotConfigured, NO_ACCESS),
    (Unauthorized, NO_ACCESS),
    (Forbidden, NO_ACCESS),
    (InsufficientCredits, NO_CREDITS),
    (KeyLimitReached, NO_CREDITS),
    (WaitedInVain, IN_VAIN),
    (NoAnswer, NO_SERVER),
    (NotOurs, NO_SERVER),
    (RateLimited, NO_SERVER),
    (ServerFailed, NO_SERVER),
    (Unusable, USAGE),
    (inputs.Unreadable, USAGE),
)
EPILOG = (
    "Exit status: 0 done; 1 refused; 2 not understood; 3 no key, or not open to it; 4 not enough credits, or the key's "
    "limit; 5 waited in vain; 6 the server does not answer, is busy or has failed; 7 a task that was waited for was "
    "rejected or cancelled; 130 stopped by Ctrl+C."
)

FROM = "IMPACTERAGI_WEBHOOK_SECRET"
OVERRIDES = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # turn the order of what is shown around

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, as the API answers it.")
a_key = click.option(
    "--idempotency-key", metavar="KEY", help="Name this act yourself: the same name again is the same act, paid once."
)
seconds = click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait no longer than this.")


@click.group(epilog=EPILOG)
@click.version_option(__version__)
@click.option(
    "--retry-seconds",
    type=click.FloatRange(min=0),
    default=RETRY_SECONDS,
    show_default=True,
    help="How long to try again when the server does not answer or is busy.",
)
@click.pass_context
def cli(context: click.Context, retry_seconds: float) -> None:
    """Submit tasks to ImpacterAGI, wait for them, read their results.

    The key is read from IMPACTERAGI_API_KEY or ~/.config/impacteragi/key, the address of the server from
    IMPACTERAGI_BASE_URL.
    """
    context.obj = retry_seconds


@cli.command()
@click.argument("description", required=False)
@click.option("--file", "file", type=click.File("rb"), help="Read the description from a file; - is standard input.")
@click.option(
    "--reference", metavar="NAME", help="Your own name for the task: the same again is the same task, paid once."
)
@click.option("--tag", "tags", multiple=True, help="To list it by; up to 10 of them.")
@click.option("--wait", "waits", is_flag=True, help="Wait for it and print its result.")
@seconds
@a_key
@as_json
def submit(
    description: str | None,
    file: BinaryIO | None,
    reference: str | None,
    tags: Sequence[str],
    waits: bool,
    timeout: float | None,
    idempotency_key: str | None,
    as_json: bool,
) -> None:
    """Submit a task: 10 credits. Without DESCRIPTION it is read from --file, or from standard input."""
    if description is not None and file is not None:
        raise click.UsageError("Give a description or a file, not both.")
    if description is None:
        text = inputs.description_of(*_content(file or _standard_input()))
    else:
        text = _sound(description)
    with client() as api:
        with key_told(idempotency_key) as key:
            task = api.submit(
                text,
                reference=_sound(reference) if reference is not None else None,
                tags=[*map(_sound, tags)],
                idempotency_key=key,
            )
        if waits:
            _say(f"{task.task_id} is submitted: {task.credits_spent:,} credits.")
            _wait(api, [task], timeout, as_json)
        elif as_json:
            _print_json(task.raw)
        else:
            _print(f"{task.task_id}  {task.status}  {task.credits_spent:,} credits, {_left(task.credits_remaining)}")


@cli.command()
@click.argument("file", type=click.File("rb"))
@click.option(
    "--format",
    "kind",
    type=click.Choice(["lines", "csv"]),
    help="A task for each line or row; unless it is said, the name of the file tells.",
)
@click.option("--tag", "tags", multiple=True, help="To list all of them by; up to 10 for a task.")
@click.option("--wait", "waits", is_flag=True, help="Wait for all of them and print their results.")
@seconds
@a_key
@as_json
def batch(
    file: BinaryIO,
    kind: str | None,
    tags: Sequence[str],
    waits: bool,
    timeout: float | None,
    idempotency_key: str | None,
    as_json: bool,
) -> None:
    """Submit the tasks of FILE (- is standard input), up to 30 in a request: 10 credits each.

    Of a CSV table the column "description" is read, and "reference" and "tags" where they are. A batch that has stopped
    says which --idempotency-key goes on.
    """
    content, name = _content(file)
    text = inputs.text_of(content, name)
    kind = kind or ("csv" if name.lower().endswith((".csv", ".tsv")) else "lines")
    read = inputs.table_of(text, name) if kind == "csv" else [*map(NewTask, inputs.lines_of(text))]
    new = [replace(task, tags=[*task.tags, *map(_sound, tags)]) for task in read]
    if not new:
        raise inputs.Unreadable(f"{name}: there is no task in it.")
    with client() as api:
        try:
            with key_told(idempotency_key) as key:
                tasks = api.batch(new, idempotency_key=key)
        except BatchStopped as stopped:
            _print_lines(stopped.tasks, as_json)
            raise
        if waits:
            _say(f"{len(tasks):,} tasks are submitted: {sum(task.credits_spent for task in tasks):,} credits.")
            _wait(api, tasks, timeout, as_json)
        else:
            _print_lines(tasks, as_json)


@cli.command()
@click.argument("task_id")
@as_json
def show(task_id: str, as_json: bool) -> None:
    """Print a task as it stands, with its result."""
    with client() as api:
        task = api.get(task_id)
    _print_json(task.raw) if as_json else _print_task(task)


@cli.command()
@click.argument("task_ids", nargs=-1, required=True)
@seconds
@as_json
def wait(task_ids: Sequence[str], timeout: float | None, as_json: bool) -> None:
    """Wait until each task is completed, rejected or cancelled, and print the results."""
    with client() as api:
        _wait(api, task_ids, timeout, as_json)


@cli.command("list")
@click.option("--status", help="pending, in-progress, completed, rejected or cancelled.")
@click.option("--q", help="Words of the description.")
@click.option("--tag", help="Those with this tag.")
@click.option("--reference", metavar="NAME", help="The one with this reference.")
@click.option("--limit", type=click.IntRange(min=1), help="So many at most; all, unless it is given.")
@as_json
def list_(
    status: str | None, q: str | None, tag: str | None, reference: str | None, limit: int | None, as_json: bool
) -> None:
    """List tasks, newest first. With --json, one on each line."""
    with client() as api:
        _print_lines(api.list(status=status, q=q, reference=reference, tag=tag), as_json, limit)


@cli.command()
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.%fZ"]),
    metavar="MOMENT",
    help="In UTC, such as 2026-11-22 or 2026-11-22T15:27:52.123456Z; from now on, unless it is given.",
)
@click.option("--limit", type=click.IntRange(min=1), help="End after so many; without it, with Ctrl+C.")
@as_json
def updates(since: datetime | None, limit: int | None, as_json: bool) -> None:
    """Print each task whenever it has changed, until it is stopped. With --json, one on each line."""
    with client() as api:
        _print_lines(api.updates(since.replace(tzinfo=UTC) if since else None), as_json, limit)


@cli.command()
@as_json
def balance(as_json: bool) -> None:
    """Print how many credits are left."""
    with client() as api:
        account = api.balance()
    if as_json:
        _print_json(account.raw)
    else:
        _print(f"{account.credits:,} credits, {account.open_tasks:,} open tasks ({account.email})")


@cli.command()
@click.argument("month", metavar="YYYY-MM")
@click.option("--csv", "as_csv", is_flag=True, help="Print a CSV table.")
@as_json
def statement(month: str, as_csv: bool, as_json: bool) -> None:
    """Print what a month (UTC) has moved, oldest first. The key needs the scope billing:read."""
    with client() as api:
        found = api.statement(month)
    if as_json:
        _print_json(found.raw)
    elif as_csv:
        _write_table(found)
    else:
        for row in found:
            balance = "" if row.balance_after is None else f"{row.balance_after:,}"
            _print(f"{_at(row.timestamp)}  {row.type:<12}  {row.amount:>+10,}  {balance:>10}  {row.description}")
        _say(
            f"{month}: {found.opening:,} credits at its beginning, {found.credits_in:,} in, {found.credits_out:,} out, "
            f"{found.closing:,} at its end."
        )


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=8787, show_default=True, help="0 takes a free one.")
@click.option(
    "--seen",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file that remembers which events were printed; without it a restart may print one again.",
)
def listen(host: str, port: int, seen: Path | None) -> None:
    """Receive webhooks and print each event once, as JSON on a line.

    The secret of the endpoint is read from IMPACTERAGI_WEBHOOK_SECRET; while it is being replaced, both, with a comma
    between them. This server speaks HTTP: put it behind your own TLS.
    """
    secrets = [secret.strip() for secret in os.environ.get(FROM, "").split(",") if secret.strip()]
    if not secrets:
        raise NotConfigured(f"There is no secret: set {FROM} to that of the endpoint (whsec_…).")

    def handle(event: Event) -> None:
        try:
            _json_line({"id": event.event_id, **event.raw})
        except OSError:  # nobody reads any more: the event is not dealt with, and is sent again
            signal.raise_signal(signal.SIGTERM)
            raise SystemExit from None

    receiver = Receiver(secrets, handle, host=host, port=port, seen=seen or ":memory:")
    _say(f"Listening on {receiver.url}")
    try:
        receiver.run()
    finally:
        receiver.close()


@cli.command()
@click.argument("task_id")
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, exists=True, writable=True, path_type=Path),
    default=".",
    help="A folder; this one, unless it is given.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@as_json
def download(task_id: str, folder: Path, overwrite: bool, as_json: bool) -> None:
    """Download the files of a result. Nothing that is there is replaced, unless you say so."""
    with client() as api:
        places = api.download(task_id, folder, overwrite=overwrite)
    if as_json:
        _print_json([str(place) for place in places])
        return
    for place in places:
        _print(str(place))
    if not places:
        _say("This result has no files.")


@cli.command()
@click.argument("task_ids", nargs=-1, required=True)
@as_json
def cancel(task_ids: Sequence[str], as_json: bool) -> None:
    """Cancel tasks that nobody works on yet; their credits are back at once."""
    with client() as api:
        done = api.cancel(task_ids)
    for task in done.tasks:
        if as_json:
            _print_json(task.raw, indent=None)
        else:
            _print(f"{task.task_id}  {task.status}")
    if done.tasks:
        _say(f"{len(done.tasks):,} cancelled, {_left(done.credits_remaining)}.")
    for one in done.refused:
        _say(f"{one.task_id}: {one.message}")
    if done.refused:
        sys.exit(REFUSED)


def main() -> None:
    """Runs the command line and exits with the status that `--help` documents."""
    _prepare()
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(USAGE)
    except (click.Abort, KeyboardInterrupt):
        _say("Stopped. What was submitted goes on, and nothing was cancelled.")
        sys.exit(STOPPED)
    except ImpacterError as error:
        _say(f"{error}{_reference(error)}")
        cause = error.cause if isinstance(error, BatchStopped) else error
        sys.exit(next((status for kind, status in STATUSES if isinstance(cause, kind)), REFUSED))
    except OSError as error:
        _say(f"{error.filename or 'A file'}: {error.strerror or error}.")
        sys.exit(REFUSED)


@contextmanager
def client() -> Iterator[Client]:
    with Client(retry_seconds=click.get_current_context().obj) as made:
        yield made


@contextmanager
def key_told(given: str | None) -> Iterator[str]:
    """Whoever stops a submit does not know whether it went through: the key is what settles it."""
    key = key_of(given)
    try:
        yield key
    except KeyboardInterrupt:
        _say(f"Run the same again with --idempotency-key {key}: it goes on from there, and charges nothing twice.")
        raise


def _prepare() -> None:
    """Ctrl+C ends a command in order, retries are told in our words, and a terminal is sent nothing it cannot show."""
    signal.signal(signal.SIGTERM, _stop)
    stamina.instrumentation.set_on_retry_hooks([])
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("impacteragi").setLevel(logging.INFO)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _stop(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _wait(api: Client, wanted: Sequence[Task | str], timeout: float | None, as_json: bool) -> None:
    """Prints results in the order asked for; exits with NOT_COMPLETED when one is rejected or cancelled."""
    known: Mapping[str, Task] = {}
    length = len({task.task_id if isinstance(task, Task) else task for task in wanted})
    hidden = not sys.stderr.isatty()
    try:
        with click.progressbar(
            length=length, label="Waiting", file=sys.stderr, hidden=hidden, show_eta=False, show_pos=True
        ) as bar:

            def progress(now: Mapping[str, Task]) -> None:
                nonlocal known
                closed = [sum(not task.is_open for task in tasks.values()) for tasks in (known, now)]
                known = now
                bar.update(closed[1] - closed[0])

            bar.render_progress()
            found = api.wait(wanted, timeout, progress=progress)
    except WaitedInVain as vain:
        _print_each([task for task in vain.tasks.values() if not task.is_open], as_json)
        raise
    except KeyboardInterrupt:
        _print_each([task for task in known.values() if not task.is_open], as_json)
        raise
    _print_each(found, as_json)
    if any(task.status != COMPLETED for task in found):
        sys.exit(NOT_COMPLETED)


def _print_lines(tasks: Iterable[Task], as_json: bool, limit: int | None = None) -> None:
    """A line for each, as they come, to the end or so many."""
    for number, task in enumerate(tasks, 1):
        if as_json:
            _print_json(task.raw, indent=None)
        else:
            _print(_line(task))
        if number == limit:
            break


def _print_each(tasks: Sequence[Task], as_json: bool) -> None:
    for number, task in enumerate(tasks):
        if as_json:
            _print_json(task.raw, indent=None)
        else:
            if number:
                _print("")
            _print_task(task)


def _print_task(task: Task) -> None:
    _print(_line(task))
    if task.reference:
        _print(f"reference: {task.reference}")
    if task.tags:
        _print(f"tags: {', '.join(task.tags)}")
    if task.reason:
        _print(task.reason)
    if task.result is not None:
        _print(task.result)
    for file in task.files:
        _print(f"file {file.number}: {file.name} ({file.size_bytes:,} bytes)")


def _line(task: Task) -> str:
    words = " ".join(task.description.split())
    return f"{task.task_id}  {_at(task.created_at)}  {task.status:<11}  {words[:60]}{'…' if len(words) > 60 else ''}"


def _at(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else " " * 16


def _left(credits: int | None) -> str:
    return "" if credits is None else f"{credits:,} left"


def _print(text: str) -> None:
    """By hand: click takes a stream that says it is ASCII for one of UTF-8."""
    _write(_plain(text))


def _write(text: str) -> None:
    """A line. Whoever reads and has seen enough ends the command without a word."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _plain(text: str) -> str:
    """Without what moves a cursor or changes a terminal: descriptions and results are other people's words."""
    return "".join("\ufffd" if _moves(char) else char for char in text)


def _moves(char: str) -> bool:
    return (unicodedata.category(char) == "Cc" and char not in "\n\t") or char in OVERRIDES


def _write_table(found: Statement) -> None:
    """For a spreadsheet: no cell is taken for a formula, since descriptions are typed by people."""
    names = ("timestamp", "type", "amount", "balance_after", "description", "task_id", "transaction_id")
    table = io.StringIO(newline="")
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(names)
    for row in found:
        cells = [row.raw.get(name) for name in names]
        rows.writerow([f"'{cell}" if isinstance(cell, str) and cell[:1] in tuple("=+-@\t") else cell for cell in cells])
    _print(table.getvalue().rstrip("\n"))


def _json_line(value: Any) -> None:
    sys.stdout.write(f"{_json(value, None)}\n")
    sys.stdout.flush()


def _print_json(value: Any, indent: int | None = 2) -> None:
    _write(_json(value, indent))


def _json(value: Any, indent: int | None) -> str:
    """Characters as they are where the terminal knows them all, escaped as JSON does otherwise."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    text = json.dumps(value, indent=indent, ensure_ascii=not unicode)
    return text.replace("\x7f", "\\u007f").translate({code: f"\\u{code:04x}" for code in range(0x80, 0xA0)})


def _say(text: str) -> None:
    sys.stderr.write(f"{_plain(text)}\n")


def _reference(error: ImpacterError) -> str:
    if isinstance(error, ServerFailed) and error.idempotency_key:
        return (
            f" Run the same again with --idempotency-key {error.idempotency_key}: it never charges twice."
            f"{f' (request {error.request_id})' if error.request_id else ''}"
        )
    return f" (request {error.request_id})" if isinstance(error, ServerFailed) and error.request_id else ""


def _standard_input() -> BinaryIO:
    if sys.stdin.isatty():
        _say("Type the description; Ctrl+D ends it.")
    return sys.stdin.buffer


def _content(file: BinaryIO) -> tuple[bytes, str]:
    name = getattr(file, "name", "")
    return file.read(), name if isinstance(name, str) and name not in ("", "-", "<stdin>") else "standard input"


def _sound(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise inputs.Unreadable(
            "What was typed cannot be read in this terminal's encoding: give a description as a file."
        ) from None
    return text


if __name__ == "__main__":
    main()
