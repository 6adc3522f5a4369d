"""How soon an open page asks again whether anything has changed. It says since when it has been quiet; we say when.

A page counts from its last news and from the last thing that somebody did on it (app/static/follow.js), so nothing has
to be read or kept for this. What it says decides about nothing but how soon it asks itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

AGAIN = "X-Poll-Again"  # seconds, in an answer
TAG, QUIET = "HTTP_HX_PTAG", "HTTP_X_QUIET_SECONDS"  # in a page's poll
# Pages tick every 3, 4 or 5 seconds, and skip ticks until the pause is over.
QUICK = 3  # seconds
PACE = ((600, 12), (3600, 30))  # quiet for so many seconds: so long a pause
UNDER_LOAD = 4  # times longer
LONGEST = 60


def seconds_until_next(quiet_seconds: int, *, loaded: bool) -> int:
    """How long a page waits that has been quiet for so long. `loaded`: others wait for a work slot meanwhile."""
    seconds = QUICK
    for since, pause in PACE:
        if quiet_seconds >= since:
            seconds = pause
    return min(seconds * UNDER_LOAD, LONGEST) if loaded else seconds


def telling(start_response: StartResponse, environ: WSGIEnvironment, *, loaded: bool) -> StartResponse:
    """Begins an answer to a page's poll, whatever it is, with when to come again."""
    try:
        quiet = int(environ.get(QUIET, "0"))
    except ValueError:
        quiet = 0
    again = (AGAIN, str(seconds_until_next(quiet, loaded=loaded)))

    def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        return start_response(status, [*headers, again], *more)

    return start
