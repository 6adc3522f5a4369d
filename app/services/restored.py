"""Whether restored tables are whole: what each of them holds of the others, and how many rows an export had.

Reads only. It never makes what is missing: a table that was left out would be made empty, and an empty table agrees
with everything that does not ask it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from app.data import Store
from app.data.erasure import ERASED
from app.domain.accounts import AccountKey
from app.domain.backups import read_summary
from app.domain.tasks import COMPLETED, REJECTED, Task

from . import books
from .books import Difference

DECIDED = {COMPLETED: "task.complete", REJECTED: "task.reject"}  # by an operator, with its row in the audit log


class Files(Protocol):
    def sizes(self) -> Iterable[tuple[str, int]]: ...


@dataclass(slots=True)
class Report:
    """What is missing or differs; how many rows each table has; and what could not be compared, with why."""

    differences: list[Difference] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    not_compared: list[str] = field(default_factory=list)


def read_manifest(text: str) -> tuple[str, int]:
    """A table's name and its number of rows, of the `manifest-summary.json` that DynamoDB's export writes.

    Raises InvalidInput. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
    """
    summary = read_summary(text)
    return summary.table, summary.items


def check(
    store: Store,
    files: Files,
    manifests: Mapping[str, int],
    *,
    progress: Callable[[str, int], None] = lambda what, done: None,
) -> Report:
    """Everything by which the tables do not fit one another, the files or the export. Nobody writes meanwhile.

    `manifests`: rows by the table's name in the export, whatever its prefix. Reads all tables; holds an id of each
    task. Raises FilesUnavailable, StoreUnavailable.
    """
    report = Report()
    report.differences += _tables(store)
    if report.differences:
        report.not_compared.append("What the tables hold: not all of them are there.")
        return report
    for name in store.whole.names():
        progress(f"rows of {name}", 0)
        report.rows[name] = store.whole.count(name)
    _compare_counts(store, report, manifests)
    report.differences += books.check(store, progress=progress)
    report.differences += _tasks(store, files, progress)
    report.differences += _second_hand(store, report.rows)
    return report


def _tables(store: Store) -> Iterator[Difference]:
    for difference in store.table_differences():
        yield Difference("tables", difference.what, "as the code describes it", "not so")


def _compare_counts(store: Store, report: Report, manifests: Mapping[str, int]) -> None:
    expiring = store.whole.names()
    exported = {_suffix(name, expiring): rows for name, rows in manifests.items()}
    for name, rows in exported.items():
        if name not in expiring:
            report.not_compared.append(f"{name}: it is in the export, and this release has no such table.")
        elif expiring[name]:
            both = f"{rows:,} then, {report.rows[name]:,} now"
            report.not_compared.append(f"{name}: its rows expire by themselves ({both}).")
        elif rows != report.rows[name]:
            what = f"rows of table {name}"
            report.differences.append(Difference(name, what, f"{rows:,} in the export", f"{report.rows[name]:,}"))
    if missing := [name for name in expiring if name not in exported]:
        without = "no manifest was given" if not exported else "without a manifest"
        report.not_compared.append(f"Numbers of rows, {without}: {', '.join(missing)}.")


def _suffix(name: str, known: Iterable[str]) -> str:
    """A table's name without its prefix."""
    return next((suffix for suffix in sorted(known, key=len, reverse=True) if name.endswith(suffix)), name)


def _tasks(store: Store, files: Files, progress: Callable[[str, int], None]) -> Iterator[Difference]:
    """Each completed task has its result, each result its task and files, each decision its row in the audit log."""
    progress("audit log", 0)
    decided = {subject for action, subject in store.whole.acts() if action in DECIDED.values()}
    owners: dict[str, str] = {}
    awaited: dict[str, AccountKey] = {}  # completed tasks whose result has not been met, and who waits for it
    for task in books.told(store.tasks.every(), "tasks", progress):
        owners[task.task_id] = task.user_email
        if _is_ours(task) and task.status in DECIDED:
            if task.status == COMPLETED and task.description != ERASED:
                awaited[task.task_id] = task.user_email
            if task.task_id not in decided:
                what = f"operator of the {task.status} task"
                yield Difference(task.task_id, what, "one in the audit log", "none", task.user_email)
    named: dict[str, tuple[str, int]] = {}
    for task_id, result in books.told(store.whole.results(), "results", progress):
        awaited.pop(task_id, None)
        if task_id not in owners:
            yield Difference(task_id, "task of the result", "a task", "none")
        for file in result.files:
            named[file.key] = (task_id, file.size_bytes)
    for task_id, owner in sorted(awaited.items()):
        yield Difference(task_id, "result of the completed task", "a result", "none", owner)
    yield from _files(files, named, progress)


def _is_ours(task: Task) -> bool:
    """Whether it was decided here: the original product kept neither results nor an audit log."""
    return not task.unexplained and not (task.original and task.version == 0)


def _files(
    files: Files, named: dict[str, tuple[str, int]], progress: Callable[[str, int], None]
) -> Iterator[Difference]:
    for key, size in books.told(files.sizes(), "files", progress):
        task_id, expected = named.pop(key, ("", size))
        if size != expected:
            yield Difference(task_id, f"file {key}", f"{expected:,} bytes", f"{size:,} bytes")
    for key, (task_id, expected) in sorted(named.items()):
        yield Difference(task_id, f"file {key}", f"a file of {expected:,} bytes", "none in the bucket")


def _second_hand(store: Store, rows: Mapping[str, int]) -> Iterator[Difference]:
    """What one table says of another that the books do not ask: tables that others show not to be empty, and links and
    products that payments were sold by.
    """
    proposed = any(action.endswith(".propose") for action, _ in store.whole.acts())
    reasons = {
        "Adjustments": proposed and "the audit log tells of proposals",
        "Figures": rows["Transactions"] and "the ledger has rows",
        "Status": rows["Users"] and "there are accounts",
        "SearchKeys": any(account.searched_by for account in store.accounts.every()) and "accounts are found by them",
    }
    for name, why in reasons.items():
        if why and not rows[name]:
            yield Difference(name, f"rows of table {name}", f"some: {why}", "none")
    said: set[str] = {sale.source for sale in store.sales.every()}
    for record in store.payments.every():
        if record.source is not None and record.source not in said:
            expected = f"{record.source} among the sales"
            yield Difference(record.payment_id, "where the payment came from", expected, "none")


def as_words(report: Report) -> list[Any]:
    """For a table at a terminal."""
    return [(one.subject, one.what, one.expected, one.found) for one in report.differences]
