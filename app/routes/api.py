"""The JSON API: the same services as the pages, with a bearer token instead of a cookie."""

from __future__ import annotations

from functools import partial
from typing import Any

from flask import Blueprint, g, request
from flask.typing import ResponseReturnValue

from app.domain.accounts import API
from app.domain.api_keys import ANY, BILLING_READ, SESSION, TASKS_READ, TASKS_WRITE
from app.domain.clock import utcnow
from app.domain.credits import TYPES
from app.domain.errors import BadCredentials, Malformed
from app.forms.api import idempotency_key, read_json, text_field
from app.forms.paging import read_month, read_paging, read_search, read_status
from app.forms.tasks import brief_of
from app.services import queue, statements, tasks
from app.services.accounts import SignedIn, sign_out
from app.web import bodies, deps, heavy, waiting
from app.web.csrf import csrf
from app.web.files import file_link
from app.web.guards import public, token_required
from app.web.sessions import caller
from app.web.shapes import (
    ACCOUNT,
    RESULT,
    SIGNED_IN,
    SIGNED_OUT,
    TASK,
    TASK_AND_BALANCE,
    TASK_AND_RESULT,
    TASKS,
    TRANSACTIONS,
)

bp = Blueprint("api", __name__, url_prefix="/api")
csrf.exempt(bp)  # no cookie is read here, so there is nothing to forge


@bp.post("/auth/signup")
@public
def signup() -> ResponseReturnValue:
    body = read_json(request, bodies.SIGN_UP)
    email, password = text_field(body, "email"), text_field(body, "password")
    signed_in = deps.get().entrance.sign_up(email, password, caller(API), now=utcnow())
    return _token(signed_in), 201


@bp.post("/auth/login")
@public
def login() -> ResponseReturnValue:
    body = read_json(request, bodies.SIGN_IN)
    email, password = body.get("email"), body.get("password")
    if not isinstance(email, str) or not isinstance(password, str):
        raise BadCredentials
    entrance, who = deps.get().entrance, caller(API)
    signed_in = entrance.sign_in(email, password, who, now=utcnow())
    if signed_in.half:
        signed_in = entrance.finish_with_code(signed_in, body.get("code"), who, now=utcnow())
    return _token(signed_in)


@bp.post("/auth/logout")
@token_required(SESSION)
def logout() -> ResponseReturnValue:
    sign_out(deps.store(), g.account, g.session_id)
    return SIGNED_OUT(signed_out=True)


@bp.get("/user")
@token_required(ANY)
def user() -> ResponseReturnValue:
    return ACCOUNT(g.account)


@bp.post("/tasks")
@token_required(TASKS_WRITE)
def submit_task() -> ResponseReturnValue:
    key = idempotency_key(request)
    brief = brief_of(read_json(request, bodies.SUBMIT))
    done = tasks.submit(
        deps.store(), g.account, brief, now=utcnow(), idempotency_key=key, by_program=True, key=g.api_key
    )
    return TASK_AND_BALANCE(done.task, credits_remaining=done.credits_remaining), 201


@bp.get("/tasks")
@token_required(TASKS_READ)
def list_tasks() -> ResponseReturnValue:
    paging = read_paging(request)
    search = read_search(request)
    read = partial(
        deps.store().tasks.page,
        g.account.email,
        limit=paging.limit,
        cursor=paging.cursor,
        status=read_status(request),
        search=search,
    )
    page = heavy.search(read) if search else read()
    return TASKS(page)


@bp.get("/tasks/<task_id>")
@token_required(TASKS_READ)
def get_task(task_id: str) -> ResponseReturnValue:
    task, result = deps.store().tasks.get_with_result(task_id, owner=g.account.email)
    now = utcnow()
    waiting.until_task_moves(deps.store(), task, now)
    return TASK_AND_RESULT(task.as_of(now), **RESULT(result))


@bp.post("/tasks/<task_id>/cancel")
@token_required(TASKS_WRITE)
def cancel_task(task_id: str) -> ResponseReturnValue:
    with deps.get().throttle.cancelling(g.account.email):
        task, account = queue.cancel(deps.store(), g.account, task_id, now=utcnow())
    return TASK_AND_BALANCE(task, credits_remaining=account.credits_balance)


@bp.post("/tasks/<task_id>/redo")
@token_required(TASKS_WRITE)
def redo_task(task_id: str) -> ResponseReturnValue:
    note = text_field(read_json(request, bodies.REDO), "note")
    return TASK(queue.request_redo(deps.store(), g.account, task_id, note, now=utcnow())), 201


@bp.get("/tasks/<task_id>/files/<int:number>")
@token_required(TASKS_READ)
def get_file(task_id: str, number: int) -> ResponseReturnValue:
    _, result = deps.store().tasks.get_with_result(task_id, owner=g.account.email)
    return file_link(result, number)


@bp.get("/transactions")
@token_required(BILLING_READ)
def list_transactions() -> ResponseReturnValue:
    paging = read_paging(request)
    kind = request.args.get("type", "")
    if kind and kind not in TYPES:
        raise Malformed(f"type must be one of {', '.join(TYPES)}.")
    month = read_month(request)
    read = partial(
        statements.list_page,
        deps.store(),
        g.account,
        limit=paging.limit,
        cursor=paging.cursor,
        type=kind,
        month=month,
    )
    page = heavy.search(read) if kind else read()
    return TRANSACTIONS(page)


def _token(signed_in: SignedIn) -> dict[str, Any]:
    account = signed_in.account
    token = deps.get().tokens.issue(account.email, signed_in.session_id, utcnow())
    return SIGNED_IN(account, token=token)
