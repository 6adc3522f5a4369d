"""What restored tables bring back that had ended since their moment: sessions, API keys, and deleted accounts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from app.data import Store
from app.data.threads import WRITERS, side_by_side
from app.domain.accounts import Account, AccountKey
from app.domain.errors import WrongState
from app.domain.paging import batched
from app.gateways.files import FileStore

from .. import accounts, customers

ROWS_A_WORD = 1_000
AT_ONCE = 200  # accounts that are signed out before the next word


@dataclass(slots=True)
class Settled:
    """`open_tasks`: accounts that were deleted, and cannot be until their tasks have ended. `acts`: what the audit log
    of the lost tables has and this one lacks, by what and about whom or what, with how often.
    """

    signed_out: int = 0
    deleted: int = 0
    open_tasks: list[AccountKey] = field(default_factory=list)
    acts: Counter[tuple[str, str]] = field(default_factory=Counter)


def settle(
    store: Store,
    files: FileStore,
    lost: Store | None,
    *,
    actor: str,
    now: datetime,
    say: Callable[[str], None] = lambda line: None,
) -> Settled:
    """Delete again whom `lost`, the tables of before, knows to have left since, and sign everybody out.

    For tables that nobody is served from yet: a session that was ended since, by a sign-out or a new password, must
    open nothing, nor an API key that was revoked. Safe to repeat and to break off. Raises StoreUnavailable,
    FilesUnavailable, RowUnreadable.
    """
    done = Settled()
    if lost is not None:
        for number, there in enumerate(lost.accounts.every()):
            if number % ROWS_A_WORD == 0:
                say(f"who has left since: {number:,} accounts")
            if there.life:
                _follow(store, files, there, now, done)
        say("the audit logs")
        done.acts = Counter(lost.whole.acts()) - Counter(store.whole.acts())
    for some in batched(
        (account for account in store.accounts.every() if account.sessions or account.api_keys), AT_ONCE
    ):
        ends = [partial(customers.end_sessions, store, actor, account.email, now=now) for account in some]
        side_by_side(WRITERS, ends)
        done.signed_out += len(some)
        say(f"{done.signed_out:,} accounts are signed out")
    return done


def _follow(store: Store, files: FileStore, there: Account, now: datetime, done: Settled) -> None:
    here = store.accounts.find(there.email)
    if here is None or here.deleted_at or here.life >= there.life:  # the last: who had left before, and came back
        return
    try:
        accounts.delete_again(store, here, now=now)
    except WrongState:
        done.open_tasks.append(here.email)
        return
    accounts.finish_erasure(store, files, here.email, deleted_at=now)
    done.deleted += 1
