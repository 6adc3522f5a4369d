"""The operators' JSON API: the same services as their pages, so that a program can work the queue."""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import Blueprint, g, request, url_for
from flask.typing import ResponseReturnValue

from app.domain.accounts import Account, AccountKey, normalise_email
from app.domain.api_keys import QUEUE_WORK, SESSION
from app.domain.clock import utcnow
from app.domain.errors import InvalidInput, Malformed
from app.domain.proposals import Proposal
from app.domain.tasks import DEFAULT_LEASE_MINUTES, OPEN_STATUSES, PENDING, ResultFile, new_idempotency_key
from app.domain.text import finder
from app.forms.api import idempotency_key, read_json, text_field
from app.forms.paging import read_paging, read_search
from app.services import customer_search, customers, queue
from app.web import bodies, deps, heavy
from app.web.csrf import csrf
from app.web.files import MAX_FILE_BYTES, MAX_FILES
from app.web.guards import operator_token_required
from app.web.names import look_up_names
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
DEPRECATED_SINCE = "@1795564800"  # 25 November 2026: addresses with an e-mail address in their path


@bp.get("/tasks")
@operator_token_required(QUEUE_WORK)
def list_tasks() -> ResponseReturnValue:
    """The open tasks of one status, oldest first, each with its title for a description."""
    status, paging = request.args.get("status") or PENDING, read_paging(request)
    found = finder(read_search(request))
    if status not in OPEN_STATUSES:
        raise Malformed(f"status must be one of {', '.join(sorted(OPEN_STATUSES))}.")
    keep = (lambda task: found(f"{task.description} {task.user_email}")) if found else None
    read = partial(deps.store().queue.page, status, limit=paging.limit, cursor=paging.cursor, keep=keep)
    page = heavy.beside("Searching", read) if found else read()
    look_up_names(name for task in page.items for name in (task.user_email, task.lease_owner))
    return QUEUE(page)


@bp.get("/tasks/<task_id>")
@operator_token_required(QUEUE_WORK)
def get_task(task_id: str) -> ResponseReturnValue:
    task, result = deps.store().tasks.get_with_result(task_id)
    return QUEUED_TASK_AND_RESULT(task, **RESULT(result))


@bp.post("/tasks/claim")
@operator_token_required(QUEUE_WORK)
def claim_next() -> ResponseReturnValue:
    """The oldest free task, leased; `task` is null when nothing waits."""
    task = queue.claim_next(deps.store(), g.account.email, now=utcnow(), minutes=_minutes())
    return CLAIMED(task=QUEUED_TASK(task) if task else None)


@bp.post("/tasks/<task_id>/claim")
@operator_token_required(QUEUE_WORK)
def claim(task_id: str) -> ResponseReturnValue:
    minutes = _minutes()
    return QUEUED_TASK(queue.claim(deps.store(), g.account.email, task_id, now=utcnow(), minutes=minutes))


@bp.post("/tasks/<task_id>/renew")
@operator_token_required(QUEUE_WORK)
def renew(task_id: str) -> ResponseReturnValue:
    minutes = _minutes()
    return QUEUED_TASK(queue.renew(deps.store(), g.account.email, task_id, now=utcnow(), minutes=minutes))


@bp.post("/tasks/<task_id>/release")
@operator_token_required(QUEUE_WORK)
def release(task_id: str) -> ResponseReturnValue:
    return QUEUED_TASK(queue.release(deps.store(), g.account.email, task_id, now=utcnow()))


@bp.post("/tasks/<task_id>/files")
@operator_token_required(QUEUE_WORK)
def upload(task_id: str) -> ResponseReturnValue:
    """Store the body as a file for a task that one holds; its `file_id` goes into the completion."""
    request.max_content_length = MAX_FILE_BYTES
    queue.check_holder(deps.store(), g.account.email, task_id, now=utcnow())
    stored = deps.get().files.put(task_id, request.args.get("name", ""), request.get_data(cache=False))
    return STORED_FILE(stored), 201


@bp.post("/tasks/<task_id>/complete")
@operator_token_required(QUEUE_WORK)
def complete(task_id: str) -> ResponseReturnValue:
    """Answer with `result`, Markdown text, and `files`, a list of ids. Repeating the same answer is safe."""
    request.max_content_length = MAX_BODY
    body = read_json(request, bodies.COMPLETE)
    text = text_field(body, "result") if "result" in body else ""
    files = _files(task_id, body.get("files", []))
    return QUEUED_TASK(queue.complete(deps.store(), g.account.email, task_id, text, files=files, now=utcnow()))


@bp.post("/tasks/<task_id>/reject")
@operator_token_required(QUEUE_WORK)
def reject(task_id: str) -> ResponseReturnValue:
    reason = text_field(read_json(request, bodies.REJECT), "reason")
    return QUEUED_TASK(queue.reject(deps.store(), g.account.email, task_id, reason, now=utcnow()))


@bp.get("/customers")
@operator_token_required(SESSION)
def find_customer() -> ResponseReturnValue:
    """The one account of an address: a list of one or none."""
    account = deps.store().accounts.find_holder(normalise_email(request.args.get("email")))
    return CUSTOMERS(customers=[CUSTOMER(account)] if account else [])


@bp.get("/customers/search")
@operator_token_required(SESSION)
def search_customers() -> ResponseReturnValue:
    """By any part of the address, or by the id of something of theirs."""
    paging = read_paging(request)
    read = partial(customer_search.search, deps.store(), read_search(request), limit=paging.limit, cursor=paging.cursor)
    return FOUND_CUSTOMERS(heavy.beside("Searching", read))


@bp.get("/customers/<account:account_id>")
@operator_token_required(SESSION)
def get_customer(account_id: str) -> ResponseReturnValue:
    return CUSTOMER(deps.store().accounts.get_by_id(account_id))


@bp.post("/customers/<account:account_id>/adjust")
@operator_token_required(SESSION)
def adjust(account_id: str) -> ResponseReturnValue:
    """Adjust a balance by signed `amount` with a `reason`; the header Idempotency-Key is honoured.

    202 when the amount needs a second operator: nothing is booked yet.
    """
    return _adjust(deps.store().accounts.get_by_id(account_id).email)


@bp.get("/users/<address:email>", merge_slashes=False)
@operator_token_required(SESSION)
def get_customer_by_address(email: str) -> ResponseReturnValue:
    account = deps.store().accounts.get_holder(normalise_email(email))
    return CUSTOMER(account), _deprecated("api_admin.get_customer", account)


@bp.post("/users/<address:email>/adjust", merge_slashes=False)
@operator_token_required(SESSION)
def adjust_by_address(email: str) -> ResponseReturnValue:
    account = deps.store().accounts.get_holder(normalise_email(email))
    return (*_adjust(account.email), _deprecated("api_admin.adjust", account))


def _deprecated(endpoint: str, account: Account) -> dict[str, str]:
    """Headers of a call that carries an address in its path: since when, and what to call instead (RFC 9745)."""
    successor = url_for(endpoint, account_id=account.account_id)
    return {"Deprecation": DEPRECATED_SINCE, "Link": f'<{successor}>; rel="successor-version"'}


def _adjust(email: AccountKey) -> tuple[dict[str, Any], int]:
    body = read_json(request, bodies.ADJUST)
    key = idempotency_key(request) or new_idempotency_key()
    done = customers.adjust(
        deps.store(),
        g.account.email,
        email,
        body.get("amount"),
        text_field(body, "reason"),
        idempotency_key=key,
        limit=deps.config().adjust_limit,
        now=utcnow(),
    )
    if isinstance(done, Proposal):
        return PROPOSAL(done), 202
    return TRANSACTION(done), 201


def _minutes() -> int:
    body = read_json(request, bodies.LEASE, required=False)
    minutes: int = body.get("minutes", DEFAULT_LEASE_MINUTES)  # the domain refuses what is no reasonable number
    return minutes


def _files(task_id: str, file_ids: object) -> list[ResultFile]:
    if not isinstance(file_ids, list) or len(file_ids) > MAX_FILES:
        raise InvalidInput(f"files must be a list of at most {MAX_FILES} ids.", field="files")
    found = [deps.get().files.find(task_id, str(file_id)) for file_id in file_ids]
    stored = [file for file in found if file]
    if len(stored) != len(found):
        raise InvalidInput("One of the files was never stored for this task.", field="files")
    return stored
