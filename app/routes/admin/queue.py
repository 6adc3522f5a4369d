"""The queue: oldest first, live, with claims one by one and by the dozen."""

from __future__ import annotations

import hashlib
from typing import Any

from flask import flash, g, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.domain.clock import utcnow
from app.domain.errors import InvalidInput, Malformed
from app.domain.paging import Page
from app.domain.tasks import DEFAULT_LEASE_MINUTES, IN_PROGRESS, PENDING, Task
from app.domain.text import finder, shows
from app.forms.admin import ResultForm, read_minutes, read_task_ids
from app.forms.paging import read_search
from app.routes.admin.blueprint import bp
from app.services import queue
from app.web import deps, heavy
from app.web.fragments import is_fragment_request, render
from app.web.guards import operator_required

PAGE = 25
VIEWS = ("waiting", "working", "mine")


@bp.get("")
@operator_required
def index() -> ResponseReturnValue:
    """Four queries, or eight where leases that ran out are shown too, however long the queue is."""
    view = request.args.get("view", "waiting")
    if view not in VIEWS:
        raise Malformed(f"view must be one of {', '.join(VIEWS)}.")
    search, cursor = read_search(request), request.args.get("cursor") or None
    now = utcnow()

    def read() -> tuple[Page[Task], list[Task]]:
        return _page(view, search, cursor), _lapsed(search) if view == "waiting" and not cursor else []

    page, lapsed = heavy.beside("Searching", read) if search or view == "mine" else read()
    chosen = set(read_task_ids(request.args.getlist("task_id")))
    tag = _tag(view, search, cursor, chosen, now.strftime("%H:%M"), [*page.items, *lapsed])
    if is_fragment_request() and request.headers.get("HX-PTag") == tag:
        return make_response("", 304)
    return render(
        "admin/queue.html",
        "queue",
        view=view,
        q=search,
        cursor=cursor or "",
        page=page,
        tasks=[task.as_of(now) if view == "mine" else task for task in page.items],
        lapsed=lapsed,
        chosen=chosen,
        now=now,
        minutes=DEFAULT_LEASE_MINUTES,
        ptag=tag,
    )


@bp.post("/claim-next")
@operator_required
def claim_next() -> ResponseReturnValue:
    minutes = read_minutes(request.form.get("minutes"))
    task = queue.claim_next(deps.store(), g.account.email, now=utcnow(), minutes=minutes)
    if task is None:
        flash("Nothing is waiting.")
        return redirect(url_for("admin.index"), code=303)
    return redirect(url_for("admin.task", task_id=task.task_id), code=303)


@bp.post("/bulk")
@operator_required
def bulk() -> ResponseReturnValue:
    """Do one thing to the ticked tasks, each in a transaction of its own, and say what became of each."""
    chosen, act, now = read_task_ids(request.form.getlist("task_id")), request.form.get("act", ""), utcnow()
    store, operator = deps.store(), g.account.email
    minutes = read_minutes(request.form.get("minutes"))
    if not chosen and act != "complete":
        flash("Tick the tasks first.", "error")
        return redirect(url_for("admin.index"), code=303)
    if act == "claim":
        done, refused = queue.each(lambda t: queue.claim(store, operator, t, now=now, minutes=minutes), chosen)
    elif act == "release":
        done, refused = queue.each(lambda t: queue.release(store, operator, t, now=now), chosen)
    elif act == "compose":
        return _bulk_page(ResultForm(formdata=None), chosen)
    elif act == "complete":
        form = ResultForm()
        if not form.validate() or not shows(form.result.data or ""):
            form.result.errors = form.result.errors or ["Write a result."]
            return _bulk_page(form, chosen), 422
        if not chosen:
            form.result.errors = ["No task is ticked that could take this."]
            return _bulk_page(form, chosen), 422
        done, refused = queue.each(lambda t: queue.complete(store, operator, t, form.result.data, now=now), chosen)
        if refused:  # what was written stays, for those that did not take it
            _tell(act, done, [])
            form.result.errors = list(dict.fromkeys(refused))
            finished = {task.task_id for task in done}
            return _bulk_page(form, [task_id for task_id in chosen if task_id not in finished]), 409
    else:
        raise InvalidInput("Choose what to do with the ticked tasks.")
    _tell(act, done, refused)
    return redirect(url_for("admin.index", view="mine"), code=303)


def _bulk_page(form: ResultForm, chosen: list[str]) -> str:
    tasks = [task for task in map(deps.store().tasks.find, chosen) if task]
    return render_template("admin/bulk.html", form=form, tasks=tasks)


def _tell(act: str, done: list[Task], refused: list[str]) -> None:
    word = {"claim": "claimed", "release": "released", "complete": "completed"}[act]
    if done:
        flash(f"{len(done)} {word}.")
    for message in refused[:5]:
        flash(message, "error")
    if len(refused) > 5:
        flash(f"… and {len(refused) - 5} more were refused.", "error")


def _page(view: str, search: str, cursor: str | None) -> Page[Task]:
    found, mine = finder(search), g.account.email if view == "mine" else ""

    def keep(task: Task) -> bool:
        if mine and task.lease_owner != mine:
            return False
        return not found or found(f"{task.description} {task.user_email} {task.lease_owner or ''}")

    status = PENDING if view == "waiting" else IN_PROGRESS
    filtered = keep if found or mine else None
    return deps.store().queue.page(status, limit=PAGE, cursor=cursor, keep=filtered)


def _lapsed(search: str) -> list[Task]:
    """Tasks in progress whose lease has run out: they wait too."""
    now, found = utcnow(), finder(search)
    return (
        deps.store()
        .queue.page(
            IN_PROGRESS,
            limit=PAGE,
            keep=lambda t: t.as_of(now).status == PENDING and (not found or found(f"{t.description} {t.user_email}")),
        )
        .items
    )


def _tag(*shown: Any) -> str:
    """Changes with anything that the page shows; ages move once a minute."""
    rows = [(t.task_id, t.version, t.status) if isinstance(t, Task) else t for t in shown[-1]]
    return hashlib.sha256(repr((shown[:3], sorted(shown[3]), shown[4], rows)).encode()).hexdigest()[:20]
