"""The panel's page of states: a button for each that a test can make, which answers with who to sign in as."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, jsonify, render_template, request
from flask.typing import ResponseReturnValue

from scripts.local.control_call import control
from scripts.local.mailbox import sent_mails
from scripts.local.states.made import CannotMake, Made

from .options import Options
from .refusals import ApiError

if TYPE_CHECKING:
    from scripts.local.states.makers import States


class Maker:
    """Makes states in the run whose settings this process has. The first who asks waits until the app is loaded."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._states: States | None = None
        self._one_at_a_time = threading.Lock()

    def make(self, name: str, given: Mapping[str, Any]) -> Made:
        """Raises CannotMake with a sentence."""
        from app.domain.errors import DomainError
        from scripts.local.states.catalogue import STATES

        if name not in STATES:
            abort(404)
        try:
            return STATES[name].make(self._opened(), given)
        except DomainError as error:
            raise CannotMake(error.message) from error

    def leave(self, email: str) -> None:
        self._opened().leave(email)

    def _opened(self) -> States:
        from scripts.local.states.here import states_of

        with self._one_at_a_time:
            if self._states is None:
                self._states = states_of(os.environ, lambda path, body: control(self._options.url, path, body))
            return self._states


def create_states(options: Options) -> Blueprint:
    blueprint = Blueprint("states", __name__)
    maker = Maker(options)

    @blueprint.errorhandler(CannotMake)
    def refuse(error: CannotMake) -> ResponseReturnValue:
        if request.path.startswith("/_control/"):
            return jsonify(ApiError(str(error)).body()), 400
        return _page(problem=str(error)), 400

    @blueprint.get("/states")
    def show() -> str:
        return _page()

    @blueprint.post("/states/<name>")
    def press(name: str) -> str:
        return _page(name, maker.make(name, _typed()))

    @blueprint.post("/_control/states/<name>")
    def make(name: str) -> Response:
        return jsonify(maker.make(name, _body()).as_json())

    @blueprint.post("/_control/leave")
    def leave() -> Response:
        maker.leave(str(_body().get("email")))
        return jsonify(left=True)

    @blueprint.get("/_control/mails")
    def mails() -> Response:
        """What was sent to an address, oldest first."""
        to, port = request.args.get("to", ""), urlsplit(os.environ["SES_ENDPOINT_URL"]).port or 80
        found = [mail for mail in reversed(sent_mails(port)) if mail.recipients == to]
        return jsonify(mails=[{"subject": mail.subject, "text": mail.text, "html": mail.html} for mail in found])

    return blueprint


def _body() -> dict[str, Any]:
    body = request.get_json(silent=True)
    return body if isinstance(body, dict) else {}


def _typed() -> dict[str, Any]:
    """What a person typed; a field that was left empty is one that was not given."""
    return {name: _number(name, text) for name, text in request.form.items() if text.strip()}


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise CannotMake(f"{name} must be a number.") from None


def _page(name: str = "", made: Made | None = None, problem: str = "") -> str:
    from scripts.local.states.catalogue import STATES

    app_url = os.environ.get("APP_URL", "")
    return render_template(
        "states.html", states=STATES.values(), chosen=STATES.get(name), made=made, problem=problem, app_url=app_url
    )
