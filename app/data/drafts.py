"""Access patterns of the Drafts table: one row an account, an attribute for each form that waits to be sent again."""

from __future__ import annotations

from datetime import datetime

from app.domain.accounts import Account
from app.domain.drafts import KEPT_FOR, Draft, Drafts, PackedDraft, packed
from app.domain.errors import NotFound

from .base import Base
from .client import Stale
from .lives import Life, LifeWrites
from .records import Codec
from .tables import DRAFTS

PREFIX = "form_"


PACKED, DRAFTS_OF = Codec(PackedDraft), Codec(Drafts, always={"version"}, but={"packed"})


class DraftReads(Base):
    def get(self, account_id: str, now: datetime) -> Drafts:
        row = self._get(DRAFTS.suffix, {"account_id": account_id})
        if row is None:
            return Drafts(account_id)
        over = row["expires_at"] <= now.timestamp()
        names = [] if over else [name for name in row if name.startswith(PREFIX)]
        return DRAFTS_OF.record(row, packed={name.removeprefix(PREFIX): PACKED.record(row[name]) for name in names})


class DraftWrites(LifeWrites):
    def keep(self, account: Account, draft: Draft) -> None:
        """Beside it the account says that something waits. Raises NotFound for an account that is deleted by now."""
        self.update(
            DRAFTS.suffix,
            {"account_id": account.account_id},
            set={
                PREFIX + draft.key: PACKED.row(packed(draft)),
                "expires_at": int((draft.saved_at + KEPT_FOR).timestamp()),
            },
            add={"version": 1},
            condition=None,
            failure=Stale,
        )
        self._say(account, True)

    def drop(self, account: Account, before: Drafts, key: str) -> None:
        """Raises Stale if anything changed since `before` was read, NotFound as above."""
        row = {"account_id": account.account_id}
        if not before.version:  # DynamoDB has removed it: it was too old
            self.check(DRAFTS.suffix, row, condition="attribute_not_exists(account_id)", failure=Stale)
        else:
            self.update(
                DRAFTS.suffix,
                row,
                remove=[PREFIX + key],
                add={"version": 1},
                condition="#version = :version",
                failure=Stale,
                version=before.version,
            )
        if before.packed.keys() <= {key}:
            self._say(account, None)

    def drop_all(self, account_id: str) -> None:
        """For an account that goes."""
        self.delete(DRAFTS.suffix, {"account_id": account_id}, condition=None, failure=Stale)

    def _say(self, account: Account, unsent: bool | None) -> None:
        self.update_account(Life.of(account), set={"unsent": unsent}, add={"version": 1}, failure=NotFound)
