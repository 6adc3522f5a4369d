"""The JSON API: the same services as the pages, with a bearer token instead of a cookie."""

from __future__ import annotations

from datetime import date, datetime
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias

from flask import Blueprint, g, redirect
from flask.typing import ResponseReturnValue
from msgspec import Meta, field
from msgspec.structs import asdict

from app.domain import credits
from app.domain.accounts import (
    API,
    MAX_PASSWORD_BYTES,
    MIN_PASSWORD_CHARACTERS,
    check_new_password,
    normalise_email,
)
from app.domain.api_keys import ANY, BILLING_READ, SESSION, TASKS_READ, TASKS_WRITE
from app.domain.clock import utcnow
from app.domain.credits import TYPES
from app.domain.errors import (
    AccountExists,
    AccountFrozen,
    BadCredentials,
    BadCursor,
    DomainError,
    IdempotencyKeyReused,
    InsufficientCredits,
    InvalidInput,
    KeyLimitReached,
    LedgerBehind,
    LedgerWrong,
    Malformed,
    NotFound,
    PaymentsUnavailable,
    PlacesTaken,
    ReferenceUsed,
    SecondFactorMissing,
    TooBusy,
    WrongCode,
    WrongState,
)
from app.domain.labels import MAX_REFERENCE, MAX_TAG, MAX_TAGS, check_reference, check_tag, check_tags
from app.domain.statement import Statement
from app.domain.tasks import (
    BRIEF_FIELDS,
    MAX_BATCH,
    MAX_DESCRIPTION,
    OVERLAP_SECONDS,
    REDO_WINDOW,
    STATUSES,
    TASK_COST,
    Brief,
    Changes,
    check_description,
    new_idempotency_key,
)
from app.forms.paging import MONTH, as_day, as_moment, check_month
from app.services import checkout, figures, queue, statements, tasks
from app.services.accounts import SignedIn, sign_out
from app.services.figures import Outlook
from app.web import deps, etags, heavy, own_files, rate_limits, waiting
from app.web.asked import STORABLE, FileNumber, Keyed, Note, Paging, PaymentId, Search, TaskId
from app.web.call import Body, File, Query, call, checked, readable, replayed, told
from app.web.csrf import csrf
from app.web.exports import COUNTED, SUMMED
from app.web.files import file_link
from app.web.guards import public, token_required
from app.web.openapi import then
from app.web.sessions import caller
from app.web.shape import LABEL, MOMENT, NOT_BLANK, TAG
from app.web.shapes import (
    ACCOUNT,
    BATCH,
    CANCELLED_TASKS,
    NOT_CANCELLED,
    RESULT,
    SIGNED_IN,
    SIGNED_OUT,
    STATEMENT,
    STATEMENT_ROW,
    TASK,
    TASK_AND_BALANCE,
    TASK_AND_RESULT,
    TASKS,
    TRANSACTIONS,
)
from app.web.waiting import Waited

bp = Blueprint("api", __name__, url_prefix="/api")
MAX_ID_BYTES = 255

csrf.exempt(bp)  # no cookie is read here, so there is nothing to forge


Month: TypeAlias = Annotated[str, readable(check_month, description="Like 2026-11.", pattern=f"^{MONTH.pattern}$")]
LEDGER_FILE = File("text/csv", {"type": "string"}, (COUNTED, SUMMED))
OWN_DATA_FILE = File("application/json", {"type": "object"})


class SignUp(Body):
    email: Annotated[str, checked(normalise_email, format="email", examples=["ada@example.com"])]
    password: Annotated[
        str,
        checked(
            check_new_password,
            description=f"At most {MAX_PASSWORD_BYTES} bytes in UTF-8, and none of the most common ones.",
            minLength=MIN_PASSWORD_CHARACTERS,
            maxLength=MAX_PASSWORD_BYTES,
            examples=["correct horse battery"],
        ),
    ]


class SignIn(Body):
    """Whatever cannot be an address or a password is a wrong one: no answer tells which of them it was."""

    more_schema = {"required": ["email", "password"]}

    email: Annotated[Any, told(type="string", examples=["ada@example.com"])] = None
    password: Annotated[Any, told(type="string", examples=["correct horse battery"])] = None
    code: Annotated[
        Any, told("Of the authenticator app, or a recovery code: for a second factor.", type=["string", "null"])
    ] = None


def given_reference(reference: object) -> str | None:
    """Null is none; a text is one, however empty. Raises InvalidInput."""
    return None if reference is None else check_reference(reference, given=True)


def given_tags(tags: object) -> tuple[str, ...]:
    return check_tags(tags) if isinstance(tags, list) else ()  # what is no list is told by its type


class SubmitTask(Body):
    description: Annotated[
        str,
        checked(
            check_description,
            description="What is to be done, in any language.",
            pattern=NOT_BLANK,
            minLength=1,
            maxLength=MAX_DESCRIPTION,
            examples=["Summarise the report"],
        ),
    ]
    reference: Annotated[
        str | None,
        checked(
            given_reference,
            description="Your own name for it, one an account: sent again with the same task it is the first one, "
            "charged once.",
            pattern=LABEL,
            minLength=1,
            maxLength=MAX_REFERENCE,
            examples=["order-1042"],
        ),
    ] = None
    tags: Annotated[
        list[Annotated[str, told(pattern=TAG, minLength=1, maxLength=MAX_TAG)]],
        checked(
            given_tags,
            description="To list tasks by; of two that differ in case alone the first is kept.",
            maxItems=MAX_TAGS,
            examples=[["invoices", "May"]],
        ),
    ] = field(default_factory=list)

    @property
    def brief(self) -> Brief:
        given = {name: getattr(self, name) for name in BRIEF_FIELDS}
        return Brief(**given | {"reference": self.reference or "", "tags": tuple(self.tags)})


if missing := set(BRIEF_FIELDS) - set(SubmitTask.__struct_fields__):
    raise TypeError(f"A task is submitted without {missing}, which are of a brief")


class SubmitBatch(Body):
    tasks: Annotated[list[SubmitTask], Meta(min_length=1, max_length=MAX_BATCH)]


class CancelTasks(Body):
    task_ids: Annotated[list[Annotated[str, told(pattern=STORABLE)]], Meta(min_length=1, max_length=MAX_BATCH)]


class Redo(Body):
    note: Note


class ListTasks(Paging):
    status: Literal[STATUSES] | None = None  # type: ignore[valid-type]
    q: Search = ""
    since: Annotated[
        date | None, readable(as_day, description="The first UTC day of submitting, like 2026-11-22.", format="date")
    ] = field(default=None, name="from")
    until: Annotated[
        date | None, readable(as_day, description="The last UTC day of submitting, included.", format="date")
    ] = field(default=None, name="to")
    order: Literal["newest", "oldest"] = "newest"
    reference: Annotated[
        str,
        readable(
            check_reference,
            description="The task that has this reference of yours.",
            pattern=LABEL,
            maxLength=MAX_REFERENCE,
        ),
    ] = ""
    tag: Annotated[
        str, readable(check_tag, description="Tasks with this tag, in any case.", pattern=TAG, maxLength=MAX_TAG)
    ] = ""
    updated_since: Annotated[
        datetime | None,
        readable(
            as_moment,
            description="Tasks in the order of their last change instead, the earliest first: of those changed at this "
            "moment or later. Goes with limit, cursor, updated_until and wait alone. Go on from the newest updated_at "
            f"that you have, less {OVERLAP_SECONDS} seconds.",
            **MOMENT,
        ),
    ] = None
    updated_until: Annotated[
        datetime | None,
        readable(as_moment, description="With updated_since: changed at this moment or earlier.", **MOMENT),
    ] = None
    wait: Annotated[
        int, waiting.seconds_to_wait("for a task that has changed, with updated_since and on the last page")
    ] = 0


BLANK = asdict(ListTasks())
OF_CHANGES = {"limit", "cursor", "updated_since", "updated_until", "wait"}


class ListTransactions(Paging):
    type: Literal[TYPES] | None = None  # type: ignore[valid-type]
    month: Month = ""


class AskLedgerFile(Query):
    type: Literal[TYPES] | None = None  # type: ignore[valid-type]
    month: Month = ""
    reader: Annotated[
        Literal["excel", "program"] | None,
        told("program: without the byte-order mark and the line with the sum, which are in headers anyway."),
    ] = field(default=None, name="for")


class AskStatement(Query):
    month: Month


@bp.post("/auth/signup")
@public
@call(
    "signup",
    "Make an account and sign in",
    tag="accounts",
    limits=["sign-up", "sign-in"],
    answers={201: SIGNED_IN},
    refusals=[AccountExists],
)
def signup(body: SignUp) -> ResponseReturnValue:
    signed_in = deps.get().entrance.sign_up(body.email, body.password, caller(API), now=utcnow())
    return _token(signed_in), 201


@bp.post("/auth/login")
@public
@call(
    "login",
    "Get a token",
    tag="accounts",
    limits=["sign-in"],
    answers={200: SIGNED_IN},
    refusals=[BadCredentials, SecondFactorMissing, WrongCode],
)
def login(body: SignIn) -> ResponseReturnValue:
    if not isinstance(body.email, str) or not isinstance(body.password, str):
        raise BadCredentials
    if not isinstance(body.code, str | None):
        raise WrongCode
    entrance, who = deps.get().entrance, caller(API)
    signed_in = entrance.sign_in(body.email, body.password, who, now=utcnow())
    if signed_in.half:
        signed_in = entrance.finish_with_code(signed_in, body.code, who, now=utcnow())
    return _token(signed_in)


@bp.post("/auth/logout")
@token_required(SESSION)
@call("logout", "End this token's session", tag="accounts", answers={200: SIGNED_OUT})
def logout() -> ResponseReturnValue:
    sign_out(deps.store(), g.account, g.session_id)
    return SIGNED_OUT(signed_out=True)


@bp.get("/user")
@token_required(ANY)
@call("user", "Who am I, and what is left?", tag="accounts", answers={200: ACCOUNT})
def user() -> ResponseReturnValue:
    return ACCOUNT(g.account)


@bp.post("/tasks")
@token_required(TASKS_WRITE)
@call(
    "submit_task",
    f"Submit a task for {TASK_COST} credits",
    tag="tasks",
    limits=["submit"],
    answers={201: TASK_AND_BALANCE},
    refusals=[InsufficientCredits, KeyLimitReached, AccountFrozen, IdempotencyKeyReused, ReferenceUsed],
    description="A repeated key, or a repeated reference, is the first task, charged once; with another text or other "
    "tags it is a 409, which for a reference names the first task. A reference stays used, whatever becomes of its "
    "task.",
    links=then("get_task", "cancel_task"),
    replays=True,
)
def submit_task(body: SubmitTask, headers: Keyed) -> ResponseReturnValue:
    now = utcnow()
    rate_limits.tell(credits.submits(g.account, now))
    done = tasks.submit(
        deps.store(),
        g.account,
        body.brief,
        now=now,
        idempotency_key=headers.idempotency_key,
        by_program=True,
        key=g.api_key,
    )
    rate_limits.tell(credits.submits(done.account, now))
    return TASK_AND_BALANCE(done.task, credits_remaining=done.credits_remaining), 201, replayed(done.replayed)


@bp.post("/tasks/batch")
@token_required(TASKS_WRITE)
@call(
    "submit_batch",
    f"Submit 1 to {MAX_BATCH} tasks, all of them or none",
    tag="tasks",
    limits=["submit"],
    answers={201: BATCH},
    refusals=[InsufficientCredits, KeyLimitReached, AccountFrozen, IdempotencyKeyReused, ReferenceUsed],
    description="One transaction: either all are charged and queued, or nothing is. A repeated key is the first batch; "
    "with other tasks it is a 409. So is one reference of an earlier task, unless all have references and all are the "
    "same tasks again: then it is the first batch. References and different tags go into the same transaction: 30 "
    "tasks have room for 35 of them, less one for each webhook endpoint.",
    replays=True,
)
def submit_batch(body: SubmitBatch, headers: Keyed) -> ResponseReturnValue:
    now, store = utcnow(), deps.store()
    rate_limits.tell(credits.submits(g.account, now))
    made, account = tasks.submit_batch(
        store,
        g.account,
        [task.brief for task in body.tasks],
        now=now,
        idempotency_key=headers.idempotency_key or new_idempotency_key(),
        key=g.api_key,
    )
    rate_limits.tell(credits.submits(account, now))
    remaining, again = tasks.first_answer(store, made, account, now)
    answer = BATCH(
        tasks=[TASK(task) for task in made],
        credits_spent=sum(task.credits_spent for task in made),
        credits_remaining=remaining,
    )
    return answer, 201, replayed(again)


@bp.post("/tasks/cancel")
@token_required(TASKS_WRITE)
@call(
    "cancel_tasks",
    "Call off several tasks, each for itself",
    tag="tasks",
    limits=["cancel", "cancel-day"],
    answers={200: CANCELLED_TASKS},
    description="Each is a transaction of its own: what is not cancelled is told under `refused`, with the code that "
    "the call for one would have. One that was cancelled before is among the cancelled. Each counts against the limit.",
)
def cancel_tasks(body: CancelTasks) -> ResponseReturnValue:
    cancelled, refused = [], []
    for task_id in dict.fromkeys(body.task_ids):
        try:
            if not 0 < len(task_id.encode()) <= MAX_ID_BYTES:  # the store takes no such key
                raise NotFound("There is no such task.")
            with deps.get().throttle.cancelling(g.account.email):
                task, _ = queue.cancel(deps.store(), g.account, task_id, now=utcnow())
        except DomainError as error:
            refused.append(NOT_CANCELLED(task_id=task_id, code=error.code, error=error.message))
        else:
            cancelled.append(TASK(task))
    balance = deps.store().accounts.get(g.account.email).credits_balance
    return CANCELLED_TASKS(cancelled=cancelled, refused=refused, credits_remaining=balance)


@bp.get("/tasks")
@token_required(TASKS_READ)
@call(
    "list_tasks",
    "One's tasks, newest first unless told",
    tag="tasks",
    limits=["search", "wait"],
    answers={200: TASKS},
    refusals=[BadCursor, PlacesTaken, TooBusy],
    description="A search looks at a bounded number of rows: a page may be short and still have a next one. "
    "So may one of a tag with a status.",
)
def list_tasks(query: ListTasks) -> ResponseReturnValue:
    if query.updated_since or query.updated_until or query.wait:
        return TASKS(_changed(query))
    if query.since and query.until and query.since > query.until:
        raise Malformed("from must not be a later day than to.")
    store = deps.store()
    labelled = partial(store.labels.page, reference=query.reference, tag=query.tag)
    read = partial(
        labelled if query.reference or query.tag else store.tasks.page,
        g.account.email,
        limit=query.limit,
        cursor=query.cursor,
        status=query.status or "",
        search=query.q,
        since=query.since,
        until=query.until,
        oldest_first=query.order == "oldest",
    )
    page = heavy.search(read) if query.q or (query.tag and query.status) else read()
    return TASKS(page)


def _changed(query: ListTasks) -> Changes:
    """Raises Malformed where something is asked for that this order does not have."""
    others = {name for name, value in asdict(query).items() if value != BLANK[name]} - OF_CHANGES
    if query.updated_since is None:
        raise Malformed("updated_until and wait go with updated_since.")
    if others:
        raise Malformed("updated_since goes with limit, cursor, updated_until and wait alone.")
    if query.updated_until and query.wait:
        raise Malformed("What has changed until a moment is no news: ask with updated_until or with wait.")
    if query.updated_until and query.updated_until < query.updated_since:
        raise Malformed("updated_since must not be later than updated_until.")
    store, email, since = deps.store(), g.account.email, query.updated_since
    page = store.tasks.changed(email, since, query.updated_until, limit=query.limit, cursor=query.cursor)
    waiting.until_tasks_change(store, email, since, page, bool(query.cursor), query.wait)
    return page


@bp.get("/tasks/<task_id>")
@token_required(TASKS_READ)
@call(
    "get_task",
    "A task and its result",
    tag="tasks",
    limits=["wait"],
    answers={200: TASK_AND_RESULT},
    refusals=[NotFound, TooBusy],
    links=then("cancel_task", "redo_task"),
)
def get_task(task_id: TaskId, query: Waited) -> ResponseReturnValue:
    task, result = deps.store().tasks.get_with_result(task_id, owner=g.account.email)
    now = utcnow()
    waiting.until_task_moves(deps.store(), task, query.wait, now)
    stands = task.as_of(now)
    found = Outlook() if query.wait else figures.outlook(deps.store(), stands)  # who waits asks for the end
    if stands.is_open:
        etags.leave_out("queue_position", "estimated_minutes")
    position = None if found.ahead is None else found.ahead + 1
    return TASK_AND_RESULT(stands, **RESULT(result), queue_position=position, estimated_minutes=found.usual_minutes)


@bp.post("/tasks/<task_id>/cancel")
@token_required(TASKS_WRITE)
@call(
    "cancel_task",
    "Call a task off while nobody works on it",
    tag="tasks",
    limits=["cancel", "cancel-day"],
    answers={200: TASK_AND_BALANCE},
    refusals=[NotFound, WrongState],
    description="Its credits come back at once. Safe to repeat.",
    replays=True,
)
def cancel_task(task_id: TaskId) -> ResponseReturnValue:
    now = utcnow()
    with deps.get().throttle.cancelling(g.account.email):
        task, account = queue.cancel(deps.store(), g.account, task_id, now=now)
    answer = TASK_AND_BALANCE(task, credits_remaining=account.credits_balance)
    return answer, 200, replayed(task.finished_at != now)


@bp.post("/tasks/<task_id>/redo")
@token_required(TASKS_WRITE)
@call(
    "redo_task",
    "Have a completed task done again, once and for free",
    tag="tasks",
    answers={201: TASK},
    refusals=[NotFound, WrongState, IdempotencyKeyReused],
    description=f"Within {REDO_WINDOW.days} days of its completion. Safe to repeat: the answer is the first redo. A "
    "key that was another redo's, or this one's with another note, is a 409.",
    links=then("get_task", "cancel_task"),
    replays=True,
)
def redo_task(task_id: TaskId, body: Redo, headers: Keyed) -> ResponseReturnValue:
    now, key = utcnow(), headers.idempotency_key
    again = queue.request_redo(deps.store(), g.account, task_id, body.note, now=now, idempotency_key=key)
    return TASK(again), 201, replayed(again.created_at != now)


@bp.get("/tasks/<task_id>/files/<int:number>")
@token_required(TASKS_READ)
@call(
    "get_file",
    "A file of a result",
    tag="tasks",
    answers={303: "To an address that downloads the file; it opens for a minute."},
    refusals=[NotFound],
)
def get_file(task_id: TaskId, number: FileNumber) -> ResponseReturnValue:
    _, result = deps.store().tasks.get_with_result(task_id, owner=g.account.email)
    return file_link(result, number)


@bp.get("/transactions")
@token_required(BILLING_READ)
@call(
    "list_transactions",
    "One's ledger, newest first",
    tag="credits",
    limits=["search"],
    answers={200: TRANSACTIONS},
    refusals=[BadCursor, PlacesTaken, LedgerWrong],
)
def list_transactions(query: ListTransactions) -> ResponseReturnValue:
    read = partial(
        statements.list_page,
        deps.store(),
        g.account,
        limit=query.limit,
        cursor=query.cursor,
        type=query.type or "",
        month=query.month,
    )
    page = heavy.search(read) if query.type else read()
    return TRANSACTIONS(page)


@bp.get("/statement")
@token_required(BILLING_READ)
@call(
    "get_statement",
    "A month's statement",
    tag="credits",
    limits=["file"],
    answers={200: STATEMENT},
    refusals=[PlacesTaken, LedgerBehind, LedgerWrong],
    description="A UTC month from its opening to its closing balance: whole, or refused.",
)
def get_statement(query: AskStatement) -> ResponseReturnValue:
    read = partial(statements.statement, deps.store(), g.account.email, query.month)
    found = heavy.file(lambda: statements.once_settled(read), head=lambda: Statement(query.month, [], 0, 0, 0, 0, True))
    rows = [
        STATEMENT_ROW(
            row.entry,
            words=row.words,
            money_cents=row.money.cents if row.money else None,
            currency=row.money.currency if row.money else None,
        )
        for row in found.rows
    ]
    return STATEMENT(found, transactions=rows)


@bp.get("/statement.csv")
@token_required(BILLING_READ)
@call(
    "get_ledger_file",
    "The ledger as a CSV file",
    tag="credits",
    limits=["file"],
    answers={200: LEDGER_FILE},
    refusals=[PlacesTaken, LedgerBehind, LedgerWrong, InvalidInput],
    description="The rows that the parameters name, all of them without one, newest first: whole, or refused. As the "
    "page of transactions gives it: its last line is their number and sum, unless it is for a program.",
)
def get_ledger_file(query: AskLedgerFile) -> ResponseReturnValue:
    return own_files.ledger_csv(type=query.type or "", month=query.month)


@bp.get("/export")
@token_required(SESSION)
@call(
    "get_own_data",
    "All that we keep about oneself",
    tag="accounts",
    limits=["export"],
    answers={200: OWN_DATA_FILE},
    refusals=[PlacesTaken, LedgerBehind, LedgerWrong, InvalidInput],
    description="One JSON object, as the page of the account gives it: the account, its sessions, keys and drafts, "
    "tasks with results, the ledger, mails and webhooks, and last how many `rows` each list has and `ledger_sum`. No "
    "secret. Whole, or refused.",
)
def get_own_data() -> ResponseReturnValue:
    return own_files.own_data()


@bp.get("/receipts/<payment_id>")
@token_required(BILLING_READ)
@call(
    "get_receipt",
    "Stripe's receipt of a payment",
    tag="credits",
    answers={303: "To Stripe's own receipt, for the payer's eyes only."},
    refusals=[NotFound, PaymentsUnavailable],
)
def get_receipt(payment_id: PaymentId) -> ResponseReturnValue:
    return redirect(checkout.receipt(deps.store(), deps.get().stripe, g.account, payment_id), code=303)


def _token(signed_in: SignedIn) -> dict[str, Any]:
    account = signed_in.account
    token = deps.get().tokens.issue(account.email, signed_in.session_id, utcnow())
    return SIGNED_IN(account, token=token)
