"""Our own public address, asked as a visitor would: over whatever stands between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.domain.doctor import CannotTell

TIMEOUT_SECONDS = 10.0  # for a whole answer
MOST_BYTES = 100_000


class Unreachable(Exception):
    """Nobody answers at the address; the message says how it failed."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # whatever the case of a name
    cookies: tuple[str, ...]  # each Set-Cookie, whole
    body: bytes


class OwnAddress:
    def __init__(self, app_url: str) -> None:
        self._app_url = app_url

    def ask(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """One GET that follows no redirect. Raises Unreachable, and CannotTell where the time runs out."""
        import requests  # where it is used: a doctor alone asks

        from .bounded import bounded_session

        with bounded_session() as session:
            try:
                answer = session.get(
                    self._app_url + path,
                    headers={"User-Agent": "impacteragi-doctor", **(headers or {})},
                    timeout=TIMEOUT_SECONDS,
                    allow_redirects=False,
                    stream=True,
                )
                body = next(answer.iter_content(MOST_BYTES), b"")
            except requests.Timeout as error:
                raise CannotTell(f"{self._app_url} did not answer within {TIMEOUT_SECONDS:g} s") from error
            except requests.exceptions.SSLError as error:
                raise Unreachable("its certificate is not right") from error
            except (requests.RequestException, OSError, ValueError) as error:
                raise Unreachable(f"nobody answers ({type(error).__name__})") from error
            cookies = tuple(answer.raw.headers.getlist("Set-Cookie"))
            return Answer(answer.status_code, answer.headers, cookies, body)
