"""The queue: oldest first, live, with claims one by one and by the dozen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from flask import Response, flash, g, make_response, render_template, request
from flask.typing import ResponseReturnValue

from app.domain.clock import utcnow
from app.domain.desk import MINE
from app.domain.errors import InvalidInput
from app.domain.formatting import count
from app.domain.tasks import Task
from app.domain.text import shows
from app.forms.admin import ReasonForm, ResultForm, read_minutes, read_task_ids
from app.routes.admin import screens
from app.routes.admin.blueprint import bp
from app.services import queue
from app.services.queue import Outcome
from app.web import deps
from app.web.fragments import is_fragment_request, render
from app.web.guards import operator_required

DONE = {"claim": "claimed", "release": "released", "complete": "completed", "reject": "rejected"}
FORMS: dict[str, Callable[..., Any]] = {"complete": ResultForm, "reject": ReasonForm}
ASK_FIRST = {"compose": "complete", "refuse": "reject"}  # these come with words: a page asks for them


@bp.get("")
@operator_required
def index() -> ResponseReturnValue:
    """Eight queries, or twelve where more waits than a page holds, however long the queue is."""
    context = screens.queue_context(
        screens.filter_of_address(),
        cursor=request.args.get("cursor") or None,
        ticked=read_task_ids(request.args.getlist("task_id")),
        tick_all=request.args.get("tick") == "all",
        minutes=read_minutes(request.args.get("minutes")),
    )
    if is_fragment_request() and request.headers.get("HX-PTag") == context["ptag"]:
        return make_response("", 304)
    return render(screens.QUEUE, "queue", **context)


@bp.post("/claim-next")
@operator_required
def claim_next() -> ResponseReturnValue:
    minutes = read_minutes(request.form.get("minutes"))
    task = queue.claim_next(deps.store(), g.account.email, now=utcnow(), minutes=minutes)
    if task is None:
        flash("Nothing is waiting.")
        return screens.to_queue()
    return screens.to_task(task)


@bp.post("/bulk")
@operator_required
def bulk() -> ResponseReturnValue:
    """Do one thing to the ticked tasks, each in a transaction of its own, and say what became of each."""
    chosen, act = read_task_ids(request.form.getlist("task_id")), request.form.get("act", "")
    if act not in DONE and act not in ASK_FIRST:
        raise InvalidInput("Choose what to do with the ticked tasks.")
    if act in FORMS:
        return _with_words(act, FORMS[act](), chosen)
    if not chosen:
        flash("Tick the tasks first.", "error")
        return screens.to_queue()
    if act in ASK_FIRST:
        return _ask(ASK_FIRST[act], chosen)
    minutes = read_minutes(request.form.get("minutes"))
    outcomes = queue.each(deps.store(), _verb(act, minutes=minutes), chosen)
    _tell(act, outcomes)
    found = screens.filter_of_address()
    found = replace(found, view=MINE) if act == "claim" else found
    if is_fragment_request() or all(not each.refused for each in outcomes):
        return screens.to_queue(found, outcomes=_if_any_refused(outcomes), act=act)
    return _queue_with(outcomes, act)


def _with_words(act: str, form: ResultForm | ReasonForm, chosen: list[str]) -> ResponseReturnValue:
    """Complete or reject them all. What was written stays in its field until every task has taken it."""
    field = form.result if isinstance(form, ResultForm) else form.reason
    if not form.validate() or not shows(field.data or ""):
        field.errors = field.errors or ["Write a result."]
        return _words_page(act, form, chosen), 422
    if not chosen:
        field.errors = ["No task is ticked that could take this."]
        return _words_page(act, form, chosen), 422
    outcomes = queue.each(deps.store(), _verb(act, words=field.data), chosen)
    _tell(act, outcomes)
    refused = [each for each in outcomes if each.refused]
    if not refused:
        return screens.to_queue()
    field.errors = list(dict.fromkeys(each.refused for each in refused))
    return _words_page(act, form, [each.task_id for each in refused], outcomes), 409


def _verb(act: str, *, minutes: int = 0, words: str | None = None) -> Callable[[str], Task]:
    store, operator, now = deps.store(), g.account.email, utcnow()
    verbs: dict[str, Callable[[str], Task]] = {
        "claim": lambda task_id: queue.claim(store, operator, task_id, now=now, minutes=minutes),
        "release": lambda task_id: queue.release(store, operator, task_id, now=now),
        "complete": lambda task_id: queue.complete(store, operator, task_id, words, now=now),
        "reject": lambda task_id: queue.reject(store, operator, task_id, words, now=now),
    }
    return verbs[act]


def _ask(act: str, chosen: list[str]) -> ResponseReturnValue:
    """A page of its own for the words that an act needs. It is no address: a reload leads to the queue again."""
    return screens.show("admin/bulk.html", **_words_context(act, FORMS[act](formdata=None), chosen))


def _words_page(act: str, form: ResultForm | ReasonForm, chosen: list[str], outcomes: Sequence[Outcome] = ()) -> str:
    return render_template("admin/bulk.html", **_words_context(act, form, chosen), outcomes=outcomes)


def _words_context(act: str, form: ResultForm | ReasonForm, chosen: list[str]) -> dict[str, Any]:
    tasks = [task for task in map(deps.store().tasks.find, chosen) if task]
    given_back = sum(task.credits_spent for task in tasks) if act == "reject" else 0
    found = screens.filter_of_address()
    return {"act": act, "form": form, "tasks": tasks, "given_back": given_back, "found": found}


def _queue_with(outcomes: list[Outcome], act: str) -> Response:
    """The queue with what became of each, in answer to the form itself: a redirect could not carry that much."""
    context = screens.queue_context(screens.filter_of_address(), outcomes=outcomes, act=act)
    status = 409 if all(each.refused for each in outcomes) else 200
    return make_response(render_template(screens.QUEUE, **context), status)


def _if_any_refused(outcomes: list[Outcome]) -> list[Outcome]:
    return outcomes if any(each.refused for each in outcomes) else []


def _tell(act: str, outcomes: list[Outcome]) -> None:
    done = [each.task for each in outcomes if each.task and not each.refused]
    if not done:
        return
    words = f"{count(len(done), 'task')} {DONE[act]}"
    given_back = sum(task.credits_spent for task in done) if act == "reject" else 0
    flash(f"{words}, and {count(given_back, 'credit')} given back." if given_back else f"{words}.")
