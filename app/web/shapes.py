"""The JSON of tasks, results, ledger rows and customers, for the API, its description and commands with `--json`."""

from __future__ import annotations

from app.config import Pack
from app.domain.accounts import Account
from app.domain.api_keys import SCOPES, ApiKey
from app.domain.credits import TYPES, PostedEntry
from app.domain.proposals import APPROVED, DECLINED, WAITING, Proposal
from app.domain.statement import Statement
from app.domain.tasks import BRIEF_FIELDS, STATUSES, Result, ResultFile, Task
from app.domain.webhooks import TEST, Delivery, Endpoint, Try
from app.domain.webhooks import TYPES as EVENTS
from app.forms.paging import MAX_LIMIT
from app.services.customer_search import THINGS, Found, Thing
from app.services.figures import MAX_AHEAD

from .names import address_of
from .shape import (
    COUNT,
    EMAIL,
    MOMENT,
    TEXT,
    TRUTH,
    WHOLE,
    Json,
    Pages,
    Part,
    Shape,
    given,
    list_of,
    one_of,
    or_null,
    ref,
)

TASK_ID: Json = {"type": "string", "minLength": 1, "examples": ["task_fmg2xoq4bm7ky4l6d4xkzjm7py"]}
FILE_ID: Json = {"type": "string", "pattern": "^[0-9a-f]{16}$"}

# Accounts

SIGNED_IN = Shape(
    "SignedIn",
    Account,
    **given(token=TEXT),
    email=Part(EMAIL, lambda account: account.address),
    credits=Part(WHOLE, lambda account: account.credits_balance),
)
SIGNED_OUT = Shape("", object, **given(signed_out=TRUTH))
ACCOUNT = Shape(
    "User",
    Account,
    email=Part(EMAIL, lambda account: account.address),
    credits=Part(WHOLE, lambda account: account.credits_balance),
    open_tasks=COUNT,
    created_at=MOMENT,
    email_confirmed=Part(TRUTH, lambda account: account.confirmed),
)
CUSTOMER = Shape(
    "Customer", Account, account_id=TEXT, **ACCOUNT.parts, role=one_of(["customer", "admin"]), disabled=TRUTH
)
CUSTOMERS = Shape("", object, **given(customers=list_of(CUSTOMER) | {"maxItems": 1}))
NAMED_BY_ID = Shape(
    "NamedById",
    Thing,
    kind=one_of(THINGS),
    id=Part(TEXT, lambda thing: thing.thing_id),
    email=Part(
        or_null(EMAIL) | {"description": "Of the account that it belongs to."},
        lambda thing: address_of(thing.owner) or None,
    ),
    task_id=or_null(TASK_ID),
    payment_id=or_null(TEXT),
)
FOUND_CUSTOMERS = Shape(
    "",
    Found,
    customers=Part(
        list_of(CUSTOMER) | {"maxItems": MAX_LIMIT}, lambda found: [CUSTOMER(one) for one in found.accounts]
    ),
    named_by_id=Part(list_of(NAMED_BY_ID), lambda found: [NAMED_BY_ID(thing) for thing in found.things]),
    searched=TEXT | {"description": "What was looked at, in words."},
    next_cursor=or_null(TEXT) | {"description": "For the next page; null on the last one."},
)

# Objects whose names are data: one schema each, wherever they stand, since a generated client makes a class of each.
MAPS: dict[str, Json] = {
    "CreditsByMonth": {
        "type": "object",
        "additionalProperties": COUNT,
        "description": "Credits by UTC month, of the last 13.",
    },
    "Headers": {"type": "object", "additionalProperties": TEXT, "description": "Of an HTTP message, by name."},
}

# Tasks

BRIEF: dict[str, Json | Part] = {  # as every answer has it that has the whole task
    "description": TEXT,
    "reference": Part(
        or_null(TEXT) | {"description": "Its customer's own name for it."}, lambda task: task.reference or None
    ),
    "tags": Part({"type": "array", "items": TEXT}, lambda task: list(task.tags)),
}
if missing := set(BRIEF_FIELDS) - BRIEF.keys():
    raise TypeError(f"A task is told without {missing}, which are of a brief")
_OPEN = Shape(  # what a row of the queue's index has
    "",
    Task,
    task_id=TASK_ID,
    status=one_of(STATUSES),
    description=TEXT,
    credits_spent=COUNT,
    created_at=MOMENT,
    updated_at=MOMENT,
)
_WHOLE = _OPEN.with_("", **BRIEF)
TASK = _WHOLE.with_(
    "Task",
    completed_at=or_null(MOMENT),
    key_id=or_null(TEXT) | {"description": "Of the API key that submitted it; null for a person or a session."},
)
TASKS = Pages("tasks", TASK, MAX_LIMIT)
BATCH = Shape("", object, **given(tasks=list_of(TASK), credits_spent=COUNT, credits_remaining=WHOLE))
NOT_CANCELLED = Shape("", object, **given(task_id=TEXT, code=TEXT, error=TEXT))
CANCELLED_TASKS = Shape(
    "",
    object,
    **given(cancelled=list_of(TASK), refused=list_of(NOT_CANCELLED), credits_remaining=WHOLE),
)
TASK_AND_BALANCE = TASK.with_("TaskAndBalance", **given(credits_remaining=WHOLE))
FILE = Shape(
    "File",
    ResultFile,
    **given(number={"type": "integer", "minimum": 1}),
    name=TEXT,
    size_bytes=COUNT,
    content_type=TEXT,
)
RESULT = Shape(  # of one that there may not be
    "",
    Result,
    result=Part(
        or_null(TEXT) | {"description": "Markdown; null while there is none."},
        lambda result: result.text if result else None,
    ),
    files=Part(
        list_of(FILE),
        lambda result: [FILE(file, number=number) for number, file in enumerate(result.files if result else (), 1)],
    ),
)
ENDED: dict[str, Json] = {
    "reason": or_null(TEXT) | {"description": "Why the task was rejected."},
    "redo_of": or_null(TASK_ID),
    "redone_by": or_null(TASK_ID),
}
OUTLOOK = given(
    queue_position=or_null(COUNT)
    | {
        "description": f"An estimate; 1 is next, {MAX_AHEAD + 2} any place behind {MAX_AHEAD + 1}. Null unless the "
        "task is pending, and with wait. It changes nothing of the ETag."
    },
    estimated_minutes=or_null(COUNT)
    | {
        "description": "An estimate: half of the latest tasks took so long or less, from submitted to done. Null while "
        "that is not known, once the task has ended, and with wait."
    },
)
TASK_AND_RESULT = TASK.with_("TaskAndResult", **given(**RESULT.properties), **ENDED, **OUTLOOK)
QUEUED_TASK = _OPEN.with_(
    "QueuedTask",
    user_email=Part(EMAIL, lambda task: address_of(task.user_email)),
    lease_owner=Part(or_null(EMAIL), lambda task: address_of(task.lease_owner) or None),
    lease_until=or_null(MOMENT),
    redo_of=or_null(TASK_ID),
    redo_note=or_null(TEXT) | {"description": "What the customer missed in the first result."},
)
QUEUE = Pages("tasks", QUEUED_TASK, MAX_LIMIT)
CLAIMED = Shape("", object, **given(task={"anyOf": [QUEUED_TASK.described, {"type": "null"}]}))
QUEUED_TASK_AND_RESULT = QUEUED_TASK.with_(
    "QueuedTaskAndResult", **BRIEF, **given(**RESULT.properties), reason=ENDED["reason"], redone_by=ENDED["redone_by"]
)
STORED_FILE = Shape(
    "StoredFile",
    ResultFile,
    file_id=Part(FILE_ID, lambda file: file.key.rpartition("/")[2]),
    name=TEXT,
    size_bytes=COUNT,
)

# Credits


def _unless_original(name: str) -> Part:
    schema = or_null(WHOLE) | {"description": "Null in rows of the original product."}
    if name == "sequence":
        schema |= {"minimum": 1, "description": "From 1 without a gap; null in rows of the original product."}
    return Part(schema, lambda entry: None if entry.is_original else getattr(entry, name))


TRANSACTION = Shape(
    "Transaction",
    PostedEntry,
    transaction_id=TEXT,
    type=TEXT | {"examples": list(TYPES), "description": "Rows of the original product may hold another word."},
    amount=WHOLE | {"description": "Signed credits."},
    timestamp=MOMENT,
    description=TEXT,
    balance_after=_unless_original("balance_after"),
    sequence=_unless_original("sequence"),
    task_id=or_null(TASK_ID),
    stripe_payment_intent=or_null(TEXT),
    key_id=or_null(TEXT) | {"description": "Of the API key that spent it."},
)
STATEMENT_ROW = TRANSACTION.with_(
    "StatementRow",
    **given(
        words=TEXT | {"description": "The whole words of its task, as far as a statement holds them."},
        money_cents=or_null(WHOLE)
        | {"description": "Signed, in the smallest unit of the currency; null where none moved."},
        currency=or_null(TEXT),
    ),
)
STATEMENT = Shape(
    "Statement",
    Statement,
    month=TEXT,
    opening=WHOLE | {"description": "The balance before the month, in credits."},
    closing=WHOLE | {"description": "The balance after it: opening + credits_in - credits_out."},
    credits_in=COUNT,
    credits_out=COUNT,
    in_full=TRUTH | {"description": "Whether the words are whole; else they are those of the ledger."},
    **given(transactions=list_of(STATEMENT_ROW) | {"description": "Oldest first."}),
)
TRANSACTIONS = Pages("transactions", TRANSACTION, MAX_LIMIT)
PACK = Shape(
    "Pack", Pack, pack_id=TEXT, credits=COUNT, price_cents=COUNT, **given(currency=TEXT | {"examples": ["usd"]})
)
PACKS = Shape("", object, **given(packs=list_of(PACK)))
CHECKOUT = Shape("", Pack, **given(checkout_url=TEXT | {"format": "uri"}), pack_id=TEXT, credits=WHOLE)
REDEEMED = Shape("", object, **given(credits_added=WHOLE, credits=WHOLE))
API_KEY = Shape(
    "ApiKey",
    ApiKey,
    key_id=TEXT,
    name=TEXT,
    prefix=Part(TEXT | {"description": "Its first characters."}, lambda key: key.beginning),
    scopes=Part({"type": "array", "items": one_of(SCOPES)}, lambda key: sorted(key.scopes)),
    credits_a_month=or_null(WHOLE) | {"description": "The most that it may spend in a UTC month; null: no limit."},
    spent=Part(
        ref("CreditsByMonth"),
        lambda key: dict(key.spent),
    ),
    **given(alive=TRUTH),
    created_at=MOMENT,
    expires_at=or_null(MOMENT),
    last_used_at=Part(or_null(MOMENT) | {"description": "To the hour."}, lambda key: key.used_at),
    revoked_at=Part(or_null(MOMENT), lambda key: key.ended_at),
)
API_KEYS = Shape("", object, **given(keys=list_of(API_KEY)))
NEW_API_KEY = API_KEY.with_("NewApiKey", **given(key=TEXT | {"description": "The key itself: shown this once."}))
PROPOSAL = Shape("Proposal", Proposal, adjustment_id=TEXT, amount=WHOLE, state=one_of([WAITING, APPROVED, DECLINED]))
RECEIVED = Shape("", object, **given(received=TRUTH))

# Webhooks

WEBHOOK_ENDPOINT = Shape(
    "WebhookEndpoint",
    Endpoint,
    endpoint_id=TEXT,
    url=TEXT,
    name=TEXT,
    types=Part({"type": "array", "items": one_of(EVENTS)}, lambda endpoint: list(endpoint.types)),
    created_at=MOMENT,
    paused=TRUTH,
    paused_by=Part(
        or_null(TEXT) | {"description": "owner, failing, gone or secret; more may come."},
        lambda endpoint: endpoint.paused_by or None,
    ),
    failing_since=or_null(MOMENT),
    failures=COUNT | {"description": "In a row."},
)
WEBHOOK_ENDPOINTS = Shape("", object, **given(endpoints=list_of(WEBHOOK_ENDPOINT)))
WEBHOOK_ENDPOINT_AND_SECRET = WEBHOOK_ENDPOINT.with_("WebhookEndpointAndSecret", **given(secret=TEXT))
WEBHOOK_LISTED = Shape(
    "WebhookListed",
    Delivery,
    delivery_id=TEXT,
    event_id=TEXT | {"description": "The header webhook-id: the same whenever the event is sent again."},
    type=one_of([*EVENTS, TEST]),
    state=one_of(["waiting", "held", "delivered", "failed", "dropped"]),
    created_at=MOMENT,
    attempts=COUNT,
)
WEBHOOK_DELIVERIES = Pages("deliveries", WEBHOOK_LISTED, MAX_LIMIT)
WEBHOOK_TRY = Shape("WebhookTry", Try, at=MOMENT, took_ms=COUNT, status=COUNT, error=TEXT)
WEBHOOK_DELIVERY = WEBHOOK_LISTED.with_(
    "WebhookDelivery",
    tries=Part(list_of(WEBHOOK_TRY), lambda delivery: [WEBHOOK_TRY(one) for one in delivery.tries]),
    headers=Part(ref("Headers"), lambda delivery: dict(delivery.headers)),
    body=TEXT,
    answer_headers=Part(ref("Headers"), lambda delivery: dict(delivery.answer_headers)),
    answer=TEXT | {"description": "The first 64 KiB of the newest."},
)
