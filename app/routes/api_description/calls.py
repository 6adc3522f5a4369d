"""Every call of the JSON API: its parameters, its body, its answers, and each refusal by the error that is raised."""

from __future__ import annotations

from app.domain.credits import TYPES
from app.domain.errors import (
    AccountExists,
    AccountFrozen,
    AddressUnconfirmed,
    BadCredentials,
    BadCursor,
    BalanceUnexplained,
    FilesUnavailable,
    IdempotencyKeyReused,
    InsufficientCredits,
    InvalidInput,
    InvalidPayload,
    InvalidSignature,
    KeyLimitReached,
    LedgerWrong,
    NotFound,
    PaymentsUnavailable,
    PlacesTaken,
    RateLimited,
    SecondFactorMissing,
    TooBusy,
    WrongCode,
    WrongState,
)
from app.domain.tasks import (
    IN_PROGRESS,
    PENDING,
    STATUSES,
    TASK_COST,
)
from app.forms.paging import MONTH
from app.gateways.stripe import PaymentRefused
from app.web import bodies, shapes
from app.web.files import MAX_FILE_BYTES
from app.web.shape import EMAIL, TEXT, Json, fields
from app.web.shapes import TASK_ID
from app.web.waiting import WAIT

from .parts import (
    ANYBODY,
    IDEMPOTENCY_KEY,
    IN_ADDRESS,
    MOVES_CREDITS,
    OPERATOR,
    PAGING,
    SEARCH,
    WRITES,
    Body,
    call,
    in_path,
    in_query,
    then,
)

TASK = in_path("task_id", TASK_ID)
NUMBER = in_path("number", {"type": "integer", "minimum": 1})
CUSTOMER = in_path("account_id", {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"})
BY_ADDRESS = in_path("email", EMAIL)
ADDRESS_IN_PATH = "The same by an e-mail address in the path. Use the address with the account's id."

ACCOUNTS: Json = {
    "/api/auth/signup": {
        "post": call(
            "signup",
            "Make an account and sign in",
            tag="accounts",
            who=ANYBODY,
            body=Body(bodies.SIGN_UP),
            answers={201: shapes.SIGNED_IN},
            refusals=[AccountExists, InvalidInput, RateLimited, *WRITES],
        )
    },
    "/api/auth/login": {
        "post": call(
            "login",
            "Get a token",
            tag="accounts",
            who=ANYBODY,
            body=Body(bodies.SIGN_IN),
            answers={200: shapes.SIGNED_IN},
            refusals=[BadCredentials, SecondFactorMissing, WrongCode, RateLimited, *WRITES],
        )
    },
    "/api/auth/logout": {
        "post": call(
            "logout",
            "End this token's session",
            tag="accounts",
            answers={200: shapes.SIGNED_OUT},
        )
    },
    "/api/user": {"get": call("user", "Who am I, and what is left?", tag="accounts", answers={200: shapes.ACCOUNT})},
}

TASKS: Json = {
    "/api/tasks": {
        "post": call(
            "submit_task",
            f"Submit a task for {TASK_COST} credits",
            tag="tasks",
            parameters=[IDEMPOTENCY_KEY],
            body=Body(bodies.SUBMIT),
            answers={201: shapes.TASK_AND_BALANCE},
            refusals=[
                InsufficientCredits,
                KeyLimitReached,
                AccountFrozen,
                IdempotencyKeyReused,
                InvalidInput,
                RateLimited,
                *MOVES_CREDITS,
            ],
            description="A repeated key is the first task, charged once; with another text it is a 409.",
            links=then("get_task", "cancel_task"),
        ),
        "get": call(
            "list_tasks",
            "One's tasks, newest first",
            tag="tasks",
            parameters=[in_query("status", {"enum": list(STATUSES)}), SEARCH, *PAGING],
            answers={200: shapes.TASKS},
            refusals=[BadCursor, RateLimited, PlacesTaken],
            description="A search looks at a bounded number of rows: a page may be short and still have a next one. "
            "It is limited by account.",
        ),
    },
    "/api/tasks/{task_id}": {
        "get": call(
            "get_task",
            "A task and its result",
            tag="tasks",
            parameters=[TASK, WAIT],
            answers={200: shapes.TASK_AND_RESULT},
            refusals=[NotFound, RateLimited, TooBusy],
            links=then("cancel_task", "redo_task"),
        )
    },
    "/api/tasks/{task_id}/cancel": {
        "post": call(
            "cancel_task",
            "Call a task off while nobody works on it",
            tag="tasks",
            parameters=[TASK],
            answers={200: shapes.TASK_AND_BALANCE},
            refusals=[NotFound, WrongState, RateLimited, *MOVES_CREDITS],
            description="Its credits come back at once. Safe to repeat. Limited to 30 an hour and 100 a day.",
        )
    },
    "/api/tasks/{task_id}/redo": {
        "post": call(
            "redo_task",
            "Have a completed task done again, once and for free",
            tag="tasks",
            parameters=[TASK],
            body=Body(bodies.REDO),
            answers={201: shapes.TASK},
            refusals=[NotFound, WrongState, InvalidInput, *WRITES],
            description="Safe to repeat: the answer is the first redo.",
            links=then("get_task", "cancel_task"),
        )
    },
    "/api/tasks/{task_id}/files/{number}": {
        "get": call(
            "get_file",
            "A file of a result",
            tag="tasks",
            parameters=[TASK, NUMBER],
            answers={303: "To an address that downloads the file; it opens for a minute."},
            refusals=[NotFound],
        )
    },
}

CREDITS: Json = {
    "/api/transactions": {
        "get": call(
            "list_transactions",
            "One's ledger, newest first",
            tag="credits",
            parameters=[
                in_query("type", {"enum": list(TYPES)}),
                in_query("month", {"type": "string", "pattern": f"^{MONTH.pattern}$"}, "Like 2026-11."),
                *PAGING,
            ],
            answers={200: shapes.TRANSACTIONS},
            refusals=[BadCursor, RateLimited, PlacesTaken, LedgerWrong],
        )
    },
    "/api/packs": {
        "get": call(
            "list_packs",
            "What is for sale",
            tag="credits",
            answers={200: shapes.PACKS},
        )
    },
    "/api/checkout": {
        "post": call(
            "buy",
            "Open a payment page for a pack",
            tag="credits",
            parameters=[IDEMPOTENCY_KEY],
            body=Body(bodies.BUY),
            answers={201: shapes.CHECKOUT},
            refusals=[NotFound, InvalidInput, PaymentRefused, PaymentsUnavailable, BalanceUnexplained, RateLimited],
            description="A person pays at checkout_url; the credits arrive by themselves.",
        )
    },
    "/api/redeem": {
        "post": call(
            "redeem",
            "Redeem a promotional code, once a person",
            tag="credits",
            parameters=[IDEMPOTENCY_KEY],
            body=Body(bodies.REDEEM),
            answers={200: shapes.REDEEMED},
            refusals=[InvalidInput, AddressUnconfirmed, RateLimited, *MOVES_CREDITS],
            description="The e-mail address of the account must be confirmed. Addresses that differ by case, dots or a "
            "+tag before the @ are one person's.",
        )
    },
}

OPERATORS: Json = {
    "/api/admin/tasks": {
        "get": call(
            "list_queue",
            "Open tasks of one status, oldest first",
            tag="operators",
            who=OPERATOR,
            parameters=[
                in_query("status", {"enum": [PENDING, IN_PROGRESS], "default": PENDING}),
                SEARCH,
                *PAGING,
            ],
            answers={200: shapes.QUEUE},
            refusals=[BadCursor],
            description="The description is cut to a title.",
        )
    },
    "/api/admin/tasks/claim": {
        "post": call(
            "claim_next",
            "Lease the oldest free task",
            tag="operators",
            who=OPERATOR,
            body=Body(bodies.LEASE, required=False),
            answers={200: shapes.CLAIMED},
            refusals=[InvalidInput, *WRITES],
            description="`task` is null when nothing waits.",
            links=then("renew", "release", "complete", "reject", at="/task/task_id"),
        )
    },
    "/api/admin/tasks/{task_id}": {
        "get": call(
            "get_any_task",
            "A task and its result, whoever's it is",
            tag="operators",
            who=OPERATOR,
            parameters=[TASK],
            answers={200: shapes.QUEUED_TASK_AND_RESULT},
            refusals=[NotFound],
        )
    },
    "/api/admin/tasks/{task_id}/claim": {
        "post": call(
            "claim",
            "Lease this task",
            tag="operators",
            who=OPERATOR,
            parameters=[TASK],
            body=Body(bodies.LEASE, required=False),
            answers={200: shapes.QUEUED_TASK},
            refusals=[NotFound, WrongState, InvalidInput, *WRITES],
            links=then("renew", "release", "complete", "reject"),
        )
    },
    "/api/admin/tasks/{task_id}/renew": {
        "post": call(
            "renew",
            "Extend one's lease",
            tag="operators",
            who=OPERATOR,
            parameters=[TASK],
            body=Body(bodies.LEASE, required=False),
            answers={200: shapes.QUEUED_TASK},
            refusals=[NotFound, WrongState, InvalidInput, *WRITES],
        )
    },
    "/api/admin/tasks/{task_id}/release": {
        "post": call(
            "release",
            "Give a task back to the queue",
            tag="operators",
            who=OPERATOR,
            parameters=[TASK],
            answers={200: shapes.QUEUED_TASK},
            refusals=[NotFound, WrongState, *WRITES],
        )
    },
    "/api/admin/tasks/{task_id}/files": {
        "post": call(
            "store_file",
            "Store a file for a task that one holds",
            tag="operators",
            who=OPERATOR,
            parameters=[TASK, in_query("name", IN_ADDRESS, "How the file is offered, like report.pdf.")],
            body=Body({"maxLength": MAX_FILE_BYTES}, "application/octet-stream", required=False, refusals=(413,)),
            answers={201: shapes.STORED_FILE},
            refusals=[NotFound, WrongState, FilesUnavailable],
            description="The body is the file; its file_id goes into the completion. Without a body the file is empty.",
        )
    },
    "/api/admin/tasks/{task_id}/complete": {
        "post": call(
            "complete",
            "Answer a task that one holds",
            tag="operators",
            who=OPERATOR,
            parameters=[TASK],
            body=Body(bodies.COMPLETE),
            answers={200: shapes.QUEUED_TASK},
            refusals=[NotFound, WrongState, InvalidInput, FilesUnavailable, *WRITES],
            description="With text, files or both. Repeating the same answer is safe.",
            links=then("get_any_task"),
        )
    },
    "/api/admin/tasks/{task_id}/reject": {
        "post": call(
            "reject",
            "Refuse a task and give its credits back",
            tag="operators",
            who=OPERATOR,
            parameters=[TASK],
            body=Body(bodies.REJECT),
            answers={200: shapes.QUEUED_TASK},
            refusals=[NotFound, WrongState, InvalidInput, *MOVES_CREDITS],
            description="The customer reads the reason.",
        )
    },
    "/api/admin/customers": {
        "get": call(
            "find_customer",
            "The account of an e-mail address",
            tag="operators",
            who=OPERATOR,
            parameters=[{"name": "email", "in": "query", "required": True, "schema": EMAIL}],
            answers={200: shapes.CUSTOMERS},
            refusals=[InvalidInput],
        )
    },
    "/api/admin/customers/search": {
        "get": call(
            "search_customers",
            "Customers by any part of their address, or by an id",
            tag="operators",
            who=OPERATOR,
            parameters=[SEARCH, *PAGING],
            answers={200: shapes.FOUND_CUSTOMERS},
            refusals=[BadCursor],
            description="At least three characters of the address, or the whole id of a task, payment, ledger row or "
            "account, or of a session, refund, dispute or customer at Stripe.",
        )
    },
    "/api/admin/customers/{account_id}": {
        "get": call(
            "get_customer",
            "An account",
            tag="operators",
            who=OPERATOR,
            parameters=[CUSTOMER],
            answers={200: shapes.CUSTOMER},
            refusals=[NotFound],
        )
    },
    "/api/admin/customers/{account_id}/adjust": {
        "post": call(
            "adjust",
            "Adjust a balance",
            tag="operators",
            who=OPERATOR,
            parameters=[CUSTOMER, IDEMPOTENCY_KEY],
            body=Body(bodies.ADJUST),
            answers={201: shapes.TRANSACTION, 202: shapes.PROPOSAL},
            refusals=[NotFound, IdempotencyKeyReused, InvalidInput, *MOVES_CREDITS],
            description="202: so large an amount waits for a second operator, and nothing is booked yet.",
        )
    },
    "/api/admin/users/{email}": {
        "get": call(
            "get_customer_by_address",
            "An account, by its address",
            tag="operators",
            who=OPERATOR,
            parameters=[BY_ADDRESS],
            answers={200: shapes.CUSTOMER},
            refusals=[NotFound, InvalidInput],
            description=ADDRESS_IN_PATH,
            deprecated=True,
        )
    },
    "/api/admin/users/{email}/adjust": {
        "post": call(
            "adjust_by_address",
            "Adjust a balance, by the account's address",
            tag="operators",
            who=OPERATOR,
            parameters=[BY_ADDRESS, IDEMPOTENCY_KEY],
            body=Body(bodies.ADJUST),
            answers={201: shapes.TRANSACTION, 202: shapes.PROPOSAL},
            refusals=[NotFound, IdempotencyKeyReused, InvalidInput, *MOVES_CREDITS],
            description=ADDRESS_IN_PATH,
            deprecated=True,
        )
    },
}

MACHINERY: Json = {
    "/api/stripe/webhook": {
        "post": call(
            "stripe_webhook",
            "What Stripe tells of a payment",
            tag="machinery",
            who=ANYBODY,
            parameters=[
                {
                    "name": "Stripe-Signature",
                    "in": "header",
                    "required": True,
                    "description": "HMAC-SHA256 over the moment and the exact bytes: https://docs.stripe.com/webhooks",
                    "schema": {"type": "string"},
                }
            ],
            body=Body(fields(type=TEXT, data=fields(object={"type": "object"})), refusals=(413,)),
            answers={200: shapes.RECEIVED},
            refusals=[InvalidSignature, InvalidPayload, PaymentsUnavailable, *MOVES_CREDITS],
            description="Answers 200 only once the write is durable. Repeats and events of other types change nothing.",
        )
    },
    "/api/openapi.json": {
        "get": call("openapi", "This document", tag="machinery", who=ANYBODY, answers={200: {"type": "object"}})
    },
}

PATHS: Json = ACCOUNTS | TASKS | CREDITS | OPERATORS | MACHINERY
