"""What `updates` asks: the list of tasks by their last change, read on and on, each change told once."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from .calls import PAGE, SILENCE_SECONDS, WAIT_SECONDS, Answer, Call, Pace, Steps
from .errors import ApiError, NoAnswer, RateLimited, Unavailable, Unusable
from .models import Task, tasks_of

log = logging.getLogger("impacteragi")

OVERLAP = timedelta(seconds=120)
"""How late a change may come to the list, behind others that are dated after it: so far each look goes back."""


class Following:
    """How far the list has been read, and what is known of its end.

    It is read to its end page by page; then the server holds its answer about the last page (`?wait=`). Whatever comes,
    it is read again from OVERLAP before the newest change that is known.
    """

    def __init__(self, since: datetime | None) -> None:
        if since is not None and since.tzinfo is None:
            raise Unusable("since has no time zone: give it one, such as datetime.now(UTC).")
        self._since = since
        self._told: dict[str, datetime] = {}  # when each task changed that was told of, as far back as is still read
        self._newest: datetime | None = None
        self._begun: datetime | None = None  # while what was there before it is read, of which nobody asked
        self._cursor: str | None = None
        self._etag: str | None = None  # of the last page, once it is read
        self._pace = Pace()
        self._heard = time.monotonic()

    def look(self) -> Steps[list[Task]]:
        """One call: tasks that have changed and were not told yet. There may be none; then look again."""
        if self._since is None:
            answer = yield Call("GET", "/api/tasks", params={"limit": "1"})
            self._begun = _date_of(answer)
            self._since = self._begun - OVERLAP
        try:
            return (yield from self._read(self._since))
        except (NoAnswer, RateLimited, Unavailable) as error:
            if time.monotonic() - self._heard > SILENCE_SECONDS:
                raise
            log.warning("Still following, though the server does not answer: %s", error)
        except ApiError as error:
            if error.code != "bad_cursor" or self._cursor is None:
                raise
            self._begin()  # the server reads cursors another way since an update
        yield self._pace.pause(None)
        return []

    def _read(self, since: datetime) -> Steps[list[Task]]:
        waits = self._etag is not None
        params = {"updated_since": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "limit": str(PAGE)}
        params |= {"cursor": self._cursor} if self._cursor else {}
        params |= {"wait": str(WAIT_SECONDS)} if waits else {}
        patience = WAIT_SECONDS if waits else 0
        answer = yield Call("GET", "/api/tasks", params=params, etag=self._etag, patience=patience)
        self._heard = time.monotonic()
        found = [] if answer.is_unchanged else [task for task in tasks_of(answer.body) if self._is_news(task)]
        following = None if answer.is_unchanged else answer.body.get("next_cursor")
        if isinstance(following, str) and following:
            self._cursor, self._etag = following, None
        elif waits:
            self._begin()
        else:
            self._etag, self._begun = answer.headers.get("ETag", ""), None
        if found:
            self._pace.calm()
        elif waits:
            yield self._pace.pause(None)
        return found

    def _is_news(self, task: Task) -> bool:
        at = task.updated_at
        if at is None or self._told.get(task.task_id) == at:
            return at is None
        self._told[task.task_id] = at
        self._newest = max(at, self._newest or at)
        return self._begun is None or at >= self._begun

    def _begin(self) -> None:
        """Read again from before the newest change: what has come late stands there."""
        self._cursor = self._etag = None
        if self._newest and self._since:
            self._since = since = max(self._since, self._newest - OVERLAP)
            self._told = {task_id: at for task_id, at in self._told.items() if at >= since}


def _date_of(answer: Answer) -> datetime:
    """The server's time; ours where it tells none."""
    try:
        return parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime.now(UTC)
