"""Forms whose words are kept as they are typed: where they stand, what they start with, and when that is over."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

from flask import Flask, Response, current_app, g, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from app.domain.clock import utcnow
from app.domain.drafts import Fields
from app.domain.errors import DomainError, Forbidden, Malformed
from app.domain.typed_drafts import Mark
from app.services import typed_drafts
from app.web import deps
from app.web.addresses import plain
from app.web.typed import LABELS, OURS, went_through

FIELD = "draft"  # of a form: its mark
PAGES = {  # the views that take such forms, and the page that each form stands on
    "tasks.submit": "dashboard.show",
    "tasks.submit_batch": "tasks.batch",
    "tasks.redo": "tasks.show",
    "admin.complete": "admin.task",
    "admin.reject": "admin.task",
    "admin.bulk": "admin.index",
    "admin.adjust": "admin.customer",
    "admin.disable": "admin.customer",
    "admin.enable": "admin.customer",
    "admin.revoke_key": "admin.customer",
    "admin_finance.credit": "admin_finance.payment",
    "admin_finance.refund": "admin_finance.payment",
    "admin_finance.dismiss": "admin_finance.payment",
    "admin_finance.name_sale": "admin_finance.sale",
    "admin_finance.never_sale": "admin_finance.sale",
    "admin_finance.undo_sale": "admin_finance.sale",
    "admin_finance.list_codes": "admin_finance.list_codes",
    "admin_finance.disable_code": "admin_finance.list_codes",
}
NOT_KEPT = OURS | {FIELD, "number", "confirmed", "act"}


@dataclass(frozen=True, slots=True)
class Given:
    """What a form starts with. `unsaved`: it comes back with words that may not have been kept yet."""

    mark: Mark
    saved_at: datetime | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    unsaved: bool = False

    def of(self, name: str) -> str:
        """The text of a field, empty where none is kept."""
        return self.values.get(name, "")

    def fill(self, form: Any) -> None:
        """Into the fields of a form that is blank."""
        for name in form.data.keys() & self.values.keys() - NOT_KEPT:
            form[name].data = self.values[name]


def draft_of(place: str, *, fresh: bool = False) -> Given:
    """For the form that is sent to `place`: what its author has typed into it before. One read of the store.

    None of that for one that comes back after it was sent: it holds its words already. `fresh`: for a form that is new
    because the last one has gone through.
    """
    sent = _mark_sent()
    if fresh:
        return Given(Mark(place))
    if sent and sent.path == Mark(place).path:
        return Given(sent, unsaved=True)
    look_up([place])
    found: Given = g.drafts[place]
    if place == plain("tasks.submit") and not found.saved_at and g.account.draft:  # kept by an earlier release
        return Given(found.mark, values={"description": g.account.draft})
    return found


def look_up(places: Iterable[str]) -> None:
    """In one read what `draft_of` is going to say of several forms on one page."""
    given: dict[str, Given] = g.setdefault("drafts", {})
    wanted = [place for place in places if place not in given]
    if not wanted:
        return
    found = typed_drafts.find_many(deps.store(), g.account, wanted, now=utcnow())
    for place, draft in zip(wanted, found, strict=True):
        fields = dict(draft.unpacked().fields) if draft else {}
        given[place] = Given(draft.mark, draft.saved_at, fields) if draft else Given(Mark(place))


def sent_mark() -> Mark:
    """Of the form that this request sent. Raises Malformed, Forbidden for a form that is not of this account."""
    mark = Mark.read(request.form.get(FIELD, ""))
    endpoint, _ = _view_of(mark)
    if getattr(current_app.view_functions[endpoint], "access", "") == "operator" and not g.account.is_operator:
        raise Forbidden
    return mark


def new_mark(place: str) -> Mark:
    """For a form of that place that a browser sends to be kept, without a page that has a name."""
    sent = _mark_sent()
    goes_on = sent if sent and sent.path == place else Mark(place)
    return Mark(goes_on.place, (secrets.token_hex(6), *goes_on.pages))


def sent_words() -> Fields:
    """What is to be kept of the form that this request sent: nothing once nobody's words are left in it."""
    fields = tuple((name, value) for name, value in request.form.items(multi=True) if name not in NOT_KEPT)
    return fields if any(value.strip() for name, value in fields if name in LABELS) else ()


def page_of(mark: Mark) -> str:
    """The address of the page that a form stands on."""
    endpoint, parts = _view_of(mark)
    return url_for(PAGES[endpoint], **dict(parse_qsl(mark.place.partition("?")[2])) | parts)


def _view_of(mark: Mark) -> tuple[str, dict[str, Any]]:
    """The view that a form is sent to, and the parts of its address. Raises Malformed for any other address."""
    try:
        endpoint, parts = current_app.url_map.bind("").match(mark.path, "POST")
    except (HTTPException, RequestRedirect):
        endpoint, parts = "", {}
    if endpoint not in PAGES:
        raise Malformed("That names no form.")
    return endpoint, dict(parts)


def _mark_sent() -> Mark | None:
    with suppress(Malformed):
        return Mark.read(request.form.get(FIELD, "")) if request.method == "POST" else None
    return None


def register(app: Flask) -> None:
    app.jinja_env.globals["draft_of"] = draft_of
    app.after_request(let_go_of_what_was_sent)


def let_go_of_what_was_sent(response: Response) -> Response:
    """A form that went through is no draft any more."""
    mark = _mark_sent() if request.endpoint in PAGES and went_through(response) else None
    if mark and mark.path == request.path and g.get("account"):
        with suppress(DomainError):  # it is given back once more, and going out under its key it is done once
            typed_drafts.finish(deps.store(), g.account, mark, now=utcnow())
    return response
