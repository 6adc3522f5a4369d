"""What comes of making a state: who to sign in as, and where to look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

PASSWORD = "correct horse battery"  # noqa: S105 - of accounts that exist on this machine only


class CannotMake(Exception):
    """The state cannot be made here; the message is for whoever asked for it."""


@dataclass(frozen=True)
class Made:
    """An account in a state. `tasks` are ids by status, oldest first; `names` is what else the state is made of."""

    email: str
    account_id: str
    path: str  # where to look once signed in
    password: str = PASSWORD
    tasks: Mapping[str, list[str]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
