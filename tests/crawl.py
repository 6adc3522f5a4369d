"""Following every link of the pages, as a person who clicks on everything would."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from bs4 import BeautifulSoup
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map
from werkzeug.routing.exceptions import RequestRedirect


class Answer(NamedTuple):
    status: int
    location: str
    html: str  # empty for what is no page


@dataclass
class Crawl:
    """What was found: the answer of each address, and the route that each link and form leads to."""

    answers: dict[str, Answer] = field(default_factory=dict)
    endpoints: set[tuple[str, str]] = field(default_factory=set)  # method, endpoint
    lost: list[str] = field(default_factory=list)  # links and forms that lead to no route

    def paths(self) -> set[str]:
        return {urlsplit(address).path for address in self.answers}


def crawl(get: Callable[[str], Answer], routes: Map, start: Iterable[str], *, pages: int = 150) -> Crawl:
    """GET what the pages link to, from `start` on, each address once. Forms are looked at, not sent."""
    found, waiting = Crawl(), list(start)
    known = set(waiting)
    adapter = routes.bind("localhost")
    while waiting and len(found.answers) < pages:
        address = waiting.pop(0)
        _note(found, adapter, "GET", address)
        answer = found.answers[address] = get(address)
        if not answer.html:
            continue
        soup = BeautifulSoup(answer.html, "html.parser")  # the strict parser's place is tests/routes/test_html.py
        for form in soup.select("form:not([method=dialog])"):
            _note(found, adapter, str(form.get("method", "get")).upper(), urljoin(address, str(form.get("action", ""))))
        for button in soup.select("button[formaction]"):
            method = str(button.get("formmethod", "post")).upper()
            _note(found, adapter, method, urljoin(address, str(button["formaction"])))
        for element in soup.select("a[href], [data-hx-get]"):
            target = urljoin(address, str(element.get("href") or element.get("data-hx-get"))).partition("#")[0]
            if target.startswith("/") and target not in known:
                known.add(target)
                waiting.append(target)
    return found


def _note(found: Crawl, adapter: Any, method: str, address: str) -> None:
    from urllib.parse import unquote

    try:
        endpoint, _ = adapter.match(unquote(urlsplit(address).path), method)
        found.endpoints.add((method, endpoint))
    except (RequestRedirect, HTTPException):
        found.lost.append(f"{method} {address}")
