"""One task as an operator sees it: claim, answer with text and files, release or reject."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import flash, g, make_response, redirect, request, url_for
from flask.typing import ResponseReturnValue

from app.domain.clock import utcnow
from app.domain.errors import DomainError, FilesUnavailable, InvalidInput, WrongState
from app.domain.tasks import DEFAULT_LEASE_MINUTES, MAX_RESULT, Task
from app.forms.admin import ReasonForm, ResultForm, read_minutes
from app.routes.admin.blueprint import bp
from app.services import queue
from app.web import deps
from app.web.admission import takes
from app.web.files import MAX_BODY_WITH_FILES, MAX_FILE_BYTES, MAX_FILES, file_link, store_files
from app.web.fragments import is_fragment_request, render
from app.web.guards import operator_required
from app.web.refusals import status_of

TEMPLATE = "admin/task.html"


@bp.get("/tasks/<task_id>")
@operator_required
def task(task_id: str) -> ResponseReturnValue:
    """The page, and for an open page's poll the part that tells where the task stands."""
    return _page(task_id, ResultForm(formdata=None), ReasonForm(formdata=None))


@bp.get("/tasks/<task_id>/files/<int:number>")
@operator_required
def task_file(task_id: str, number: int) -> ResponseReturnValue:
    _, result = deps.store().tasks.get_with_result(task_id)
    return file_link(result, number)


@bp.post("/tasks/<task_id>/claim")
@operator_required
def claim(task_id: str) -> ResponseReturnValue:
    return _lease(task_id, queue.claim)


@bp.post("/tasks/<task_id>/renew")
@operator_required
def renew(task_id: str) -> ResponseReturnValue:
    return _lease(task_id, queue.renew)


@bp.post("/tasks/<task_id>/release")
@operator_required
def release(task_id: str) -> ResponseReturnValue:
    queue.release(deps.store(), g.account.email, task_id, now=utcnow())
    flash("Back in the queue, at its old place.")
    return redirect(url_for("admin.index"), code=303)


@bp.post("/tasks/<task_id>/complete")
@takes(MAX_BODY_WITH_FILES)
@operator_required
def complete(task_id: str) -> ResponseReturnValue:
    """What was written stays in the form when the answer is refused; files must be chosen again."""
    form, store, operator = ResultForm(), deps.store(), g.account.email
    if not form.validate():
        return _page(task_id, form, ReasonForm(formdata=None), 422)
    try:
        uploads = [upload for upload in form.files.data or [] if upload]
        if uploads:
            queue.check_holder(store, operator, task_id, now=utcnow())  # or files of a refused answer would pile up
        files = store_files(task_id, uploads)
        queue.complete(store, operator, task_id, form.result.data, files=files, now=utcnow())
    except (InvalidInput, WrongState, FilesUnavailable) as error:
        return _refused(task_id, form, error)
    flash("Completed. The customer has been told.")
    return redirect(url_for("admin.index"), code=303)


@bp.post("/tasks/<task_id>/reject")
@operator_required
def reject(task_id: str) -> ResponseReturnValue:
    form = ReasonForm()
    if not form.validate():
        return _page(task_id, ResultForm(formdata=None), form, 422)
    done = queue.reject(deps.store(), g.account.email, task_id, form.reason.data, now=utcnow())
    given_back = f", and {done.credits_spent} credits given back" if done.credits_spent else ""
    flash(f"Rejected{given_back}. The customer has been told why.")
    return redirect(url_for("admin.index"), code=303)


def _lease(task_id: str, act: Callable[..., Task]) -> ResponseReturnValue:
    minutes = read_minutes(request.form.get("minutes"))
    act(deps.store(), g.account.email, task_id, now=utcnow(), minutes=minutes)
    return redirect(url_for("admin.task", task_id=task_id), code=303)


def _refused(task_id: str, form: ResultForm, error: DomainError) -> ResponseReturnValue:
    field = "files" if isinstance(error, InvalidInput) and error.field == "files" else "result"
    form[field].errors = [error.message]
    return _page(task_id, form, ReasonForm(formdata=None), status_of(error))


def _page(task_id: str, form: ResultForm, reason_form: ReasonForm, status: int = 200) -> ResponseReturnValue:
    store, now = deps.store(), utcnow()
    stored, result = store.tasks.get_with_result(task_id)
    found = stored.as_of(now)
    tag = f"{stored.version}.{found.status}.{now:%H%M}"
    if is_fragment_request() and request.method == "GET" and request.headers.get("HX-PTag") == tag:
        return make_response("", 304)
    context: dict[str, Any] = {
        "task": found,
        "lapsed": found.status != stored.status,
        "result": result,
        "mine": found.lease_owner == g.account.email and found.is_open,
        "customer": store.accounts.find(found.user_email),
        "entries": store.ledger.of_task(found.user_email, task_id, as_they_stand=True),
        "audit": store.audit.page_of(task_id, limit=50).items,
        "form": form,
        "reason_form": reason_form,
        "minutes": DEFAULT_LEASE_MINUTES,
        "result_limit": MAX_RESULT,
        "max_files": MAX_FILES,
        "max_file_bytes": MAX_FILE_BYTES,
        "ptag": tag,
    }
    response = render(TEMPLATE, "state", **context)
    response.status_code = status
    return response
