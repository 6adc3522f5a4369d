"""Cloudflare's API, version 4, for one zone: what is set there, and setting it (https://developers.cloudflare.com/api/)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from time import sleep
from typing import TYPE_CHECKING, Any

from app.domain.doctor import CannotTell

if TYPE_CHECKING:
    import requests

API = "https://api.cloudflare.com/client/v4"
TIMEOUT_SECONDS = 20.0  # for a whole answer
TRIES = 4
PAUSE_SECONDS = 1.0  # before the second try; doubled each time
LONGEST_WAIT_SECONDS = 330  # of a Retry-After: the API's limit is 1,200 calls in five minutes
ZONE_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)


class TokenRefused(Exception):
    """Cloudflare does not take the token at all."""


class RightMissing(Exception):
    """The token is known and may not do this; the message says what."""


class Refused(Exception):
    """Cloudflare takes the call and says no, in its own words: the plan, say, or a wrong value."""


class NotThere(Refused):
    """Nothing stands at this address."""


class Cloudflare:
    """Each call raises TokenRefused, RightMissing, Refused, and CannotTell where no answer is to be had.

    Every one may be repeated: it sets what it names, and adds nothing. `say` is told, in words, of each pause. Without
    patience each call has one try.
    """

    def __init__(
        self,
        token: str,
        zone: str,
        *,
        api: str = API,
        patient: bool = True,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._token = token
        self._zone = zone
        self._api = api
        self._tries = TRIES if patient else 1
        self._say = say
        self._zone_id = zone if ZONE_ID.fullmatch(zone) else ""

    def plan(self) -> str:
        """`free`, `pro`, `business` or `enterprise`."""
        return str(self._ask("GET", f"/zones/{self._id()}").get("plan", {}).get("legacy_id", ""))

    def get(self, path: str) -> Any:
        """What stands at a path under the zone. Raises NotThere, too."""
        return self._ask("GET", f"/zones/{self._id()}{path}")

    def set(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        self._ask(method, f"/zones/{self._id()}{path}", body)

    def _id(self) -> str:
        if not self._zone_id:
            found = self._ask("GET", f"/zones?name={self._zone}")
            if not found:
                raise NotThere(f"no zone {self._zone} that this token may see")
            self._zone_id = str(found[0]["id"])
        return self._zone_id

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        for left in reversed(range(self._tries)):
            answer = self._send(method, path, body, last=not left)
            if answer is None:
                continue
            told = _told(answer)
            if answer.status_code == 429 and left:
                self._pause(_seconds(answer), "Cloudflare asks to wait")
            elif answer.status_code >= 500 and left:
                self._pause(PAUSE_SECONDS * 2 ** (self._tries - left - 1), f"Cloudflare answers {answer.status_code}")
            else:
                return _result(answer.status_code, told, f"{method} {path}")
        raise CannotTell("Cloudflare's API does not answer")  # not reached: the last try raises or returns

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None, *, last: bool) -> requests.Response | None:
        import requests  # where it is used: a command and a doctor alone ask

        from .bounded import bounded_session

        try:
            with bounded_session() as session:
                return session.request(
                    method,
                    self._api + path,
                    json=body,
                    headers={"Authorization": f"Bearer {self._token}", "User-Agent": "impacteragi-edge"},
                    timeout=TIMEOUT_SECONDS,
                    allow_redirects=False,
                )
        except (requests.RequestException, OSError, ValueError) as error:
            if last:
                raise CannotTell(f"Cloudflare's API does not answer ({type(error).__name__})") from error
            self._pause(PAUSE_SECONDS, f"Cloudflare's API does not answer ({type(error).__name__})")
            return None

    def _pause(self, seconds: float, why: str) -> None:
        self._say(f"{why}: going on in {seconds:g} s.")
        sleep(seconds)


def _told(answer: requests.Response) -> dict[str, Any]:
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _result(status: int, told: dict[str, Any], asked: str) -> Any:
    """Never with the token, which no message of Cloudflare's quotes."""
    if 200 <= status < 300 and told.get("success"):
        return told.get("result")
    words = "; ".join(f"{each.get('message', '')} ({each.get('code', '?')})" for each in told.get("errors") or [])
    said = f"{asked}: {words or f'status {status}'}"
    codes = {each.get("code") for each in told.get("errors") or []}
    if status == 401 or codes & {6003, 6111, 1000}:  # a header that is no token, or a token that is unknown
        raise TokenRefused(said)
    if status == 403:
        raise RightMissing(said)
    if status == 404 or "Undefined zone setting" in words:
        raise NotThere(said)
    if status == 429:
        raise CannotTell("Cloudflare's API takes no more calls for now (429)")
    if 400 <= status < 500:
        raise Refused(said)
    raise CannotTell(f"Cloudflare's API does not answer ({status})")


def _seconds(answer: requests.Response) -> float:
    text = answer.headers.get("Retry-After", "")
    seconds = int(text) if text.isascii() and text.isdigit() else 30
    if seconds > LONGEST_WAIT_SECONDS:
        raise CannotTell(f"Cloudflare's API takes no more calls for {seconds} s")
    return max(seconds, 1)
