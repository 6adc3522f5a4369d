"""The visitor: rows of the original product join the ledger and the queue when they are read, or by `accounts adopt`.

Nothing else in the app knows this package. `create_app` finds it by its place, hands `adopter` to the store and adds
`commands`; with the folder deleted (and with it tests/adoption, and its contract and place in pyproject.toml) the app
works, and a row of the original stays unexplained: it can be read, and nothing moves it.

To be removed on 2027-06-30, or as soon as both hold in production: `flask accounts adopt` has ended with nothing to
adopt and nothing refused on 30 days in a row, and the original product is switched off.
"""

from __future__ import annotations

from typing import Any

from app.data.base import Base

from .command import adopt
from .rows import adopt_account, adopt_task


class Adoption:
    """What the store is handed. Safe to repeat and to race."""

    def account(self, base: Base, row: dict[str, Any]) -> dict[str, Any]:
        return adopt_account(base, row)

    def task(self, base: Base, row: dict[str, Any]) -> dict[str, Any]:
        return adopt_task(base, row)


adopter = Adoption()
commands = {"accounts": [adopt]}  # by the group that they join
