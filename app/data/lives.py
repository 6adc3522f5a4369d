"""The one way to change a row of the Users table: every write says which life of the account it belongs to.

The address is the key, and it outlives the account: a deleted one leaves a tombstone, and who proves the mailbox again
has the account again. A request that was decided on before must write nothing into either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.domain.accounts import Account, AccountKey
from app.domain.clock import to_iso
from app.domain.tasks import Task

from .base import Base
from .client import Stale
from .tables import USERS
from .transaction import Failure, Writes


@dataclass(frozen=True, slots=True)
class Life:
    """Whose row is written, and the condition that fails once it is another life's."""

    email: AccountKey
    condition: str
    params: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, account: Account) -> Life:
        """The life that was read: not deleted since, not come back since. A tombstone that was read is one, too."""
        params: dict[str, Any] = {}

        def unchanged(name: str, value: Any) -> str:
            if not value:
                return f"attribute_not_exists(#{name})"
            params[f"life_{name}"] = value
            return f"#{name} = :life_{name}"

        deleted_at = to_iso(account.deleted_at) if account.deleted_at else None
        read = {"account_id": account.account_id, "life": account.life, "deleted_at": deleted_at}
        conditions = [unchanged(name, value) for name, value in read.items()]
        return cls(account.email, " AND ".join(["attribute_exists(email)", *conditions]), params)

    @classmethod
    def of_owner(cls, task: Task) -> Life:
        """The owner of an open task, on which the same transaction must insist: nobody who has one is deleted."""
        return cls(task.user_email, "attribute_exists(email)")

    @classmethod
    def of_original(cls, email: AccountKey, condition: str, **params: Any) -> Life:
        """A row of the original product, which knew no deletion: told by what it still lacks."""
        return cls(email, f"attribute_exists(email) AND ({condition})", params)

    @classmethod
    def ended(cls, email: AccountKey, deleted_at: datetime) -> Life:
        """What that very deletion has left to do, whoever has the account now."""
        return cls(email, "#erasure_due = :due", {"due": to_iso(deleted_at)})

    def and_also(self, condition: str) -> str:
        return f"{self.condition} AND ({condition})" if condition else self.condition


class LifeUpdates(Base):
    def _update_account(
        self, life: Life, *, condition: str = "", failure: Failure = Stale, **write: Any
    ) -> dict[str, Any]:
        """One UpdateItem of an account's row, as `_update`; its failure also means that the life has ended."""
        return self._update_row(
            USERS.suffix,
            {"email": life.email},
            condition=life.and_also(condition),
            failure=failure,
            **life.params,
            **write,
        )


class LifeWrites(Writes):
    def update_account(self, life: Life, *, condition: str = "", failure: Failure = Stale, **write: Any) -> None:
        """The same within a transaction, as `update`."""
        self._update_row(
            USERS.suffix,
            {"email": life.email},
            condition=life.and_also(condition),
            failure=failure,
            **life.params,
            **write,
        )
