"""Submitting a task, and the page of one: where it stands, its result, cancel and redo."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from flask import Blueprint, Response, flash, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.domain.accounts import Account
from app.domain.clock import utcnow
from app.domain.duplicates import LOOKED_AT, find_twin, repeated_within
from app.domain.errors import InsufficientCredits, InvalidInput, NotFound, ReferenceUsed
from app.domain.tasks import (
    CANCELLED,
    COMPLETED,
    MAX_BATCH,
    REDO_WINDOW,
    REJECTED,
    TASK_COST,
    Brief,
    Task,
    new_idempotency_key,
)
from app.forms.base import LOST_KEY, unix_newlines, usable_key
from app.forms.tables import as_lines
from app.forms.tasks import MAX_TABLE_BYTES, TaskForm, check_batch, read_batch, read_tags
from app.routes import dashboard
from app.services import figures, queue, tasks
from app.web import deps
from app.web.admission import takes
from app.web.files import MAX_BODY_WITH_FILES, file_link
from app.web.fragments import is_fragment_request, render
from app.web.guards import login_required, login_required_unless_unchanged

bp = Blueprint("tasks", __name__)

PLACE_SECONDS = 30  # how old the place in the queue may be on an open page


@bp.post("/tasks")
@login_required
def submit() -> ResponseReturnValue:
    form = TaskForm()
    if not form.validate():
        return dashboard.composer(form, 422)
    if "confirmed" not in request.form:
        twin = tasks.find_twin(
            deps.store(), g.account, form.description.data, form.request_id.data or "", form.brief.reference
        )
        if twin:
            return dashboard.composer(form, 422, twin=twin)
    try:
        done = tasks.submit(
            deps.store(), g.account, form.brief, now=utcnow(), idempotency_key=form.request_id.data or None
        )
    except InsufficientCredits:  # answered in the form itself, with a way to buy that keeps the text
        g.account = deps.store().accounts.get(g.account.email)
        return dashboard.composer(form, 402, short=True)
    except ReferenceUsed as error:
        form.reference.errors = [error.message]
        return dashboard.composer(form, 409)
    g.account = done.account
    if is_fragment_request():
        return dashboard.submitted(done.task)
    return redirect(url_for("tasks.show", task_id=done.task.task_id), code=303)


@bp.get("/tasks/batch")
@login_required
def batch() -> ResponseReturnValue:
    return _batch_page()


@bp.post("/tasks/batch")
@takes(MAX_BODY_WITH_FILES)
@login_required
def submit_batch() -> ResponseReturnValue:
    """First what it would cost and which texts look familiar; then, confirmed, all of them or none."""
    store, lines, tags = deps.store(), request.form.get("lines", ""), request.form.get("tags", "")
    try:
        found = _batch_texts(lines)
        shared = read_tags(tags)
        if "confirmed" not in request.form:
            return _batch_preview(found)
        request_id = usable_key(request.form.get("request_id"))
        if request_id is None:
            return _batch_preview(found, LOST_KEY), 422
        briefs = [Brief(text, tags=shared) for text in found]
        made, g.account = tasks.submit_batch(store, g.account, briefs, now=utcnow(), idempotency_key=request_id)
    except InvalidInput as error:
        typed = [unix_newlines(text) for text in request.form.getlist("description")]
        wrong = error.field if error.field in ("table", "tags") else "lines"
        return _batch_page(lines or as_lines(typed), error.message, wrong), 422
    except InsufficientCredits as error:
        return _batch_page(as_lines(found), error.message), 402
    flash(f"{len(made)} tasks submitted for {sum(task.credits_spent for task in made)} credits.")
    return redirect(url_for("dashboard.show"), code=303)


def _batch_texts(lines: str) -> list[str]:
    """Of a preview, or of one that was sent again, its texts; else what was typed or uploaded. Raises InvalidInput."""
    if texts := request.form.getlist("description"):
        return check_batch([unix_newlines(text) for text in texts])
    upload = request.files.get("table")
    table = upload.read(MAX_TABLE_BYTES + 1) if upload else b""
    if len(table) > MAX_TABLE_BYTES:
        raise InvalidInput(f"The file is larger than {MAX_TABLE_BYTES // 1024 // 1024} MB.", field="table")
    if upload and upload.filename and not table:
        raise InvalidInput("The file is empty.", field="table")
    return read_batch(lines, table)


def _batch_page(lines: str = "", error: str = "", wrong: str = "") -> str:
    """`wrong` names the field that the error is about, if it is about one."""
    return render_template(
        "tasks/batch.html",
        lines=lines,
        tags=request.form.get("tags", ""),
        error=error,
        wrong=wrong,
        cost=TASK_COST,
        limit=MAX_BATCH,
        max_bytes=MAX_TABLE_BYTES,
    )


def _batch_preview(found: list[str], error: str = "") -> str:
    earlier = deps.store().tasks.page(g.account.email, limit=LOOKED_AT).items
    return render_template(
        "tasks/batch_preview.html",
        texts=found,
        tags=", ".join(read_tags(request.form.get("tags"))),
        left_out=getattr(found, "left_out", ()),
        fuller=getattr(found, "fuller", ()),
        note=getattr(found, "note", ""),
        twins=[find_twin(text, earlier) for text in found],
        repeats=repeated_within(found),
        total=len(found) * TASK_COST,
        request_id=new_idempotency_key(),
        error=error,
    )


@bp.get("/tasks/<task_id>")
@login_required_unless_unchanged(lambda account: tag_of(account))
def show(task_id: str) -> ResponseReturnValue:
    """The page of a task, and what an open page asks every few seconds: half a read unit when nothing has changed."""
    store, now = deps.store(), utcnow()
    stored, result = store.tasks.get_with_result(task_id, owner=g.account.email)
    task = stored.as_of(now)
    outlook = figures.outlook(store, task)
    return render(
        "tasks/show.html",
        "task",
        partials=[dashboard.CHIP],
        account=g.account,
        task=task,
        result=result,
        events=events_of(task),
        took_seconds=_seconds_between(task.created_at, task.finished_at) if task.finished_at else None,
        ahead=outlook.ahead,
        max_ahead=figures.MAX_AHEAD,
        usual_minutes=outlook.usual_minutes,
        may_redo=task.may_be_redone(now),
        redo_days=REDO_WINDOW.days,
        ptag=tag_of(g.account),
    )


@bp.post("/tasks/<task_id>/cancel")
@login_required
def cancel(task_id: str) -> ResponseReturnValue:
    with deps.get().throttle.cancelling(g.account.email):
        task, g.account = queue.cancel(deps.store(), g.account, task_id, now=utcnow())
    flash(f"Cancelled. {task.credits_spent} credits are back on your balance." if task.credits_spent else "Cancelled.")
    return redirect(url_for("tasks.show", task_id=task_id), code=303)


@bp.post("/tasks/<task_id>/redo")
@login_required
def redo(task_id: str) -> ResponseReturnValue:
    """A note that is refused comes back in the page of the refusal. Raises InvalidInput."""
    note = unix_newlines(request.form.get("note"))
    again = queue.request_redo(deps.store(), g.account, task_id, note, now=utcnow())
    flash("We will do it again, free of charge.")
    return redirect(url_for("tasks.show", task_id=again.task_id), code=303)


@bp.get("/tasks/<task_id>/result.md")
@login_required
def download(task_id: str) -> ResponseReturnValue:
    """The result as it was written."""
    _, result = deps.store().tasks.get_with_result(task_id, owner=g.account.email)
    if result is None or not result.text:
        raise NotFound("This task has no written result.")
    response = Response(result.text, content_type="text/markdown; charset=utf-8")
    response.headers["Content-Disposition"] = f'attachment; filename="{task_id}.md"'
    return response


@bp.get("/tasks/<task_id>/files/<int:number>")
@login_required
def file(task_id: str, number: int) -> ResponseReturnValue:
    """On to a file of the result, by a link that opens for a minute."""
    _, result = deps.store().tasks.get_with_result(task_id, owner=g.account.email)
    return file_link(result, number)


class Event(NamedTuple):
    """`after_seconds` since the event before it; None for the first."""

    label: str
    at: datetime
    after_seconds: int | None


def events_of(task: Task) -> list[Event]:
    """What happened to a task, oldest first."""
    events = [("Redo requested" if task.redo_of else "Submitted", task.created_at)]
    if task.started_at:
        events.append(("Work began", task.started_at))
    if task.finished_at:
        ended = {COMPLETED: "Completed", CANCELLED: "Cancelled by you", REJECTED: "Rejected"}
        refunded = ", credits given back" if task.status in (CANCELLED, REJECTED) and task.credits_spent else ""
        events.append((ended[task.status] + refunded, task.finished_at))
    before = [None, *(at for _, at in events)]
    return [
        Event(label, at, _seconds_between(last, at) if last else None)
        for (label, at), last in zip(events, before, strict=False)
    ]


def _seconds_between(start: datetime, end: datetime) -> int:
    return int((end - start).total_seconds())


def tag_of(account: Account) -> str:
    """Changes with everything the customer can see of the task, and now and then for the place in the queue."""
    return f"{account.version}.{int(utcnow().timestamp()) // PLACE_SECONDS}"
