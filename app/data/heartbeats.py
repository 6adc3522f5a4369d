"""Signs of life in the Status table: when Stripe last reached us, and how the last check of the books ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from app.domain.heartbeats import BooksCheck, CatchUp, CommandEnd, Finding, StripeContact, Waiting

from .base import Base
from .records import Codec
from .tables import STATUS

CONTACT, BOOKS, CATCH_UP = Codec(StripeContact), Codec(BooksCheck), Codec(CatchUp)
COMMAND_END = Codec(CommandEnd, always={"status"})
WAITING = Codec(Waiting)


class HeartbeatReads(Base):
    def last_books_check(self) -> BooksCheck | None:
        row = self._get(STATUS.suffix, {"name": "books"})
        return BOOKS.record(row) if row else None

    def last_reconciliation(self) -> BooksCheck | None:
        row = self._get(STATUS.suffix, {"name": "reconciliation"})
        return BOOKS.record(row) if row else None

    def last_catch_up(self) -> CatchUp | None:
        row = self._get(STATUS.suffix, {"name": "catch-up"})
        return CATCH_UP.record(row) if row else None

    def last_missed(self) -> CatchUp | None:
        """The last look that found something which had never reached us."""
        row = self._get(STATUS.suffix, {"name": "missed"})
        return CATCH_UP.record(row) if row else None

    def stripe_contact(self) -> StripeContact:
        return CONTACT.record(self._get(STATUS.suffix, {"name": "stripe"}) or {})

    def command_ends(self, commands: Sequence[str]) -> dict[str, CommandEnd]:
        """How each of these last ended, of those that ever did; one call."""
        rows = self._get_many([(STATUS.suffix, _command_key(command)) for command in commands])
        return {command: COMMAND_END.record(row) for command, row in zip(commands, rows, strict=True) if row}

    def waiting(self) -> Waiting | None:
        row = self._get(STATUS.suffix, {"name": "waiting"})
        return WAITING.record(row) if row else None


class HeartbeatUpdates(Base):
    def note_webhook(self, now: datetime) -> None:
        """Remember when Stripe last reached us, for the silence alarm."""
        self._update(
            STATUS.suffix, {"name": "stripe"}, set=CONTACT.attributes({"last_delivery_at": now, "sessions_since": 0})
        )

    def note_checkout(self, now: datetime) -> None:
        """Remember that a session was opened since Stripe last reached us."""
        self._update(
            STATUS.suffix,
            {"name": "stripe"},
            set=CONTACT.attributes({"last_session_at": now}),
            add={"sessions_since": 1},
        )

    def note_books(self, now: datetime, differences: int, findings: tuple[Finding, ...] = ()) -> None:
        """Remember how the last check of the books ended."""
        self._update(STATUS.suffix, {"name": "books"}, set=BOOKS.as_set(BooksCheck(now, differences, findings)))

    def note_reconciliation(self, ended: BooksCheck) -> None:
        self._update(STATUS.suffix, {"name": "reconciliation"}, set=BOOKS.as_set(ended))

    def note_catch_up(self, ended: CatchUp) -> None:
        """Remember how the last look ended; one that found something missed stays until another does."""
        for name in ("catch-up", "missed") if ended.missed else ("catch-up",):
            self._update(STATUS.suffix, {"name": name}, set=CATCH_UP.as_set(ended))

    def note_waiting(self, waiting: Waiting) -> None:
        """Remember what waits, for whoever measures."""
        self._update(STATUS.suffix, {"name": "waiting"}, set=WAITING.as_set(waiting))

    def note_command(self, command: str, ended: CommandEnd) -> None:
        """Remember how a scheduled command ended."""
        self._update(STATUS.suffix, _command_key(command), set=COMMAND_END.as_set(ended))


def _command_key(command: str) -> dict[str, str]:
    return {"name": f"command#{command}"}
