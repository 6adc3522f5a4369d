"""Mails that tell the owner of an account that somebody changed how it is entered."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from app.data import Store
from app.data.outbox import ToldMeanwhile
from app.data.store import Transaction
from app.domain.accounts import Account
from app.domain.clock import to_iso
from app.domain.errors import StoreBusy
from app.domain.mails import Mail
from app.telemetry.spans import verb

from .acting import Act, transaction

MOST = 10  # in the day that begins with the first: the last one says that later ones are not told
ATTEMPTS = 10


@verb
def changed(
    store: Store,
    account: Account,
    what: str,
    now: datetime,
    change: Callable[[Transaction], None],
    by: Act | None = None,
) -> None:
    """Do a change of how an account is entered, and promise its notice, in one transaction; `what` is one sentence.

    `by`: whose act it is, where it is not the owner's.

    Raises what `change` means by its conditions, and StoreBusy when other changes keep coming in between.
    """
    for _ in range(ATTEMPTS):
        promise = notice(store, account, what, now)
        try:
            with transaction(store, by) as tx:
                change(tx)
                promise(tx)
            return
        except ToldMeanwhile:
            continue
    raise StoreBusy


def notice(store: Store, account: Account, what: str, now: datetime) -> Callable[[Transaction], None]:
    """What goes into the transaction of a change: its mail, and that one more was told. Raises ToldMeanwhile there.

    The first goes at once and so do those that follow, up to MOST: a thief silences none of them, and neither a loop
    nor a stranger with the password fills the mailbox. The last of a day says that there may be more.
    """
    told = store.mails.told_of_security(account.account_id, now)
    mail_id = f"security#{account.account_id}#{to_iso(told.since)}#{told.times + 1}"
    context = {"what": what, "last": told.times + 1 == MOST}

    def promise(tx: Transaction) -> None:
        if told.times < MOST:
            tx.mails.count_security_notice(account.account_id, told)
            tx.mails.enqueue(Mail(mail_id, "security", account.address, now, context))

    return promise
