"""What programmers read: the OpenAPI document of the JSON API, and the page that explains it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Annotated, Literal

from flask import Blueprint, current_app, jsonify, render_template
from flask.typing import ResponseReturnValue
from msgspec import field

from app.domain.credits import SUBMITS_A_MINUTE
from app.domain.tasks import OVERLAP_SECONDS, TASK_COST
from app.services import throttle
from app.web import deps, manual
from app.web.call import Query, call, told
from app.web.guards import public, signed_in_account_or_none
from app.web.openapi import VERSION, document
from app.web.waiters import PLACES_OF_ONE

bp = Blueprint("documents", __name__)


class WhoseDocument(Query):
    """A client that is generated from the part for customers is a third smaller."""

    whose: Annotated[Literal["everybody", "customers"], told("Whose calls.")] = field(default="everybody", name="for")


LIMITS = (  # what, by the names that headers and calls have for it, and how much
    ("Tasks submitted", ("submit",), f"{SUBMITS_A_MINUTE} per 1 minute for an account"),
    ("Searches", ("search",), f"{throttle.SEARCH_BY_ACCOUNT} for an account"),
    ("Files", ("file",), f"{throttle.FILE_BY_ACCOUNT} for an account: statements, CSV and PDF, those of pages too"),
    ("Exports", ("export",), f"{throttle.EXPORT_BY_ACCOUNT} for an account"),
    ("Cancels", ("cancel", "cancel-day"), f"{throttle.CANCEL_BY_ACCOUNT} and {throttle.CANCEL_BY_DAY} for an account"),
    ("Waits", ("wait",), f"{PLACES_OF_ONE} at one time for an account, in each of our processes"),
    ("Payment pages", ("checkout",), f"{throttle.CHECKOUT_BY_ACCOUNT} for an account"),
    ("Codes", ("redeem",), f"{throttle.REDEEM_BY_ACCOUNT} for an account"),
    ("Keys", ("keys",), f"{throttle.KEYS_BY_ACCOUNT} for an account"),
    ("Webhooks", ("webhooks",), f"{throttle.KEYS_BY_ACCOUNT} made, moved or tested for an account"),
    (
        "Sign-ins",
        ("sign-in",),
        f"{throttle.SIGN_IN_BY_ACCOUNT} that fail for an account, {throttle.SIGN_IN_BY_ADDRESS} for an address",
    ),
    ("Password again", ("password-again",), f"{throttle.SIGN_IN_BY_DEVICE} that fail for a session"),
    ("Sign-ups", ("sign-up",), "by the hour for an address, as the header says"),
    ("A body", (), "64 KiB, unless the call says otherwise"),
)
CHANGES = (
    (
        "2026-12-01",
        "API keys with scopes. A task can be waited for. Unknown fields and parameters are refused by their name; "
        "before, they were ignored. A request is told everything that is wrong with it. Answers say how it stands with "
        "the limits that have counted their request. The ledger as a CSV file, and one's own data. "
        "Tasks are listed by their last change. An open task tells its place in the queue.",
    ),
    ("2026-11-25", "Customers are called by the id of their account: calls by an e-mail address are deprecated."),
)
SHELL = """\
KEY='imp_live_…'

curl {app_url}/api/tasks \\
  -H "Authorization: Bearer $KEY" \\
  -H 'Idempotency-Key: report-2026-11' \\
  -H 'Content-Type: application/json' \\
  -d '{{"description": "Summarise the report"}}'

curl {app_url}/api/tasks -H "Authorization: Bearer $KEY"
"""
PYTHON = '''\
import json
from urllib.request import Request, urlopen

KEY = "imp_live_…"


def call(path, body=None, **headers):
    """The answer of a call. Raises HTTPError, whose text says what was wrong."""
    data = json.dumps(body).encode() if body is not None else None
    headers |= {{"Authorization": f"Bearer {{KEY}}", "Content-Type": "application/json"}}
    with urlopen(Request("{app_url}/api" + path, data, headers)) as answer:
        return json.load(answer)


task = call("/tasks", {{"description": "Summarise the report"}}, **{{"Idempotency-Key": "report-2026-11"}})
print(task["task_id"], "costs", task["credits_spent"], "credits;", task["credits_remaining"], "are left")
print(call(f"/tasks/{{task['task_id']}}")["status"])
'''


@bp.get("/api/openapi.json")
@public
@call("openapi", "This document", tag="machinery", answers={200: {}})
def openapi(query: WhoseDocument) -> ResponseReturnValue:
    without = ("operators", "machinery") if query.whose == "customers" else ()
    response = jsonify(document(current_app, deps.config().app_url, without=without))
    response.headers["Cache-Control"] = "public, max-age=3600"
    return response


@bp.get("/docs")
@public
def docs() -> ResponseReturnValue:
    app_url = deps.config().app_url
    return render_template(
        "docs/show.html",
        account=signed_in_account_or_none(),
        version=VERSION,
        chapters=manual.chapters(current_app, app_url),
        refusals=manual.refusals(current_app),
        limits=LIMITS,
        changes=CHANGES,
        overlap=OVERLAP_SECONDS,
        cost=TASK_COST,
        in_front=manual.IN_FRONT,
        events=manual.EVENTS,
        receiver=manual.RECEIVER,
        standard="https://www.standardwebhooks.com",
        quick=SimpleNamespace(curl=SHELL.format(app_url=app_url), python=PYTHON.format(app_url=app_url)),
    )
