"""What a person typed into a form that did not go through: read from the request, to be shown and sent again.

A secret is never read: the forms that open an account hand back the address alone, those that hold another secret
nothing. Files cannot be handed back: they are chosen again.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass

from flask import Flask, Request, Response, current_app, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from app.domain.clock import utcnow
from app.domain.drafts import Fields, draft_key
from app.domain.errors import DomainError, InvalidInput
from app.forms.base import labels_of
from app.forms.tasks import MAX_TABLE_BYTES, TaskForm, check_batch, read_batch
from app.services import drafts
from app.web import deps
from app.web.fragments import is_fragment_request

OF_A_TASK = labels_of(TaskForm)
LABELS = {  # of the fields that are typed; whatever else a form holds goes along unseen
    **{name: label for name, (label, _) in OF_A_TASK.items()},
    "lines": "Tasks, one on each line",
    "note": "Note",
    "result": "Result",
    "reason": "Reason",
    "amount": "Credits",
    "credits": "Credits",
    "code": "Code",
    "email": "E-mail",
    "new_email": "New e-mail address",
    "max_uses": "How often",
    "expires_at": "Until",
    "low_balance_threshold": "Alert threshold",
    "name": "Name",
    "url": "Address",
    "credits_a_month": "Credits a month",
}
LONG = frozenset({"lines", "note", "result", "reason", *(name for name, (_, long) in OF_A_TASK.items() if long)})
OURS = frozenset({"csrf_token", "opened_by", "unsent"})  # made anew for each page
SECRET_FORMS = frozenset({"second_factor"})
OPEN_TO_ALL = {  # forms of who is not signed in: what is handed back of them, and the password that they take besides
    "auth.login": ("email", "next"),
    "auth.signup": ("email",),
    "auth.forgot": ("email",),
}
BESIDE_A_PASSWORD = {  # of who is signed in
    "account.change_email": ("new_email",),
    "keys.make": ("name", "may", "credits_a_month", "days"),
    **dict.fromkeys(("webhooks.make", "webhooks.change"), ("url", "name", "types")),
}
SHOWN_ONCE = frozenset({"keys.make", "webhooks.make"})  # these end in a page with a secret, not in another address
PASSWORDS = {
    "auth.login": "current-password",
    "auth.signup": "new-password",
    **dict.fromkeys(BESIDE_A_PASSWORD, "current-password"),
}
FILE_FIELDS = {"admin.complete": "files", "tasks.submit_batch": "table"}


@dataclass(frozen=True, slots=True)
class Typed:
    """A form as it was sent. `file_field` names the field of files that it also takes, `password` says which kind of
    password has to be typed again, and `open_to_all` that it needs nobody signed in.
    """

    place: str
    fields: Fields
    file_field: str = ""
    had_files: bool = False
    password: str = ""
    open_to_all: bool = False

    @property
    def key(self) -> str:
        return draft_key(self.place)

    @property
    def has_key(self) -> bool:
        """Whether it can be charged once at most, however often it is sent."""
        return any(name == "request_id" and value for name, value in self.fields)

    @property
    def shown(self) -> list[tuple[str, str, str, bool]]:
        """Label, name, value, and whether it takes a text area."""
        return [(LABELS[name], name, value, name in LONG) for name, value in self.fields if name in LABELS]

    @property
    def hidden(self) -> list[tuple[str, str]]:
        return [(name, value) for name, value in self.fields if name not in LABELS]

    def carried(self) -> str:
        """For a field of a page that is sent back: see `uncarried`."""
        return json.dumps([self.place, self.fields], ensure_ascii=False)


def typed_in(request: Request) -> Typed | None:
    """What this request's form holds of a person's words; None when it holds none, or is no form of a page."""
    if request.method != "POST" or request.path.startswith("/api/") or not request.endpoint:
        return None
    if request.blueprint == "drafts" or request.headers.get("Sec-Fetch-Site") == "cross-site":
        return None  # an open page has it still; nobody typed that here
    try:
        if request.endpoint == "auth.login" and (carried := uncarried(request.form.get("carried", ""))):
            return carried  # what goes along with a sign-in
        fields = tuple((name, value) for name, value in request.form.items(multi=True) if name not in OURS)
        had_files = any(upload.filename for upload in request.files.values())
        if request.endpoint == "tasks.submit_batch" and had_files:
            fields, had_files = _with_tasks_of_file(request, fields)
    except HTTPException:  # too large, or broken off
        return None
    return _typed(request.path, request.endpoint, fields, had_files)


def typed_at(place: str, fields: Fields) -> Typed | None:
    """The same of a form that was kept; None for a place that takes none, or none any more."""
    try:
        endpoint, _ = current_app.url_map.bind("").match(place, "POST")
    except (HTTPException, RequestRedirect):
        return None
    return None if endpoint in OPEN_TO_ALL else _typed(place, endpoint, fields, had_files=False)


def uncarried(text: str) -> Typed | None:
    """What `carried` made, from the page that it was in. Anybody may have written it."""
    try:
        place, fields = json.loads(text)
        pairs = tuple((name, value) for name, value in fields)
    except (ValueError, TypeError, RecursionError):
        return None
    if not isinstance(place, str) or not all(isinstance(part, str) for pair in pairs for part in pair):
        return None
    return typed_at(place, pairs)


def _with_tasks_of_file(request: Request, fields: Fields) -> tuple[Fields, bool]:
    """The tasks that a file holds in place of the file, and whether that still has to be chosen again."""
    upload = request.files["table"]
    upload.stream.seek(0)
    try:
        found = read_batch("", upload.stream.read(MAX_TABLE_BYTES))
        texts = check_batch(list(found.fuller if found.left_out else found))
    except InvalidInput:
        return fields, True
    others = tuple((name, value) for name, value in fields if name != "lines")
    return others + tuple(("description", text) for text in texts), False


def _typed(place: str, endpoint: str, fields: Fields, had_files: bool) -> Typed | None:
    known = OPEN_TO_ALL.get(endpoint) or BESIDE_A_PASSWORD.get(endpoint)
    if known:
        fields = tuple((name, value) for name, value in fields if name in known)
    secret = endpoint.partition(".")[0] in SECRET_FORMS or any("password" in name for name, _ in fields)
    if secret or not any(value.strip() for name, value in fields if name in LABELS):
        return None
    files, password = FILE_FIELDS.get(endpoint, ""), PASSWORDS.get(endpoint, "")
    return Typed(place, fields, files, had_files, password, open_to_all=endpoint in OPEN_TO_ALL)


def register(app: Flask) -> None:
    app.after_request(forget_what_was_sent)


def went_through(response: Response) -> bool:
    """Whether the form of this request has done what it is for: a page in answer to it is a preview of that, but for a
    secret that is shown once.
    """
    shown = is_fragment_request() or request.endpoint in SHOWN_ONCE
    return request.method == "POST" and (response.status_code == 303 or (response.status_code == 200 and shown))


def forget_what_was_sent(response: Response) -> Response:
    """A form that went through is no longer kept: see services/drafts.py."""
    account = g.get("account")
    if account and account.unsent and went_through(response):
        with suppress(DomainError):  # it stays on the list, and going out under its key it is done once all the same
            sent = tuple(request.form.items(multi=True))
            drafts.drop_sent(deps.store(), account, request.path, sent, now=utcnow())
    return response
