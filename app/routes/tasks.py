"""Submitting a task, and the page of one."""

from __future__ import annotations

from flask import Blueprint, g, redirect, render_template, url_for

from app import deps
from app.domain.clock import utcnow
from app.domain.errors import InsufficientCredits
from app.forms.tasks import TaskForm
from app.fragments import is_fragment_request
from app.routes import dashboard
from app.security import login_required
from app.services import tasks

bp = Blueprint("tasks", __name__)


@bp.post("/tasks")
@login_required
def submit():
    form = TaskForm()
    if not form.validate():
        return dashboard.composer(form, 422)
    try:
        done = tasks.submit(
            deps.store(), g.account, form.description.data, now=utcnow(), request_id=form.request_id.data or None
        )
    except InsufficientCredits:  # answered in the form itself, with a way to buy that keeps the text
        g.account = deps.store().get_account(g.account.email)
        return dashboard.composer(form, 402, short=True)
    g.account = done.account
    if is_fragment_request():
        return dashboard.submitted(done.task)
    return redirect(url_for("tasks.show", task_id=done.task.task_id), code=303)


@bp.get("/tasks/<task_id>")
@login_required
def show(task_id: str):
    task = deps.store().get_task(task_id, owner=g.account.email)
    return render_template("tasks/show.html", account=g.account, task=task)
