"""The tables: names, keys, indexes, and how they are made and checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.domain.errors import StoreUnavailable

from .client import TableMissing, call

TASK_INDEX = "user_email-created_at-index"
TASK_STATUS_INDEX = "user_status-created_at-index"
TASK_QUEUE_INDEX = "queue_shard-created_at-index"
TRANSACTION_INDEX = "user_email-timestamp-index"
CUSTOMER_INDEX = "stripe_customer_id-index"
ACCOUNT_INDEX = "account_id-index"
PARKED_INDEX = "parked-created_at-index"
PAYMENT_USER_INDEX = "user_email-created_at-index"
OUTBOX_INDEX = "queue-due_at-index"
OUTBOX_USER_INDEX = "to-created_at-index"
AUDIT_INDEX = "day-at-index"
AUDIT_SUBJECT_INDEX = "subject-at-index"
ADJUSTMENT_INDEX = "waiting-created_at-index"

QUEUE_PROJECTION = [
    "user_email",
    "status",
    "title",
    "credits_spent",
    "updated_at",
    "version",
    "started_at",
    "lease_owner",
    "lease_until",
    "redo_of",
]


@dataclass(frozen=True, slots=True)
class Index:
    name: str
    hash_key: str
    range_key: str | None = None
    projection: tuple[str, ...] | None = None  # None: all attributes; (): keys only


@dataclass(frozen=True, slots=True)
class Table:
    suffix: str
    key: str
    indexes: tuple[Index, ...] = ()
    ttl: str | None = None


USERS = Table(
    "Users",
    "email",
    (Index(CUSTOMER_INDEX, "stripe_customer_id", None, ()), Index(ACCOUNT_INDEX, "account_id", None, ())),
)
TRANSACTIONS = Table("Transactions", "transaction_id", (Index(TRANSACTION_INDEX, "user_email", "timestamp"),))
TASKS = Table(
    "Tasks",
    "task_id",
    (
        Index(TASK_INDEX, "user_email", "created_at"),
        Index(TASK_STATUS_INDEX, "user_status", "created_at"),
        Index(TASK_QUEUE_INDEX, "queue_shard", "created_at", tuple(QUEUE_PROJECTION)),
    ),
)
PAYMENTS = Table(
    "Payments",
    "payment_id",
    (Index(PARKED_INDEX, "parked", "created_at"), Index(PAYMENT_USER_INDEX, "user_email", "created_at")),
)
OUTBOX = Table(
    "Outbox",
    "mail_id",
    (Index(OUTBOX_INDEX, "queue", "due_at"), Index(OUTBOX_USER_INDEX, "to", "created_at")),
    ttl="expires_at",
)
RATE_LIMITS = Table("RateLimits", "key", ttl="expires_at")
REDEEM_CODES = Table("RedeemCodes", "code")
AUDIT = Table("Audit", "audit_id", (Index(AUDIT_INDEX, "day", "at"), Index(AUDIT_SUBJECT_INDEX, "subject", "at")))
RESULTS = Table("Results", "task_id")  # apart from the tasks, so that no list of tasks reads what it does not show
ADJUSTMENTS = Table("Adjustments", "adjustment_id", (Index(ADJUSTMENT_INDEX, "waiting", "created_at"),))
STATUS = Table("Status", "name")  # facts about the service itself, such as the last webhook delivery

ALL = (USERS, TRANSACTIONS, TASKS, PAYMENTS, OUTBOX, RATE_LIMITS, REDEEM_CODES, AUDIT, RESULTS, ADJUSTMENTS, STATUS)


def create_tables(client: Any, prefix: str) -> list[str]:
    """Create what is missing and wait for it. Safe to repeat; returns the names that it made."""
    existing = set(client.list_tables()["TableNames"])
    made = []
    for table in ALL:
        name = prefix + table.suffix
        if name not in existing:
            try:
                client.create_table(**_definition(table, name))
                made.append(name)
            except client.exceptions.ResourceInUseException:
                pass  # another set-up made it at the same time
    for table in ALL:
        name = prefix + table.suffix
        client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
        if table.ttl and not _expires(client, name):
            client.update_time_to_live(
                TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": table.ttl}
            )
    return made


def _expires(client: Any, name: str) -> bool:
    status = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]["TimeToLiveStatus"]
    return status in ("ENABLED", "ENABLING")


def missing_tables(client: Any, prefix: str) -> list[str]:
    """What is not as it should be, in words: absent tables and absent indexes. Raises StoreUnavailable."""
    problems = []
    for table in ALL:
        name = prefix + table.suffix
        try:
            description = call(client, "describe_table", TableName=name).get("Table")
        except TableMissing:
            problems.append(f"table {name} is missing")
            continue
        if description is None:  # something else than the store has answered
            raise StoreUnavailable
        present = {index["IndexName"] for index in description.get("GlobalSecondaryIndexes", [])}
        problems += [f"table {name} lacks its index {i.name}" for i in table.indexes if i.name not in present]
    return problems


def _definition(table: Table, name: str) -> dict[str, Any]:
    keys = {table.key: None}
    for index in table.indexes:
        keys |= {index.hash_key: None, **({index.range_key: None} if index.range_key else {})}
    definition: dict[str, Any] = {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"} for key in keys],
        "KeySchema": [{"AttributeName": table.key, "KeyType": "HASH"}],
    }
    if table.indexes:
        definition["GlobalSecondaryIndexes"] = [_index_definition(index) for index in table.indexes]
    return definition


def _index_definition(index: Index) -> dict[str, Any]:
    schema = [{"AttributeName": index.hash_key, "KeyType": "HASH"}]
    if index.range_key:
        schema.append({"AttributeName": index.range_key, "KeyType": "RANGE"})
    projection: dict[str, Any] = {"ProjectionType": "ALL"}
    if index.projection == ():
        projection = {"ProjectionType": "KEYS_ONLY"}
    elif index.projection:
        projection = {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(index.projection)}
    return {"IndexName": index.name, "KeySchema": schema, "Projection": projection}
