"""The states by name: the words and fields that the panel shows, and what a request may ask for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .made import CannotMake, Made
from .makers import States

MOST = {"credits": 1_000_000, "days": 3650}
MOST_TASKS = 50  # in each status: more is a matter of minutes


@dataclass(frozen=True)
class State:
    """A button of the panel; `fields` are the arguments that a person may give it, with what stands there at first."""

    name: str
    title: str
    words: str
    fields: Mapping[str, int]

    def make(self, states: States, given: Mapping[str, Any]) -> Made:
        """Raises CannotMake for an argument that the state does not take."""
        maker = getattr(states, self.name)
        known = inspect.signature(maker).parameters
        return maker(**{name: _checked(name, value, known) for name, value in given.items()})  # type: ignore[no-any-return]


def _checked(name: str, value: Any, known: Mapping[str, inspect.Parameter]) -> Any:
    if name not in known or known[name].kind is inspect.Parameter.VAR_KEYWORD:
        raise CannotMake(f"There is no {name!r} to this state.")
    if isinstance(known[name].default, str):
        return str(value)
    most = MOST.get(name, MOST_TASKS)
    lowest = -most if name == "credits" else 0
    if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= most:
        raise CannotMake(f"{name} must be a number from {lowest:,} to {most:,}.")
    return value if name == "days" else int(value)


DAYS = {"days": 0}
STATES = {
    state.name: state
    for state in (
        State("account", "Credits", "A confirmed customer with so many credits.", {"credits": 100, **DAYS}),
        State(
            "tasks",
            "Tasks",
            "A customer with so many tasks in each status; redo: completed, and a second try was asked for.",
            {"pending": 1, "in_progress": 1, "completed": 1, "rejected": 1, "cancelled": 1, "redo": 1, **DAYS},
        ),
        State("unconfirmed", "Unconfirmed", "A customer who has not opened the link that confirms the address.", DAYS),
        State("owing", "Owing", "A payment was refunded after a part of it was spent.", DAYS),
        State("frozen", "Frozen", "Spending has stopped until a person has looked at the books.", DAYS),
        State("throttled", "Throttled", "Ten wrong passwords: the right one has to wait as well.", DAYS),
        State("operator", "Operator", "Has proven no second factor yet, and sets one up before the first act.", DAYS),
        State("operator_with_code", "Operator with a code", "With an authenticator app, whose secret is said.", DAYS),
        State("expired_lease", "Expired lease", "A task whose operator has let the lease run out.", DAYS),
        State("parked_payment", "Parked payment", "Paid by somebody without an address; an operator decides.", DAYS),
        State("mail_given_up", "Mail given up", "SES refused it for good; an operator can send it again.", DAYS),
        State(
            "clock_moved",
            "A clock moved",
            "An account whose every row is so many days old: an earlier statement, a lease and a redo that ran out.",
            {"days": 40},
        ),
    )
}
