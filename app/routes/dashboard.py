"""The dashboard: balance, composer and history, as a page and as the fragments that keep it live."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Blueprint, Response, g, make_response, request, url_for
from flask.typing import ResponseReturnValue

from app.domain.accounts import AccountKey
from app.domain.clock import utcnow
from app.domain.errors import PlacesTaken, RateLimited
from app.domain.examples import EXAMPLES, example
from app.domain.paging import Page
from app.domain.tasks import MAX_DESCRIPTION, TASK_COST, Task, TaskLine, new_idempotency_key
from app.forms.paging import Paging, TaskFilter, read_paging, read_task_filter
from app.forms.tasks import TaskForm
from app.web import deps, heavy
from app.web.addresses import plain
from app.web.fragments import is_fragment_request, render
from app.web.guards import login_required_unless_unchanged, login_required_while_reading
from app.web.refusals import status_of
from app.web.typed_drafts import draft_of

bp = Blueprint("dashboard", __name__)

TEMPLATE = "dashboard/show.html"
CHIP = "partials/balance_chip.html"


def asked() -> tuple[Paging, TaskFilter]:
    """What the address asks for, read once for a request. Raises Malformed."""
    if "asked" not in g:
        g.asked = read_paging(request), read_task_filter(request)
    found: tuple[Paging, TaskFilter] = g.asked
    return found


def reading_history(email: AccountKey, paging: Paging, found: TaskFilter) -> Callable[[], Page[TaskLine]]:
    tasks = deps.store().tasks
    place: dict[str, Any] = {
        "limit": paging.limit,
        "cursor": paging.cursor,
        "status": found.status,
        "since": found.since,
        "until": found.until,
        "oldest_first": found.oldest_first,
    }
    if not (found.q or found.tag):
        return partial(tasks.lines, email, **place)
    of_whole = partial(deps.store().labels.page, tag=found.tag) if found.tag else tasks.page

    def read() -> Page[TaskLine]:
        page = of_whole(email, search=found.q, **place)
        return Page([task.line for task in page.items], page.next_cursor)

    return partial(heavy.search, read) if found.is_search else read


def reading_ahead(email: AccountKey) -> Callable[[], Page[TaskLine]] | None:
    """A search may look at many rows: that is done for those alone whose session is alive. Raises Malformed."""
    paging, found = asked()
    return None if found.is_search else reading_history(email, paging, found)


@bp.get("/dashboard")
@login_required_while_reading(reading_ahead)
def show() -> ResponseReturnValue:
    form = blank_form(keep_draft=not is_fragment_request())  # a filtered history leaves the composer as it is
    again, begin_with = request.args.get("again"), example(request.args.get("example"))
    if again and not draft_of(place()).saved_at:
        form.show(deps.store().tasks.get(again, owner=g.account.email).brief)
    elif begin_with and not is_fragment_request() and not draft_of(place()).saved_at:  # what was typed is worth more
        form.show(begin_with.brief)
    try:
        return render(TEMPLATE, "history", **context(form), again=bool(again), place=place())
    except (RateLimited, PlacesTaken) as error:
        if is_fragment_request():  # the open page stays as it is, and says so
            raise
        return search_refused(form, error)


@bp.get("/dashboard/live")
@login_required_unless_unchanged(lambda account: str(account.version))
def live() -> ResponseReturnValue:
    """What the open page asks every few seconds while a task is open: half a read unit when nothing has changed."""
    try:
        found = context(blank_form(keep_draft=False))
    except (RateLimited, PlacesTaken):  # of the search that the page shows: the next poll asks again
        return make_response("", 304)
    oob = ["live", "balance", "notices", "price"]
    return render(TEMPLATE, "history", oob=oob, partials=[CHIP], **found)


def search_refused(form: TaskForm, error: RateLimited | PlacesTaken) -> Response:
    """The page without rows, with what was searched for still in its field."""
    response = render(TEMPLATE, **shown(form, Page(), *asked()), search_refused=error.message)
    response.status_code = status_of(error)
    response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


def composer(form: TaskForm, status: int, **more: Any) -> Response:
    """The form again, with what was typed and what is wrong with it."""
    form.request_id.data = form.request_id.data or new_idempotency_key()
    response = render(TEMPLATE, "composer", **composer_context(form), **more)
    response.status_code = status
    return response


def submitted(task: Task) -> Response:
    """An empty composer, the new row and the new balance; the history itself stays as it is."""
    partials = [CHIP, "dashboard/_new_task.html"]
    more = composer_context(blank_form(keep_draft=False))
    return render(
        TEMPLATE, "composer", oob=["balance", "live", "notices"], partials=partials, task=task, ptag="", **more
    )


def blank_form(*, keep_draft: bool = True) -> TaskForm:
    form = TaskForm(formdata=None, meta={"csrf": False})  # it is shown, not judged; the page itself names the token
    form.request_id.data = new_idempotency_key()
    if keep_draft:
        draft_of(place()).fill(form)
    return form


def place() -> str:
    """What the words of the composer are kept under: those of a task that is submitted again apart from all others."""
    again = request.args.get("again") if request.method == "GET" else None
    return plain("tasks.submit") if again is None else url_for("tasks.submit", again=again)


def composer_context(form: TaskForm) -> dict[str, Any]:
    """For a composer alone no history is read; the page behind a refused submit without JavaScript needs it."""
    if is_fragment_request():
        fixed = {"account": g.account, "task_cost": TASK_COST, "description_limit": MAX_DESCRIPTION}
        return fixed | {"form": form, "page": Page(), "filter": TaskFilter(), "cursor": ""}
    return context(form, filtered=False)


def context(form: TaskForm, *, filtered: bool = True) -> dict[str, Any]:
    """For the page that the address names; without `filtered` for the newest of all."""
    paging, found = asked() if filtered else (Paging(read_paging(request).limit, None), TaskFilter())
    reading = g.pop("reading").result if "reading" in g else reading_history(g.account.email, paging, found)
    return shown(form, reading(), paging, found)


def shown(form: TaskForm, page: Page[TaskLine], paging: Paging, found: TaskFilter) -> dict[str, Any]:
    now = utcnow()
    page = Page([task.as_of(now) for task in page.items], page.next_cursor)
    return {
        "account": g.account,
        "examples": EXAMPLES,
        "form": form,
        "page": page,
        "filter": found,
        "cursor": paging.cursor or "",
        "task_cost": TASK_COST,
        "description_limit": MAX_DESCRIPTION,
    }
