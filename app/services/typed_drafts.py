"""Keeping what is typed while it is typed, giving it back, and letting go of it once its form has gone through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TypeVar

from app.data import Store
from app.data.client import Stale
from app.data.transaction import optimistic
from app.domain.accounts import Account
from app.domain.drafts import Draft, Fields
from app.domain.errors import InvalidInput
from app.domain.typed_drafts import MAX_PLACES, Mark, TypedDraft, draft_id, life_of, nothing_kept

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Kept:
    """What stands now, and when that was kept which it took the place of, if another page had kept it."""

    draft: TypedDraft
    instead_of: datetime | None = None


def find_many(store: Store, account: Account, places: list[str], *, now: datetime) -> list[TypedDraft | None]:
    """What is kept in each of the places, in one read."""
    found = store.typed_drafts.find_many([draft_id(account.account_id, account.life, place) for place in places], now)
    return [draft if draft and draft.is_kept else None for draft in found]


def keep(store: Store, account: Account, mark: Mark, number: int, fields: Fields, *, now: datetime) -> Kept:
    """Keep the text of a page as the newest of its place; without fields, keep that there is none.

    A save that arrives after a later one of the same page changes nothing. Raises DraftSent for a page whose form has
    been sent, InvalidInput for a text that is too long and for one place too many.
    """

    def attempt(before: TypedDraft) -> Kept:
        if before.is_newer(mark, number):
            return Kept(before)
        after = before.kept(mark, number, fields, now)
        if after.fields == before.fields and before.is_of(mark):
            return Kept(before)
        if not before.version and _is_full(store, account):
            raise InvalidInput(f"Drafts are kept in {MAX_PLACES} places already. Send some, or throw them away.")
        other = before.saved_at if before.is_kept and not before.is_of(mark) else None
        return Kept(store.updates.typed_drafts.save(before, after), other)

    return _decide(store, account, mark.place, attempt, now)


def finish(store: Store, account: Account, mark: Mark, *, now: datetime) -> None:
    """The form was sent or thrown away: nothing that its page kept comes back, not even late. Safe to repeat."""

    def attempt(before: TypedDraft) -> None:
        after = before.done_with(mark, now)
        if (after.done, after.fields) != (before.done, before.fields):
            store.updates.typed_drafts.save(before, after)

    if mark.pages:
        _decide(store, account, mark.place, attempt, now)


def every_of(store: Store, account: Account, *, now: datetime) -> Iterator[Draft]:
    """All that an account has typed and not sent."""
    for found in (store.typed_drafts.find(id, now) for id in store.typed_drafts.ids_of(account.account_id)):
        if found and found.is_kept and life_of(found.draft_id) == account.life:
            yield found.unpacked()


def erase(store: Store, account: Account) -> None:
    """What earlier lives of the account have left. Safe to repeat."""
    for id in store.typed_drafts.ids_of(account.account_id):
        if life_of(id) < account.life:
            store.updates.typed_drafts.remove(id)


def _is_full(store: Store, account: Account) -> bool:
    return sum(1 for _ in islice(store.typed_drafts.ids_of(account.account_id), MAX_PLACES)) == MAX_PLACES


def _decide(
    store: Store, account: Account, place: str, attempt: Callable[[TypedDraft], Result], now: datetime
) -> Result:
    id = draft_id(account.account_id, account.life, place)

    def read(_stale: Stale | None = None) -> TypedDraft:
        return store.typed_drafts.find(id, now) or nothing_kept(account.account_id, account.life, place, now)

    return optimistic(id, attempt, read(), read)
