"""A redo journal in front of ministack: nothing it acknowledged is lost, however its process ends.

ministack keeps everything in memory. The journal notes every change of that memory (the item as it is afterwards,
never the request that led to it) in the order in which it happened, and writes what it noted before any answer leaves
the process. A start reads the file, puts the same values back and writes a new, compact file in its place.

Why this holds:
- ministack runs each DynamoDB request from start to end on one event loop without giving way, so what is noted is the
  order of execution, and all changes of one transaction land in one line: a line torn by a kill was never acknowledged
  and is dropped whole.
- Values, not requests: reading does not depend on conditions, clocks or earlier expiry, and reading twice is harmless.
- Reads wait for the line as well: no client ever saw a value that a kill could take back.

SES mails and identities and the settings of S3 buckets are noted the same way; S3 objects are files that ministack
itself writes before it answers.
"""

import fcntl
import json
import os
import sys
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from ministack.core import persistence
from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region
from ministack.services import dynamodb, s3, ses, ses_v2

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
Record = tuple[Any, ...]

FORMAT = 1
MAILS_KEPT = 1000
LOCK_SECONDS = 10.0
TABLE_STORES = {
    "tags": dynamodb._tags,
    "ttl_settings": dynamodb._ttl_settings,
    "pitr_settings": dynamodb._pitr_settings,
    "contributor_insights": dynamodb._contributor_insights,
    "resource_policies": dynamodb._resource_policies,
}
SERVICES = {"ses": ses, "ses_v2": ses_v2, "s3": s3}
# Kept beside the items and worked out again from them, so no part of a table's description.
DERIVED = {"items", dynamodb._INDEX_MEMBERS, "ItemCount", "TableSizeBytes"}
# DynamoDB requests that cannot change anything but items, whose changes the hooks note one by one.
ITEM_ACTIONS = {
    *("GetItem", "Query", "Scan", "BatchGetItem", "TransactGetItems", "DescribeTable", "ListTables"),
    *("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems", "DescribeTimeToLive"),
}


class JournalError(Exception):
    """The journal cannot be used; the message says why."""


def table_at(arn: str) -> dict[str, Any]:
    """The table that an ARN like arn:aws:dynamodb:us-east-1:000000000000:table/Name names."""
    _, _, _, region, account, name = arn.split(":", 5)
    table: dict[str, Any] | None = dynamodb._tables.get_scoped(account, region, name.removeprefix("table/"))
    if table is None:
        raise JournalError(f"it changes {arn}, a table that it never made")
    return table


def encode(value: object) -> str:
    return json.dumps(value, default=persistence._json_default, separators=(",", ":"))


class Journal:
    """The file, what is noted but not yet written, and the reading of both."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = self._take_lock()
        self._noted: deque[Record] = deque()
        self._settings: dict[str, str] = {}
        self._mails: dict[tuple[str, str, str], int] = {}
        self._file = -1
        with dynamodb._lock:  # keeps ministack's own expiry of items away
            self._read()
        self.compact()
        self._hook()

    def around(self, application: Application) -> Application:
        """The application, answering only after what it changed is in the file."""

        async def journaled(scope: Message, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await application(scope, receive, send)
                return

            async def send_after_writing(message: Message) -> None:
                if message["type"] == "http.response.start":
                    if scope["path"] == "/_ministack/reset":
                        self.compact()
                    else:
                        if self._may_change_services(scope):
                            self._note_services()
                        self._write_noted()
                await send(message)

            await application(scope, receive, send_after_writing)

        return journaled

    def compact(self) -> None:
        """Write all that is there now to a new file and put it in the place of the old one, in one step."""
        self._noted.clear()
        self._settings.clear()
        self._mails.clear()
        fresh = self.path.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(encode([["format", FORMAT]]) + "\n")
            self._note_tables()
            self._note_services()
            file.writelines(encode([record]) + "\n" for record in (*self._noted, *self._live_items()))
            self._noted.clear()
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)
        if self._file >= 0:
            os.close(self._file)
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND)

    def _take_lock(self) -> int:
        """One process at a time; a killed one may need a moment to be gone."""
        lock = os.open(self.path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise JournalError(f"{self.path} is in use by another process") from None
                time.sleep(0.1)

    # Writing

    def _hook(self) -> None:
        """Note what every change of an item leaves behind, at the functions through which ministack makes them all."""
        set_item, remove_item = dynamodb._set_item, dynamodb._remove_item
        items_replaced, store_token = dynamodb._items_replaced, dynamodb._txn_token_store
        handle_request = dynamodb.handle_request

        def noting_set(table: dict[str, Any], pk: str, sk: str, item: dict[str, Any]) -> Any:
            self._noted.append(("put", table["TableArn"], pk, sk, item))
            return set_item(table, pk, sk, item)

        def noting_remove(table: dict[str, Any], pk: str, sk: str) -> Any:
            self._noted.append(("remove", table["TableArn"], pk, sk))
            return remove_item(table, pk, sk)

        def noting_replaced(table: dict[str, Any]) -> None:
            self._note_tables()
            self._noted.append(("items", table["TableArn"], table["items"]))
            items_replaced(table)

        def noting_token(token: str, entry: dict[str, Any]) -> None:
            store_token(token, entry)
            self._noted.append(("token", get_account_id(), get_region(), token, entry))

        async def noting_tables(
            method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
        ) -> Any:
            answer = await handle_request(method, path, headers, body, query)
            if headers.get("x-amz-target", "").partition(".")[2] not in ITEM_ACTIONS:
                self._note_tables()
            return answer

        dynamodb.handle_request = noting_tables
        dynamodb._set_item, dynamodb._remove_item = noting_set, noting_remove
        dynamodb._items_replaced, dynamodb._txn_token_store = noting_replaced, noting_token

    @staticmethod
    def _may_change_services(scope: Message) -> bool:
        if scope["method"] in {"GET", "HEAD", "OPTIONS"}:
            return False
        targets = [value for name, value in scope["headers"] if name.lower() == b"x-amz-target"]
        return not any(target.startswith(b"DynamoDB_") for target in targets)

    def _note_tables(self) -> None:
        """Note what tables there are and how they are set, without their items."""
        tables = AccountRegionScopedDict()
        for scoped, table in dynamodb._tables.all_items():
            tables.set_scoped(*scoped, {name: value for name, value in table.items() if name not in DERIVED})
        self._note_settings("dynamodb", {"tables": tables, **TABLE_STORES})

    def _note_services(self) -> None:
        """Note the identities of SES, the settings of S3 buckets and the mails sent since the last time."""
        for name, module in SERVICES.items():
            self._note_settings(name, module.get_state())
        for scoped, mails in ses._sent_emails.all_items():
            known = self._mails.get(scoped, max(0, len(mails) - MAILS_KEPT))
            self._noted.extend(("mail", *scoped, mail) for mail in mails[known:])
            self._mails[scoped] = len(mails)

    def _note_settings(self, name: str, state: object) -> None:
        text = encode(state)
        if self._settings.get(name) != text:
            self._settings[name] = text
            self._noted.append(("settings", name, json.loads(text)))

    def _write_noted(self) -> None:
        if not self._noted:
            return
        records = []
        while self._noted:
            records.append(self._noted.popleft())
        line = (encode(records) + "\n").encode()
        try:
            written = os.write(self._file, line)
        except OSError as error:
            self._give_up(str(error))
        if written != len(line):
            self._give_up("the disk is full")

    def _give_up(self, reason: str) -> None:
        """Memory is now ahead of the file: end without an answer, so that a start shows only what was promised."""
        print(f"The journal {self.path} cannot be written: {reason}. Stopping.", file=sys.stderr, flush=True)
        os._exit(1)

    @staticmethod
    def _live_items() -> list[Record]:
        records: list[Record] = []
        with dynamodb._lock:
            for table in dynamodb._tables.all_values():
                for pk, items in table["items"].items():
                    records += [("put", table["TableArn"], pk, sk, item) for sk, item in items.items()]
        oldest = time.time() - dynamodb._TXN_TOKEN_TTL
        for scoped, entry in dynamodb._txn_idempotency.all_items():
            if entry["completed_at"] > oldest:
                records.append(("token", *scoped, entry))
        return records

    # Reading

    def _read(self) -> None:
        """Put back what the file says; its last line counts only when it is whole."""
        if not self.path.exists():
            return
        settings: dict[str, Any] = {}
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    if not line.endswith(b"\n"):
                        raise ValueError("torn")
                    records = json.loads(line)
                except ValueError:
                    if file.read(1):
                        problem = f"{self.path} is damaged at line {number}; restore it or remove it"
                        raise JournalError(problem) from None
                    break
                try:
                    for record in records:
                        self._apply(record, settings)
                except JournalError as error:
                    raise JournalError(f"{self.path} is damaged at line {number}: {error}") from None
        self._restore_services(settings)

    def _apply(self, record: list[Any], settings: dict[str, Any]) -> None:
        match record:
            case ["put", arn, pk, sk, item]:
                dynamodb._set_item(table_at(arn), pk, sk, item)
            case ["remove", arn, pk, sk]:
                dynamodb._remove_item(table_at(arn), pk, sk)
            case ["items", arn, items]:
                table = table_at(arn)
                table["items"] = defaultdict(dict, items)
                dynamodb._items_replaced(table)
            case ["token", account, region, token, entry]:
                dynamodb._txn_idempotency.set_scoped(account, region, token, entry)
            case ["mail", account, region, key, mail]:
                ses._sent_emails._data.setdefault((account, region, key), []).append(mail)
            case ["settings", "dynamodb", state]:
                self._restore_tables(self._decoded(state))
            case ["settings", name, state] if name in SERVICES:
                settings[name] = self._decoded(state)
            case ["format", version] if version == FORMAT:
                pass
            case _:
                raise JournalError("it was written by another version of this program")

    @staticmethod
    def _decoded(state: object) -> Any:
        return json.loads(json.dumps(state), object_hook=persistence._json_object_hook)

    @staticmethod
    def _restore_tables(state: dict[str, Any]) -> None:
        """Make the tables what was noted; a table that is still the same one keeps its items."""
        before = dict(dynamodb._tables.all_items())
        for scoped, table in state["tables"].all_items():
            earlier = before.get(scoped, {})
            same = earlier.get("TableId") == table["TableId"]
            table["items"] = earlier["items"] if same else defaultdict(dict)
            dynamodb._update_counts(table)
        for store in (dynamodb._tables, *TABLE_STORES.values()):
            store.clear()
        dynamodb.load_persisted_state(state)

    @staticmethod
    def _restore_services(settings: dict[str, Any]) -> None:
        for name, state in settings.items():
            SERVICES[name].load_persisted_state(state)
