"""The tables: names, keys and indexes. How they are made and compared is in table_setup.py."""

from __future__ import annotations

from dataclasses import dataclass

TASK_INDEX = "user_email-created_at-index"
TASK_UPDATED_INDEX = "user_email-updated_at-index"
TASK_STATUS_INDEX = "user_status-created_at-index"
TASK_QUEUE_INDEX = "queue_shard-created_at-index"
TRANSACTION_INDEX = "user_email-timestamp-index"
CUSTOMER_INDEX = "stripe_customer_id-index"
ACCOUNT_INDEX = "account_id-index"
PARKED_INDEX = "parked-created_at-index"
PAYMENT_MONTH_INDEX = "created_month-created_at-index"
PAYMENT_EMAIL_INDEX = "user_email-created_at-index"
OUTBOX_INDEX = "queue-due_at-index"
OUTBOX_DUE_INDEX = "due_shard-due_at-index"
OUTBOX_TO_INDEX = "to-created_at-index"
AUDIT_INDEX = "day-at-index"
AUDIT_SUBJECT_INDEX = "subject-at-index"
ADJUSTMENT_INDEX = "waiting-created_at-index"
TYPED_DRAFT_INDEX = "account_id-index"
API_KEY_INDEX = "account_id-index"
ENDPOINT_INDEX = "account_id-index"
ENDPOINT_PAUSED_INDEX = "paused_by-paused_at-index"
DELIVERY_DUE_INDEX = "due_shard-due_at-index"
DELIVERY_LOG_INDEX = "endpoint_id-created_at-index"
DELIVERY_WAITING_INDEX = "waiting-created_at-index"

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
    range_key: str | None = None


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
        Index(TASK_UPDATED_INDEX, "user_email", "updated_at", ()),
        Index(TASK_QUEUE_INDEX, "queue_shard", "created_at", tuple(QUEUE_PROJECTION)),
    ),
)
PAYMENTS = Table(
    "Payments",
    "payment_id",
    (
        Index(PARKED_INDEX, "parked", "created_at"),
        Index(PAYMENT_EMAIL_INDEX, "user_email", "created_at"),
        Index(PAYMENT_MONTH_INDEX, "created_month", "created_at"),
    ),
)
OUTBOX = Table(
    "Outbox",
    "mail_id",
    (
        Index(OUTBOX_INDEX, "queue", "due_at"),
        Index(OUTBOX_DUE_INDEX, "due_shard", "due_at", ()),
        Index(OUTBOX_TO_INDEX, "to", "created_at"),
    ),
    ttl="expires_at",
)
RATE_LIMITS = Table("RateLimits", "key", ttl="expires_at")
REDEEM_CODES = Table("RedeemCodes", "code")
AUDIT = Table("Audit", "audit_id", (Index(AUDIT_INDEX, "day", "at"), Index(AUDIT_SUBJECT_INDEX, "subject", "at")))
RESULTS = Table("Results", "task_id")  # apart from the tasks, so that no list of tasks reads what it does not show
ADJUSTMENTS = Table("Adjustments", "adjustment_id", (Index(ADJUSTMENT_INDEX, "waiting", "created_at"),))
SALES = Table("Sales", "source")  # links and products that sell something else, and what operators said of them
DRAFTS = Table("Drafts", "account_id", ttl="expires_at")  # apart from the accounts: a text can be as long as a book
SEARCH_KEYS = Table("SearchKeys", "part", range_key="place")  # what operators find customers and payments by
FIGURES = Table("Figures", "place")  # of the ledger by month, 64 rows for each: no row that every transaction touches
TYPED_DRAFTS = Table("TypedDrafts", "draft_id", (Index(TYPED_DRAFT_INDEX, "account_id", None, ()),), ttl="expires_at")
API_KEYS = Table("ApiKeys", "key_id", (Index(API_KEY_INDEX, "account_id", None, ()),), ttl="forget_at")
WEBHOOK_ENDPOINTS = Table(
    "WebhookEndpoints",
    "endpoint_id",
    (Index(ENDPOINT_INDEX, "account_id", None, ()), Index(ENDPOINT_PAUSED_INDEX, "paused_by", "paused_at", ())),
    ttl="expires_at",
)
WEBHOOK_DELIVERIES = Table(
    "WebhookDeliveries",
    "lane",  # an endpoint with a subject: what may not overtake one another is read together
    (
        Index(DELIVERY_DUE_INDEX, "due_shard", "due_at", ()),
        Index(DELIVERY_LOG_INDEX, "endpoint_id", "created_at", ()),
        Index(DELIVERY_WAITING_INDEX, "waiting", "created_at", ()),
    ),
    ttl="expires_at",
    range_key="place",
)
TASK_LABELS = Table("TaskLabels", "user_email", range_key="label")  # by customers' references and tags
STATUS = Table("Status", "name")  # facts about the service itself, such as the last webhook delivery

ALL = (
    *(USERS, TRANSACTIONS, TASKS, PAYMENTS, OUTBOX, RATE_LIMITS),
    *(REDEEM_CODES, AUDIT, RESULTS, ADJUSTMENTS, SALES, DRAFTS, TYPED_DRAFTS, SEARCH_KEYS, FIGURES, API_KEYS, STATUS),
    *(WEBHOOK_ENDPOINTS, WEBHOOK_DELIVERIES, TASK_LABELS),
)
