"""Every component in each state, light beside dark, by the macros that the pages use. For whoever builds: not served in
production.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue
from markupsafe import Markup
from werkzeug.datastructures import MultiDict

from app.domain.accounts import Account, AccountKey
from app.domain.clock import utcnow
from app.domain.errors import NotFound
from app.domain.ledger_figures import LedgerFigures, Month
from app.domain.tasks import CANCELLED, COMPLETED, IN_PROGRESS, PENDING, REJECTED, Task, new_task
from app.forms.auth import SignupForm
from app.forms.tasks import TaskForm
from app.services.figures import Day
from app.web import deps
from app.web.fragments import Parts
from app.web.guards import public
from app.web.typed import Typed

THEMES = ("light", "dark")
REFERS = re.compile(r'(\b(?:id|for|form|aria-\w+by|data-reveal|data-counter)="|\bhref="#)([^"]+)')
LANDMARK = re.compile(r'(<(?:section|nav)\b[^>]*?) aria-label(?:ledby)?="([^"]+)"')
LONG_WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerk"

bp = Blueprint("design", __name__)


@bp.get("/design")
@public
def show() -> ResponseReturnValue:
    if deps.config().is_production:
        raise NotFound
    now = utcnow()
    sides = [(theme, _with_own_names(_with_own_ids(_side(now), theme), theme)) for theme in THEMES]
    return render_template("design/show.html", account=None, sides=sides)


def _side(now: datetime) -> str:
    accounts = _accounts(now)
    vouchers = {
        name: _with_own_ids(Parts("dashboard/show.html", {"account": accounts[name]}).block("balance"), name)
        for name in ("ada", "new", "owing")
    }
    return render_template(
        "design/side.html",
        own=lambda part, caller: _with_own_ids(caller(), part),
        **_forms(),
        accounts=accounts,
        vouchers=vouchers,
        now=now,
        tasks=_tasks(now),
        days=[Day((now - timedelta(days=29 - number)).date(), *_figures(number)) for number in range(30)],
        no_days=[Day((now - timedelta(days=29 - number)).date()) for number in range(30)],
        months=[Month(f"2026-{number:02}", 400 * number, LedgerFigures(sold=1000)) for number in range(3, 8)],
        samples=[600 + 397 * number % 7200 for number in range(30)],
        typed=Typed("/tasks", (("description", "Summarise the report.\nIn five points."), ("request_id", "r"))),
        typed_file=Typed("/tasks/batch", (("lines", "One\nTwo"),), file_field="table", password="current-password"),  # noqa: S106
    )


def _with_own_ids(html: str, part: str) -> Markup:
    """The same stands several times on the page; what refers to each other stays in its part."""

    def own(match: re.Match[str]) -> str:
        return match[1] + " ".join(f"{name}-{part}" for name in match[2].split())

    return Markup(REFERS.sub(own, html))  # noqa: S704 - of our own templates


def _with_own_names(html: Markup, theme: str) -> Markup:
    """No two landmarks of a page have one name."""
    numbers = count(1)
    return Markup(LANDMARK.sub(lambda found: f'{found[1]} aria-label="{found[2]} {theme} {next(numbers)}"', html))  # noqa: S704


def _forms() -> dict[str, Any]:
    """Empty, filled in, and refused in the words that the pages use."""
    refused = SignupForm(MultiDict({"email": "nobody", "password": "short"}), meta={"csrf": False})
    refused.validate()
    composer = TaskForm(MultiDict({"description": ""}), meta={"csrf": False})
    composer.validate()
    return {
        "form": SignupForm(MultiDict(), meta={"csrf": False}),
        "refused": refused,
        "composer": TaskForm(MultiDict(), meta={"csrf": False}),
        "refused_composer": composer,
    }


def _accounts(now: datetime) -> dict[str, Account]:
    def account(name: str, **fields: Any) -> Account:
        made = {"confirmed_at": now, **fields}
        return Account(AccountKey(f"{name}@example.com"), f"acc_{name}", now - timedelta(days=40), **made)

    spent = {(now - timedelta(days=back)).date().isoformat(): 10 * (back % 4) for back in range(30)}
    return {
        "ada": account("ada", credits_balance=1_234, spend_by_day=spent),
        "new": account("new", confirmed_at=None),
        "owing": account("owing", credits_balance=-400),
        "frozen": account("frozen", frozen_at=now, disabled_at=now),
        "deleted": account("deleted", deleted_at=now),
    }


def _tasks(now: datetime) -> list[Task]:
    words = {
        PENDING: "Compare the three quotes",
        IN_PROGRESS: f"Translate {LONG_WORD}",
        COMPLETED: "Summarise the report in five points for the board, with the risks that it names",
        REJECTED: "תרגם את המכתב לגרמנית",
        CANCELLED: "Draft an invitation",
    }
    return [
        replace(new_task(AccountKey("ada@example.com"), text, status, now - timedelta(hours=5 * place)), status=status)
        for place, (status, text) in enumerate(words.items())
    ]


def _figures(number: int) -> tuple[int, int, int, int, int, int]:
    """What a day of the charts had: submitted, completed, rejected, cancelled, sold, spent."""
    submitted = (number * 7) % 5
    return submitted, submitted // 2, int(number % 9 == 0), int(number % 11 == 0), 1000 * (number % 3), 10 * submitted
