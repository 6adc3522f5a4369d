"""`?wait=`: a call of the API that is answered once something has changed, or its time is over.

A view says what its answer hangs on (`until_task_moves`, `until_tasks_change`); whether it waits is seen once the
answer is there. With If-None-Match it waits for as long as that answer would be a 304, without it for as long as the
view says. Where no server of ours holds requests (the test client, `flask run`), every call is answered at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

from flask import Flask, Response, current_app, g, request
from msgspec import Meta

from app.domain.clock import to_iso
from app.domain.errors import DomainError, Malformed
from app.web import rate_limits
from app.web.call import Query, readable
from app.web.looking import only_looking
from app.web.waiters import KEY, Interest

if TYPE_CHECKING:
    from app.data import Store
    from app.domain.accounts import AccountKey
    from app.domain.tasks import Changes, Task

MOST = 60
LONGEST = 45  # seconds: what stands in front of us lets no answer take longer than 55


def as_wait(text: str) -> int:
    """Seconds that a request may wait. Raises Malformed."""
    if not (re.fullmatch("[0-9]{1,2}", text) and int(text) <= MOST):
        raise Malformed(f"wait must be a whole number of seconds from 0 to {MOST}.")
    return min(int(text), LONGEST)


def seconds_to_wait(otherwise: str) -> Meta:
    """The parameter. `otherwise`: what a request waits for that has no answer to compare with."""
    return readable(
        as_wait,
        description="Seconds to wait for an answer that is news: with If-None-Match for one that differs, otherwise "
        f"{otherwise}. Answered after at most {LONGEST}.",
        minimum=0,
        maximum=MOST,
    )


class Waited(Query):
    wait: Annotated[int, seconds_to_wait("for the end of the task")] = 0


def until_task_moves(store: Store, task: Task, seconds: int, now: datetime) -> None:
    """Let this request wait, if it asks to, while the task stays as it is: `task` is its row, as it was just read."""
    lease_ends = task.lease_until if task.as_of(now) is task and task.is_open else None
    _wait(
        Interest(
            str(task.user_email),
            store.tasks.versions,
            task.task_id,
            lambda version: version != task.version,
            max((lease_ends - now).total_seconds(), 0) + 0.001 if lease_ends else None,  # it is pending again then
        ),
        seconds,
        lambda: task.is_open,
    )


def until_tasks_change(store: Store, email: AccountKey, since: datetime, page: Changes, more: bool, wait: int) -> None:
    """Let this request wait up to `wait` seconds, if it asks to, while a list of changes from `since` on has none that
    is not on `page`, as it was just read: its last page. One that has a next is answered at once. `more`: a page came
    before.
    """
    if page.next_cursor:
        return
    seen = frozenset(page.seen)
    begins = page.seen[0] if more and seen else (to_iso(since), "")

    def is_news(newest: Iterable[tuple[str, str]]) -> bool:
        return any(change >= begins and change not in seen for change in newest)

    _wait(Interest(str(email), store.tasks.newest_changes, str(email), is_news), wait, lambda: not page.items)


def _wait(interest: Interest, seconds: int, is_old: Callable[[], bool]) -> None:
    if seconds and not only_looking():
        g.wait = (interest, seconds, is_old)


def register(app: Flask) -> None:
    """Call before the answers get their names (etags.py): what ran later is asked first."""

    @app.after_request
    def wait_instead(response: Response) -> Response:
        """An answer that is no news is dropped, and the server asks again later."""
        interest, seconds, is_old = g.pop("wait", (None, 0, None))
        asked = request.environ.get(KEY)
        if interest is None or asked is None:
            return response
        if response.status_code == 304 or (response.status_code == 200 and not request.if_none_match and is_old()):
            try:
                g.waits = asked.wait(interest, seconds)
            except DomainError as error:
                return current_app.make_response(current_app.handle_user_exception(error))
            if g.waits:
                return Response(status=304)
        rate_limits.tell(asked.standing(interest.account))
        return response
