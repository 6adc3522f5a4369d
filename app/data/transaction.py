"""The transaction boundary: writes collect inside a `with` block and leave as one TransactWriteItems on clean exit."""

from __future__ import annotations

import logging
import random
import re
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from botocore.exceptions import ClientError

from app.domain.accounts import Account, mask_email
from app.domain.credits import PostedEntry, check_moved
from app.domain.errors import DomainError, LedgerWrong, StoreBusy, StoreUnavailable
from app.domain.ledger_figures import fold
from app.telemetry.instruments import LEDGER_CREDITS, LEDGER_MOVES

from .client import Stale, call
from .codec import decode_item, encode, encode_item
from .figure_rows import grown, place_key
from .tables import FIGURES, USERS

log = logging.getLogger(__name__)

MAX_WRITES = 100
NAMED = re.compile(r"#\w+")  # of a condition: what stands for an attribute
ATTEMPTS_A_SECOND = 6.25  # the later ones wait up to a fifth of a second each

State = TypeVar("State")
Result = TypeVar("Result")
Failure = type[DomainError] | DomainError


@dataclass(slots=True)
class Patience:
    """How long this process decides again before it says that the store is busy: a setting, STORE_PATIENCE_SECONDS."""

    seconds: float = 4.0

    @property
    def attempts(self) -> int:
        return round(self.seconds * ATTEMPTS_A_SECOND)


patience = Patience()
_locks = [threading.Lock() for _ in range(256)]


@contextmanager
def alerting() -> Iterator[None]:
    """A ledger that does not add up is told to a person, wherever it is found out."""
    try:
        yield
    except LedgerWrong as wrong:
        about = {"alert": "ledger", "what": wrong.what, "email": mask_email(wrong.email)}
        log.error("alert: ledger does not add up", extra=about)
        raise


class Writes:
    """Collects writes, each with the error that its failed condition means. Send them with `commit`."""

    def __init__(self, client: Any, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._operations: list[dict[str, Any]] = []
        self._failures: list[Failure] = []
        self._posted: list[PostedEntry] = []
        self._moved: list[tuple[Account | None, Account]] = []

    @classmethod
    def beside(cls, other: Writes) -> Self:
        """More writes by name that leave together with those of `other`."""
        made = cls(other._client, other._prefix)
        made._operations, made._failures = other._operations, other._failures
        made._posted, made._moved = other._posted, other._moved
        return made

    def put(
        self, table: str, values: Mapping[str, Any], *, condition: str | None, failure: Failure, **params: Any
    ) -> None:
        """Put one item. `condition` names attributes plainly; `params` are its `:values`."""
        operation: dict[str, Any] = {"TableName": self._prefix + table, "Item": encode_item(values)}
        self._add("Put", with_condition(operation, condition, params), failure)

    def update(self, table: str, key: Mapping[str, Any], **write: Any) -> None:
        """Update one item; a None in `set` removes the attribute. Dots in names go into maps.

        Not for the Users table: its rows are changed by `update_account` (lives.py), which names the life.
        """
        check_table(table)
        self._update_row(table, key, **write)

    def _update_row(
        self,
        table: str,
        key: Mapping[str, Any],
        *,
        set: Mapping[str, Any] | None = None,
        add: Mapping[str, int] | None = None,
        remove: tuple[str, ...] | list[str] = (),
        condition: str | None = None,
        failure: Failure = Stale,
        **params: Any,
    ) -> None:
        operation = update_request(self._prefix + table, key, set or {}, add or {}, remove)
        self._add("Update", with_condition(operation, condition, params), failure)

    def delete(
        self, table: str, key: Mapping[str, Any], *, condition: str | None, failure: Failure, **params: Any
    ) -> None:
        operation: dict[str, Any] = {"TableName": self._prefix + table, "Key": encode_item(key)}
        self._add("Delete", with_condition(operation, condition, params), failure)

    def check(self, table: str, key: Mapping[str, Any], *, condition: str, failure: Failure, **params: Any) -> None:
        operation: dict[str, Any] = {"TableName": self._prefix + table, "Key": encode_item(key)}
        self._add("ConditionCheck", with_condition(operation, condition, params), failure)

    def _add(self, kind: str, operation: dict[str, Any], failure: Failure) -> None:
        if len(self._operations) == MAX_WRITES:
            raise ValueError(f"a transaction holds at most {MAX_WRITES} writes")
        operation["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"  # saves the re-read after a conflict
        self._operations.append({kind: operation})
        self._failures.append(failure)

    def fold(self, rows: Iterable[PostedEntry]) -> None:
        """Add ledger rows to finance's figures, in the transaction that writes them."""
        for place, figures in fold(rows).items():
            self.update(FIGURES.suffix, place_key(place), add=grown(figures))

    def commit(self) -> None:
        if not self._operations:
            return
        with alerting():
            for before, after in self._moved:
                check_moved(before, after, [row for row in self._posted if row.user_email == after.email])
        whole = {after.email for _, after in self._moved if after.is_folded}
        self.fold(row for row in self._posted if row.user_email in whole)
        try:
            call(self._client, "transact_write_items", TransactItems=self._operations)
        except ClientError as error:
            if error.response["Error"]["Code"] != "TransactionCanceledException":
                raise
            reasons = error.response.get("CancellationReasons", [])
            if any(reason.get("Code") == "ValidationError" for reason in reasons):
                raise  # a request of our own making that cannot ever work: a 500, not "try again"
            raise self._meaning(reasons) from error
        for row in self._posted:
            LEDGER_MOVES.add(kind=row.type)
            LEDGER_CREDITS.add(abs(row.amount), kind=row.type, way="in" if row.amount > 0 else "out")

    def _meaning(self, reasons: list[dict[str, Any]]) -> Failure:
        """Reasons come by position; the first failed condition decides, then conflicts, then everything else."""
        for reason, failure in zip(reasons, self._failures, strict=False):
            if reason.get("Code") == "ConditionalCheckFailed":
                item = reason.get("Item")
                if failure is Stale:
                    return Stale(decode_item(item) if item else None)
                return failure
        codes = {reason.get("Code") for reason in reasons} - {"None", None}
        if "TransactionConflict" in codes:
            return Stale()
        log.error("transaction cancelled: %s", ", ".join(sorted(map(str, codes))) or "no reason given")
        return StoreUnavailable()


def check_table(table: str) -> None:
    """A write that forgot whose life it belongs to is a mistake of ours, found by the first test that runs it."""
    if table == USERS.suffix:
        raise TypeError("a row of the Users table is changed by update_account, which names the life of the account")


def update_request(
    table_name: str,
    key: Mapping[str, Any],
    set: Mapping[str, Any],
    add: Mapping[str, int],
    remove: tuple[str, ...] | list[str],
) -> dict[str, Any]:
    names: dict[str, str] = {}
    values: dict[str, Any] = {}
    clauses = []

    def placeholder(path: str) -> str:
        parts = path.split(".")
        for part in parts:
            names.setdefault(part, f"#u{len(names)}")
        return ".".join(names[part] for part in parts)

    def bind(value: object) -> str:
        name = f":u{len(values)}"
        values[name] = encode(value)
        return name

    sets = [f"{placeholder(path)} = {bind(value)}" for path, value in set.items() if value is not None]
    removes = [placeholder(path) for path in [*remove, *(path for path, value in set.items() if value is None)]]
    adds = [f"{placeholder(path)} {bind(value)}" for path, value in add.items()]
    for word, parts in (("SET", sets), ("REMOVE", removes), ("ADD", adds)):
        if parts:
            clauses.append(f"{word} {', '.join(parts)}")
    request: dict[str, Any] = {
        "TableName": table_name,
        "Key": encode_item(key),
        "UpdateExpression": " ".join(clauses),
        "ExpressionAttributeNames": {short: part for part, short in names.items()},
    }
    if values:
        request["ExpressionAttributeValues"] = values
    return request


def with_condition(operation: dict[str, Any], condition: str | None, params: Mapping[str, Any]) -> dict[str, Any]:
    """Add a condition in which `#name` stands for an attribute and `:name` for one of `params`."""
    if condition is None:
        return operation
    operation["ConditionExpression"] = condition
    names = {word: word[1:] for word in NAMED.findall(condition)}
    if names:
        operation["ExpressionAttributeNames"] = operation.get("ExpressionAttributeNames", {}) | names
    if params:
        bound = {f":{name}": encode(value) for name, value in params.items()}
        operation["ExpressionAttributeValues"] = operation.get("ExpressionAttributeValues", {}) | bound
    return operation


def optimistic(
    key: str,
    attempt: Callable[[State], Result],
    state: State,
    reread: Callable[[Stale], State],
) -> Result:
    """Run `attempt` on what was read; when it turns out stale, read again and decide again, with jitter.

    A failed rule is never retried. Raises StoreBusy when the bounded attempts run out. Within one process the attempts
    for one key take turns: that makes conflicts rare, it is not what makes them safe.
    """
    deadline = time.monotonic() + patience.seconds
    with _turn(key):
        for number in range(patience.attempts):
            try:
                return attempt(state)
            except Stale as stale:
                if time.monotonic() > deadline:
                    break
                if number:
                    time.sleep(random.uniform(0, min(0.2, 0.005 * 2**number)))  # nosec B311 # noqa: S311 - jitter, no secret
                state = reread(stale)
    raise StoreBusy


@contextmanager
def _turn(key: str) -> Iterator[None]:
    lock = _locks[zlib.crc32(key.encode()) % len(_locks)]
    held = lock.acquire(timeout=1)  # with a slow store, go on without a turn rather than queue for ever
    try:
        yield
    finally:
        if held:
            lock.release()
