"""The desk's two screens, queue and task: what each shows, and how an act leads to one of them.

Without JavaScript an act answers with a redirect. For HTMX it answers with the screen itself, at the screen's address.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlencode

from flask import Response, g, make_response, redirect, request, url_for
from flask.typing import ResponseReturnValue

from app.data.threads import KINDS, side_by_side
from app.domain.clock import utcnow
from app.domain.desk import MINE, QueueFilter, count_word
from app.domain.errors import DomainError
from app.domain.tasks import DEFAULT_LEASE_MINUTES, MAX_RESULT, Result, Task, age_word
from app.forms.admin import ReasonForm, ResultForm, read_queue_filter
from app.services import desk
from app.services.queue import Outcome
from app.web import deps, heavy
from app.web.files import MAX_FILE_BYTES, MAX_FILES
from app.web.fragments import is_fragment_request, render_screen
from app.web.names import look_up_names

QUEUE, TASK = "admin/queue.html", "admin/task.html"


def filter_of_address() -> QueueFilter:
    """What the queue showed that a page was reached from: it goes along, so that an act leads back there."""
    return read_queue_filter(request.args)


def to_queue(found: QueueFilter | None = None, *, outcomes: Sequence[Outcome] = (), act: str = "") -> Response:
    found = found or filter_of_address()
    address = url_for("admin.index", **found.address())
    if not is_fragment_request():
        return redirect(address, code=303)  # type: ignore[return-value]
    try:
        context = queue_context(found, outcomes=outcomes, act=act)
    except DomainError:  # the act is done, whatever becomes of the list
        return _led(address)
    return show(QUEUE, address, **context)


def to_task(task: Task, form: ResultForm | None = None) -> ResponseReturnValue:
    """To a task that was just claimed; `form` holds what was typed before that."""
    found = filter_of_address()
    address = url_for("admin.task", task_id=task.task_id, **found.address())
    if not is_fragment_request() and form is None:
        return redirect(address, code=303)
    try:
        context = task_context(task, None, form or ResultForm(formdata=None), ReasonForm(formdata=None))
    except DomainError:
        return _led(address)
    return show(TASK, address, **context)


def show(template: str, address: str = "", **context: Any) -> Response:
    """A screen, with what the last act has to say and the operators' navigation above it."""
    above = ("partials/notes.html", "admin/_nav.html")
    return render_screen(template, "page", address=address, above=above, here="index", **context)


def _led(address: str) -> Response:
    """HTMX loads that address as a browser does."""
    response = make_response("")
    response.headers["HX-Redirect"] = address
    return response


def queue_context(
    found: QueueFilter,
    *,
    cursor: str | None = None,
    ticked: Iterable[str] = (),
    tick_all: bool = False,
    minutes: int = DEFAULT_LEASE_MINUTES,
    outcomes: Sequence[Outcome] = (),
    act: str = "",
) -> dict[str, Any]:
    """Raises PlacesTaken where a page of it looks at many rows."""
    now = utcnow()
    read = partial(desk.look, deps.store(), found, g.account.email, cursor=cursor, now=now)
    seen = heavy.beside("Searching", read) if found.looks_into_rows else read()
    shown = [*seen.page.items, *seen.lapsed]
    look_up_names(name for task in shown for name in (task.user_email, task.lease_owner))
    chosen = {task.task_id for task in shown} if tick_all else set(ticked)
    return {
        "found": found,
        "back": _query(found),
        "cursor": cursor or "",
        "page": seen.page,
        "tasks": [task.as_of(now) for task in seen.page.items] if found.view == MINE else seen.page.items,
        "lapsed": seen.lapsed,
        "counts": seen.counts,
        "count_word": count_word,
        "age_word": age_word,
        "chosen": chosen,
        "now": now,
        "minutes": minutes,
        "outcomes": outcomes,
        "act": act,
        "ptag": f"{_tag(found, cursor, sorted(chosen), seen.counts, [_state(task) for task in shown])}.{now:%H%M}",
    }


def task_context(
    stored: Task, result: Result | None, form: ResultForm, reason_form: ReasonForm, *, preview: str | None = None
) -> dict[str, Any]:
    """Of a task as it is stored. Its customer, ledger rows and acts are read side by side."""
    store, email, task_id = deps.store(), stored.user_email, stored.task_id
    reads: list[Any] = [
        partial(store.accounts.find, email),
        partial(store.ledger.of_task, email, task_id, as_they_stand=True),
        partial(store.audit.page_of, task_id, limit=50),
    ]
    customer, entries, audit = side_by_side(KINDS, reads)
    return state_context(stored) | {
        "result": result,
        "customer": customer,
        "entries": entries,
        "audit": audit.items,
        "form": form,
        "reason_form": reason_form,
        "result_limit": MAX_RESULT,
        "max_files": MAX_FILES,
        "max_file_bytes": MAX_FILE_BYTES,
        "preview": preview,
    }


def state_context(stored: Task) -> dict[str, Any]:
    """What the part says that an open page asks for again and again."""
    now, found = utcnow(), filter_of_address()
    task = stored.as_of(now)
    return {
        "task": task,
        "lapsed": task.status != stored.status,
        "mine": task.lease_owner == g.account.email and task.is_open,
        "minutes_left": task.minutes_left(now),
        "age": age_word(task.created_at, now),
        "minutes": DEFAULT_LEASE_MINUTES,
        "found": found,
        "back": _query(found),
        "ptag": f"{stored.version}-{task.status}.{task.minutes_left(now)}.{now:%H%M}",
    }


def _query(found: QueueFilter) -> str:
    return "?" + urlencode(found.address()) if found.address() else ""


def _state(task: Task) -> tuple[str, int, str]:
    return task.task_id, task.version, task.status


def _tag(*shown: Any) -> str:
    """Changes with anything that the page shows but its ages, which move once a minute."""
    return hashlib.sha256(repr(shown).encode()).hexdigest()[:20]
