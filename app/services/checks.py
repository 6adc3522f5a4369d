"""Checks of the books and reconciliations: how the last one ended, and those that operators ask for on a page.

A request only writes down what was asked for; `flask books attend` runs it, beside the web server.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from app.data import Store
from app.data.client import Stale
from app.domain.checks import CHECK, KINDS, Run
from app.domain.clock import to_iso
from app.domain.errors import DomainError, InvalidInput, WrongState
from app.domain.heartbeats import BooksCheck, Finding
from app.domain.sales import Named
from app.telemetry.spans import verb

from . import books
from .acting import Act, acting
from .book_look import KeptInStore

log = logging.getLogger(__name__)

LOOKS_BACK = timedelta(days=30)
MOST_FINDINGS = 50
NOTE_SECONDS = 2.0
STOPPED = "It was stopped before it was done. Ask again."
BROKEN = "It broke off by a fault of ours; the log has it. Ask again."


class Interrupted(Exception):
    """The process is to end, or the run is no longer ours; the message is for the page."""


@verb
def ask(store: Store, kind: str, *, actor: str, now: datetime) -> Run:
    """Write down that a check is wanted. Raises InvalidInput, and WrongState while another waits or runs."""
    if kind not in KINDS:
        raise InvalidInput("Choose the check of the books, or the reconciliation.")
    before = store.checks.find()
    if before and before.is_open(now):
        raise WrongState(f"{before.title}: asked for already, by {before.asked_by}. One at a time.")
    run = Run(kind, actor, now)
    with acting(store, Act(actor, f"books.{kind}", "books", now)) as tx:
        tx.checks.ask(before, run)
    return run


def attend(
    store: Store,
    stripe: books.Listing,
    *,
    named: Named,
    livemode: bool,
    clock: Callable[[], datetime],
    stopping: Callable[[], bool] = lambda: False,
) -> Run | None:
    """Run what was asked for, if anything waits; None if nothing does, or another has taken it.

    Whatever it ends with is written down; one whose process is killed is seen to have lapsed, and is not begun again by
    itself. Raises StoreUnavailable.
    """
    run = store.checks.find()
    if run is None or run.state(clock()) not in ("waiting", "unseen"):
        return None
    try:
        notes = _Notes(store, store.updates.checks.take(run, clock()), clock, stopping)
    except Stale:
        return None
    failure = ""
    try:
        if run.kind == CHECK:
            check(store, clock=clock, again=lambda: time.sleep(NOTE_SECONDS), progress=notes.note)
        else:
            reconcile(store, stripe, named=named, livemode=livemode, clock=clock, progress=notes.note)
    except Interrupted as interrupted:
        failure = str(interrupted)
    except DomainError as error:
        failure = error.message
    except Exception:
        log.exception("a check of the books broke off")
        failure = BROKEN
    try:
        return store.updates.checks.end(notes.run, clock(), failure)
    except Stale:  # it had lapsed, and another was asked for
        return None


class _Notes:
    """How far a run is, written every few seconds; whoever writes it keeps the lease."""

    def __init__(self, store: Store, run: Run, clock: Callable[[], datetime], stopping: Callable[[], bool]) -> None:
        self.run = run
        self._store, self._clock, self._stopping = store, clock, stopping
        self._next = 0.0

    def note(self, step: str, done: int) -> None:
        if self._stopping():
            raise Interrupted(STOPPED)
        if time.monotonic() < self._next and step == self.run.step:
            return
        try:
            self.run = self._store.updates.checks.note_step(self.run, step, done, self._clock())
        except Stale:
            raise Interrupted("Another was asked for meanwhile.") from None
        self._next = time.monotonic() + NOTE_SECONDS


def check(
    store: Store,
    *,
    clock: Callable[[], datetime],
    again: Callable[[], None],
    progress: books.Progress = lambda step, done: None,
    say: Callable[[str], None] = log.info,
    anew: bool = False,
) -> list[books.Difference]:
    """Check the books, keep how that ended, and what the operators' charts show of the ledger.

    Goes on with one that was broken off in the last hours, and says so, unless it is to begin `anew`. Raises as
    `books.look`.
    """
    kept = KeptInStore(store, secrets.token_hex(6), clock(), say, anew=anew)
    checked = books.look(store, kept, now=clock(), again=again, progress=progress)
    differences = checked.differences
    found = [Finding(d.subject, d.what, f"{d.expected} expected, {d.found} found") for d in differences]
    store.updates.heartbeats.note_books(clock(), len(found), tuple(found[:MOST_FINDINGS]))
    store.updates.figures.keep_ledger_days(checked.days, clock())
    return differences


def reconcile(
    store: Store,
    stripe: books.Listing,
    *,
    named: Named,
    livemode: bool,
    clock: Callable[[], datetime],
    since: datetime | None = None,
    dry_run: bool = False,
    progress: books.Progress = lambda step, done: None,
) -> books.Reconciliation:
    """Reconcile with Stripe, and keep how that ended; a dry run is not kept. Raises as `books.reconcile`."""
    now = clock()
    since = since or now - LOOKS_BACK
    result = books.reconcile(
        store,
        stripe,
        since=since,
        livemode=livemode,
        now=now,
        named=named,
        dry_run=dry_run,
        progress=lambda done: progress("facts at Stripe", done),
    )
    if not dry_run:
        found = list(_findings(result))
        ended = BooksCheck(clock(), len(found), tuple(found[:MOST_FINDINGS]), result.looked_at, since)
        store.updates.heartbeats.note_reconciliation(ended)
        if result.overdue:
            about = {"missed": result.overdue, "first": result.missing[0][0], "since": to_iso(since)}
            log.error("what Stripe knows had not reached us", extra={"alert": "missed"} | about)
    return result


def _findings(result: books.Reconciliation) -> list[Finding]:
    missing = [
        Finding(subject, f"{what}: recorded now", f"{moved:+,} credits") for subject, what, moved in result.missing
    ]
    unknown = [Finding(subject, "credited here, and Stripe does not list it") for subject in result.unknown_to_stripe]
    unexplained = [Finding(subject, "not recorded: nothing explains the balance") for subject in result.unexplained]
    unread = [Finding(subject, "a refund or dispute that this release cannot read") for subject in result.unread]
    return [*unknown, *unexplained, *unread, *missing]
