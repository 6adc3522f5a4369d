"""One task as an operator sees it: claim, answer with text and files, release or reject."""

from __future__ import annotations

from datetime import datetime

from flask import Response, flash, g, make_response, render_template, request
from flask.typing import ResponseReturnValue

from app.domain.clock import utcnow
from app.domain.errors import DomainError, FilesUnavailable, InvalidInput, WrongState
from app.domain.tasks import Task
from app.forms.admin import ReasonForm, ResultForm, read_minutes
from app.routes.admin import screens
from app.routes.admin.blueprint import bp
from app.services import queue
from app.web import deps
from app.web.admission import takes
from app.web.files import MAX_BODY_WITH_FILES, file_link, store_files
from app.web.fragments import is_fragment_request, render, render_beside
from app.web.guards import operator_required
from app.web.refusals import status_of


@bp.get("/tasks/<task_id>")
@operator_required
def task(task_id: str) -> ResponseReturnValue:
    """The page, and for an open page's poll the part that tells where the task stands."""
    stored, result = deps.store().tasks.get_with_result(task_id)
    if is_fragment_request():
        return _state(stored)
    context = screens.task_context(stored, result, ResultForm(formdata=None), ReasonForm(formdata=None))
    return render_template(screens.TASK, **context)


@bp.get("/tasks/<task_id>/files/<int:number>")
@operator_required
def task_file(task_id: str, number: int) -> ResponseReturnValue:
    _, result = deps.store().tasks.get_with_result(task_id)
    return file_link(result, number)


@bp.post("/tasks/<task_id>/claim")
@operator_required
def claim(task_id: str) -> ResponseReturnValue:
    """What was typed while an earlier lease lived comes along, and stands in the form again."""
    minutes = read_minutes(request.form.get("minutes"))
    form = ResultForm()
    claimed = queue.claim(deps.store(), g.account.email, task_id, now=utcnow(), minutes=minutes)
    return screens.to_task(claimed, form if form.result.data else None)


@bp.post("/tasks/<task_id>/renew")
@operator_required
def renew(task_id: str) -> ResponseReturnValue:
    """At the press of the button, or while somebody types: then once in half a lease."""
    store, operator, now = deps.store(), g.account.email, utcnow()
    if request.form.get("typing"):
        held = queue.hold(store, operator, task_id, now=now)
    else:
        minutes = read_minutes(request.form.get("minutes"))
        held = queue.renew(store, operator, task_id, now=now, minutes=minutes)
    return _state(held) if is_fragment_request() else screens.to_task(held)


@bp.post("/tasks/<task_id>/release")
@operator_required
def release(task_id: str) -> ResponseReturnValue:
    queue.release(deps.store(), g.account.email, task_id, now=utcnow())
    flash("Back in the queue, at its old place.")
    return screens.to_queue()


@bp.post("/tasks/<task_id>/preview")
@operator_required
def preview(task_id: str) -> ResponseReturnValue:
    """What the customer would read of an answer, by the same renderer. Nothing is kept and nothing changes."""
    form = ResultForm()
    sound = form.validate()
    if is_fragment_request():
        words = form.result.data if sound else None
        return render(screens.TASK, "preview", preview=words, refused=form.result.errors)
    stored, result = deps.store().tasks.get_with_result(task_id)
    words = form.result.data if sound else None
    context = screens.task_context(stored, result, form, ReasonForm(formdata=None), preview=words)
    return make_response(render_template(screens.TASK, **context), 200 if sound else 422)


@bp.post("/tasks/<task_id>/complete")
@takes(MAX_BODY_WITH_FILES)
@operator_required
def complete(task_id: str) -> ResponseReturnValue:
    """What was written stays in the form when the answer is refused; files must be chosen again."""
    form, store, operator, now = ResultForm(), deps.store(), g.account.email, utcnow()
    if not form.validate():
        return _page(task_id, form, ReasonForm(formdata=None), 422)
    try:
        uploads = [upload for upload in form.files.data or [] if upload]
        if uploads:
            queue.check_holder(store, operator, task_id, now=now)  # or files of a refused answer would pile up
        files = store_files(task_id, uploads)
        done = queue.complete(store, operator, task_id, form.result.data, files=files, now=now)
    except (InvalidInput, WrongState, FilesUnavailable) as error:
        return _refused(task_id, form, error)
    return _on_to_the_next(done, now) if request.form.get("then") == "next" else _completed()


def _completed() -> ResponseReturnValue:
    flash("Completed. The customer has been told.")
    return screens.to_queue()


def _on_to_the_next(done: Task, now: datetime) -> ResponseReturnValue:
    """The oldest that nobody has. The completion stands, whatever becomes of the claim."""
    try:
        following = queue.next_after(deps.store(), g.account.email, done, now=now)
    except DomainError:
        flash("Completed. The customer has been told. The next task could not be claimed: try again.", "error")
        return screens.to_queue()
    if following is None:
        flash("Completed. The customer has been told. Nothing else is waiting: that was the last one.")
        return screens.to_queue()
    flash("Completed. The customer has been told. This is the next one.")
    return screens.to_task(following)


@bp.post("/tasks/<task_id>/reject")
@operator_required
def reject(task_id: str) -> ResponseReturnValue:
    form = ReasonForm()
    if not form.validate():
        return _page(task_id, ResultForm(formdata=None), form, 422)
    done = queue.reject(deps.store(), g.account.email, task_id, form.reason.data, now=utcnow())
    given_back = f", and {done.credits_spent} credits given back" if done.credits_spent else ""
    flash(f"Rejected{given_back}. The customer has been told why.")
    return screens.to_queue()


def _refused(task_id: str, form: ResultForm, error: DomainError) -> ResponseReturnValue:
    """An open page keeps its form as it is: it gets the sentence, and the part that tells where the task stands."""
    status = status_of(error)
    if is_fragment_request() and status != 422:
        stored, _ = deps.store().tasks.get_with_result(task_id)
        context = screens.state_context(stored) | {"message": error.message}
        response = render_beside(screens.TASK, oob=["state"], partials=["errors/_toast.html"], **context)
        response.status_code = status
        return response
    field = "files" if isinstance(error, InvalidInput) and error.field == "files" else "result"
    form[field].errors = [error.message]
    return _page(task_id, form, ReasonForm(formdata=None), status)


def _state(stored: Task) -> Response:
    context = screens.state_context(stored)
    if request.method == "GET" and request.headers.get("HX-PTag") == context["ptag"]:
        return make_response("", 304)
    return render(screens.TASK, "state", **context)


def _page(task_id: str, form: ResultForm, reason_form: ReasonForm, status: int) -> Response:
    """The form again, with what was typed and what is wrong with it."""
    context = screens.task_context(*deps.store().tasks.get_with_result(task_id), form, reason_form)
    response = screens.show(screens.TASK, **context)
    response.status_code = status
    return response
