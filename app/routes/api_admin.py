"""The operators' JSON API: the same services as their pages, so that a program can work the queue."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Literal

from flask import Blueprint, g, request, url_for
from flask.typing import ResponseReturnValue

from app.domain.accounts import Account, AccountKey, normalise_email
from app.domain.api_keys import QUEUE_WORK, SESSION
from app.domain.clock import utcnow
from app.domain.errors import (
    BadCursor,
    FilesUnavailable,
    IdempotencyKeyReused,
    InvalidInput,
    NotFound,
    PlacesTaken,
    WrongState,
)
from app.domain.proposals import Proposal
from app.domain.tasks import (
    DEFAULT_LEASE_MINUTES,
    MAX_LEASE_MINUTES,
    MAX_RESULT,
    ResultFile,
    check_lease,
    check_result,
    new_idempotency_key,
)
from app.domain.text import finder
from app.services import customer_search, customers, queue
from app.services.customers import MAX_ADJUSTMENT, check_amount
from app.web import deps, heavy
from app.web.asked import STORABLE, AccountId, EmailInPath, FileId, Keyed, Paging, Reason, Search, TaskId
from app.web.call import Body, Deprecated, Query, Raw, call, checked, replayed, told
from app.web.csrf import csrf
from app.web.files import MAX_FILE_BYTES, MAX_FILES
from app.web.guards import operator_token_required
from app.web.names import look_up_names
from app.web.openapi import then
from app.web.shapes import (
    CLAIMED,
    CUSTOMER,
    CUSTOMERS,
    FOUND_CUSTOMERS,
    PROPOSAL,
    QUEUE,
    QUEUED_TASK,
    QUEUED_TASK_AND_RESULT,
    RESULT,
    STORED_FILE,
    TRANSACTION,
)

bp = Blueprint("api_admin", __name__, url_prefix="/api/admin")
csrf.exempt(bp)  # no cookie is read here, so there is nothing to forge

MAX_BODY = 512 * 1024  # a result of the longest kind, escaped
BY_ADDRESS_SINCE = datetime(2026, 11, 25, tzinfo=UTC)  # calls with an e-mail address in their path
IN_PATH = "The same by an e-mail address in the path."


class ListQueue(Paging):
    status: Literal["pending", "in-progress"] = "pending"
    q: Search = ""


class FindCustomer(Query):
    email: Annotated[str, told("Of the account.", format="email")]


class SearchCustomers(Paging):
    q: Search = ""


class StoreFile(Query):
    name: Annotated[str, told("How the file is offered, like report.pdf.", pattern=STORABLE)] = ""


class Lease(Body):
    minutes: Annotated[int, checked(check_lease, minimum=1, maximum=MAX_LEASE_MINUTES)] = DEFAULT_LEASE_MINUTES


class Complete(Body):
    """At least one of them: text in which something shows, or a file."""

    more_schema = {"minProperties": 1}

    result: Annotated[
        str, checked(check_result, description="Markdown.", maxLength=MAX_RESULT, examples=["# The report\n\nDone."])
    ] = ""
    files: Annotated[tuple[FileId, ...], told("Ids of files that were stored for this task.", maxItems=MAX_FILES)] = ()


class Reject(Body):
    reason: Reason


class Adjust(Body):
    amount: Annotated[
        int,
        checked(
            check_amount,
            description="Signed credits; an adjustment never takes a balance below zero.",
            minimum=-MAX_ADJUSTMENT,
            maximum=MAX_ADJUSTMENT,
            examples=[50],
            **{"not": {"const": 0}},
        ),
    ]
    reason: Reason


@bp.get("/tasks")
@operator_token_required(QUEUE_WORK)
@call(
    "list_queue",
    "Open tasks of one status, oldest first",
    tag="operators",
    answers={200: QUEUE},
    refusals=[BadCursor, PlacesTaken],
    description="The description is cut to a title.",
)
def list_tasks(query: ListQueue) -> ResponseReturnValue:
    found = finder(query.q)
    keep = (lambda task: found(f"{task.description} {task.user_email}")) if found else None
    read = partial(
        deps.store().queue.page, query.status, limit=query.limit, cursor=query.cursor, keep=keep, narrowed=(query.q,)
    )
    page = heavy.beside("Searching", read) if found else read()
    look_up_names(name for task in page.items for name in (task.user_email, task.lease_owner))
    return QUEUE(page)


@bp.get("/tasks/<task_id>")
@operator_token_required(QUEUE_WORK)
@call(
    "get_any_task",
    "A task and its result, whoever's it is",
    tag="operators",
    answers={200: QUEUED_TASK_AND_RESULT},
    refusals=[NotFound],
)
def get_task(task_id: TaskId) -> ResponseReturnValue:
    task, result = deps.store().tasks.get_with_result(task_id)
    return QUEUED_TASK_AND_RESULT(task, **RESULT(result))


@bp.post("/tasks/claim")
@operator_token_required(QUEUE_WORK)
@call(
    "claim_next",
    "Lease the oldest free task",
    tag="operators",
    answers={200: CLAIMED},
    description="`task` is null when nothing waits.",
    links=then("renew", "release", "complete", "reject", at="/task/task_id"),
    body_required=False,
)
def claim_next(body: Lease) -> ResponseReturnValue:
    task = queue.claim_next(deps.store(), g.account.email, now=utcnow(), minutes=body.minutes)
    return CLAIMED(task=QUEUED_TASK(task) if task else None)


@bp.post("/tasks/<task_id>/claim")
@operator_token_required(QUEUE_WORK)
@call(
    "claim",
    "Lease this task",
    tag="operators",
    answers={200: QUEUED_TASK},
    refusals=[NotFound, WrongState],
    links=then("renew", "release", "complete", "reject"),
    body_required=False,
)
def claim(task_id: TaskId, body: Lease) -> ResponseReturnValue:
    return QUEUED_TASK(queue.claim(deps.store(), g.account.email, task_id, now=utcnow(), minutes=body.minutes))


@bp.post("/tasks/<task_id>/renew")
@operator_token_required(QUEUE_WORK)
@call(
    "renew",
    "Extend one's lease",
    tag="operators",
    answers={200: QUEUED_TASK},
    refusals=[NotFound, WrongState],
    body_required=False,
)
def renew(task_id: TaskId, body: Lease) -> ResponseReturnValue:
    return QUEUED_TASK(queue.renew(deps.store(), g.account.email, task_id, now=utcnow(), minutes=body.minutes))


@bp.post("/tasks/<task_id>/release")
@operator_token_required(QUEUE_WORK)
@call(
    "release",
    "Give a task back to the queue",
    tag="operators",
    answers={200: QUEUED_TASK},
    refusals=[NotFound, WrongState],
)
def release(task_id: TaskId) -> ResponseReturnValue:
    return QUEUED_TASK(queue.release(deps.store(), g.account.email, task_id, now=utcnow()))


@bp.post("/tasks/<task_id>/files")
@operator_token_required(QUEUE_WORK)
@call(
    "store_file",
    "Store a file for a task that one holds",
    tag="operators",
    raw=Raw({"maxLength": MAX_FILE_BYTES}, "application/octet-stream", required=False),
    answers={201: STORED_FILE},
    refusals=[NotFound, WrongState, InvalidInput, FilesUnavailable],
    description="The body is the file; its file_id goes into the completion. Without a body the file is empty.",
    most_bytes=MAX_FILE_BYTES,
)
def upload(task_id: TaskId, query: StoreFile) -> ResponseReturnValue:
    queue.check_holder(deps.store(), g.account.email, task_id, now=utcnow())
    stored = deps.get().files.put(task_id, query.name, request.get_data(cache=False))
    return STORED_FILE(stored), 201


@bp.post("/tasks/<task_id>/complete")
@operator_token_required(QUEUE_WORK)
@call(
    "complete",
    "Answer a task that one holds",
    tag="operators",
    answers={200: QUEUED_TASK},
    refusals=[NotFound, WrongState, FilesUnavailable],
    description="With text, files or both. Repeating the same answer is safe.",
    links=then("get_any_task"),
    most_bytes=MAX_BODY,
)
def complete(task_id: TaskId, body: Complete) -> ResponseReturnValue:
    files = _files(task_id, body.files)
    return QUEUED_TASK(queue.complete(deps.store(), g.account.email, task_id, body.result, files=files, now=utcnow()))


@bp.post("/tasks/<task_id>/reject")
@operator_token_required(QUEUE_WORK)
@call(
    "reject",
    "Refuse a task and give its credits back",
    tag="operators",
    answers={200: QUEUED_TASK},
    refusals=[NotFound, WrongState],
    description="The customer reads the reason.",
)
def reject(task_id: TaskId, body: Reject) -> ResponseReturnValue:
    return QUEUED_TASK(queue.reject(deps.store(), g.account.email, task_id, body.reason, now=utcnow()))


@bp.get("/customers")
@operator_token_required(SESSION)
@call(
    "find_customer",
    "The account of an e-mail address",
    tag="operators",
    answers={200: CUSTOMERS},
    refusals=[InvalidInput],
    description="A list of one or none.",
)
def find_customer(query: FindCustomer) -> ResponseReturnValue:
    account = deps.store().accounts.find_holder(normalise_email(query.email))
    return CUSTOMERS(customers=[CUSTOMER(account)] if account else [])


@bp.get("/customers/search")
@operator_token_required(SESSION)
@call(
    "search_customers",
    "Customers by any part of their address, or by an id",
    tag="operators",
    answers={200: FOUND_CUSTOMERS},
    refusals=[BadCursor, PlacesTaken],
    description="At least three characters of the address, or the whole id of a task, payment, ledger row or account, "
    "or of a session, refund, dispute or customer at Stripe.",
)
def search_customers(query: SearchCustomers) -> ResponseReturnValue:
    read = partial(customer_search.search, deps.store(), query.q, limit=query.limit, cursor=query.cursor)
    return FOUND_CUSTOMERS(heavy.beside("Searching", read))


@bp.get("/customers/<account:account_id>")
@operator_token_required(SESSION)
@call("get_customer", "An account", tag="operators", answers={200: CUSTOMER}, refusals=[NotFound])
def get_customer(account_id: AccountId) -> ResponseReturnValue:
    return CUSTOMER(deps.store().accounts.get_by_id(account_id))


@bp.post("/customers/<account:account_id>/adjust")
@operator_token_required(SESSION)
@call(
    "adjust",
    "Adjust a balance",
    tag="operators",
    answers={201: TRANSACTION, 202: PROPOSAL},
    refusals=[NotFound, IdempotencyKeyReused, WrongState],
    description="202: so large an amount waits for a second operator, and nothing is booked yet. A repeated key is the "
    "first answer; with another amount it is a 409.",
    replays=True,
)
def adjust(account_id: AccountId, body: Adjust, headers: Keyed) -> ResponseReturnValue:
    return _adjust(deps.store().accounts.get_by_id(account_id).email, body, headers)


@bp.get("/users/<address:email>", merge_slashes=False)
@operator_token_required(SESSION)
@call(
    "get_customer_by_address",
    "An account, by its address",
    tag="operators",
    answers={200: CUSTOMER},
    refusals=[NotFound, InvalidInput],
    description=IN_PATH,
    deprecated=Deprecated(BY_ADDRESS_SINCE, instead="get_customer"),
)
def get_customer_by_address(email: EmailInPath) -> ResponseReturnValue:
    account = deps.store().accounts.get_holder(normalise_email(email))
    return CUSTOMER(account), _instead("api_admin.get_customer", account)


@bp.post("/users/<address:email>/adjust", merge_slashes=False)
@operator_token_required(SESSION)
@call(
    "adjust_by_address",
    "Adjust a balance, by the account's address",
    tag="operators",
    answers={201: TRANSACTION, 202: PROPOSAL},
    refusals=[NotFound, IdempotencyKeyReused, WrongState],
    description=IN_PATH,
    deprecated=Deprecated(BY_ADDRESS_SINCE, instead="adjust"),
    replays=True,
)
def adjust_by_address(email: EmailInPath, body: Adjust, headers: Keyed) -> ResponseReturnValue:
    account = deps.store().accounts.get_holder(normalise_email(email))
    answer, status, again = _adjust(account.email, body, headers)
    return answer, status, again | _instead("api_admin.adjust", account)


def _instead(endpoint: str, account: Account) -> dict[str, str]:
    """Where the same is that is not deprecated."""
    return {"Link": f'<{url_for(endpoint, account_id=account.account_id)}>; rel="successor-version"'}


def _adjust(email: AccountKey, body: Adjust, headers: Keyed) -> tuple[dict[str, Any], int, dict[str, str]]:
    adjusted = customers.adjust(
        deps.store(),
        g.account.email,
        email,
        body.amount,
        body.reason,
        idempotency_key=headers.idempotency_key or new_idempotency_key(),
        limit=deps.config().adjust_limit,
        now=utcnow(),
    )
    if isinstance(adjusted.done, Proposal):
        return PROPOSAL(adjusted.done), 202, replayed(adjusted.replayed)
    return TRANSACTION(adjusted.done), 201, replayed(adjusted.replayed)


def _files(task_id: str, file_ids: tuple[str, ...]) -> list[ResultFile]:
    if len(file_ids) > MAX_FILES:
        raise InvalidInput(f"files must be a list of at most {MAX_FILES} ids.", field="files")
    found = [deps.get().files.find(task_id, file_id) for file_id in file_ids]
    stored = [file for file in found if file]
    if len(stored) != len(found):
        raise InvalidInput("One of the files was never stored for this task.", field="files")
    return stored
