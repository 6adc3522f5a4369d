"""`flask books`: check the ledger, reconcile with Stripe, and tell what is owed to customers."""

from __future__ import annotations

import json
import logging
import math
import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import click

from app.cli.groups import Group, Pasted
from app.cli.scheduled import scheduled
from app.cli.tables import print_table
from app.cli.tasks import operator
from app.cli.watching import EveryMinute, until_stopped
from app.domain.accounts import Address
from app.domain.clock import to_iso, utcnow
from app.domain.errors import DomainError
from app.domain.formatting import count
from app.domain.heartbeats import CatchUp
from app.domain.text import plain_address
from app.services import books, catching_up, checks, endpoint, ledger_figures, waiting
from app.web import deps

log = logging.getLogger(__name__)

group = Group("books", help="The ledger, Stripe, and what is owed to customers.")

SPANS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
WORD_SECONDS = 5.0
HOUR_SECONDS, HOURLY_WINDOW = 3600.0, timedelta(hours=3)
DATE = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])


@group.command("check")
@click.option("--freeze", is_flag=True, help="Stop spending on the accounts whose books differ.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("--anew", is_flag=True, help="Begin from the beginning, also where another was broken off.")
@scheduled
def check(freeze: bool, as_json: bool, anew: bool) -> None:
    """Compare every balance with its ledger, tasks with their spends and payments with their rows.

    Ends with 1 and a table of what differs. One that was broken off in the last six hours goes on.
    """
    store = deps.store()
    say = partial(click.echo, err=True)
    try:
        differences = checks.check(
            store, clock=utcnow, again=lambda: time.sleep(2), progress=NowAndThen(say), say=say, anew=anew
        )
        frozen = books.freeze(store, differences, now=utcnow()) if freeze else []
    except DomainError as error:
        raise click.ClickException(error.message) from error
    if as_json:
        click.echo(json.dumps([asdict(difference) for difference in differences]))
    elif differences:
        print_table(
            ("subject", "what", "expected", "found"), [(d.subject, d.what, d.expected, d.found) for d in differences]
        )
        click.echo(f"\n{len(differences)} differences.")
    else:
        click.echo("The books agree.")
    for email in frozen:
        click.echo(f"Spending stopped: {email}", err=True)
    if differences:
        sys.exit(1)


@group.command("figures")
@scheduled
def figures_of_ledger() -> None:
    """Put finance's figures right by the ledger. Safe to repeat, to break off, and while customers are at work."""
    try:
        done = ledger_figures.repair(deps.store(), say=lambda line: click.echo(line, err=True))
    except DomainError as error:
        raise click.ClickException(f"{error.message} Run it again.") from error
    click.echo(f"{done.caught_up:,} accounts added, {done.put_right:,} months of a shard put right.")
    if done.left_behind:
        click.echo(f"{done.left_behind:,} accounts are not in the figures: run books check, their ledger has gaps.")
    if done.in_use:
        click.echo(f"{done.in_use:,} were written to meanwhile: run it again.")
    if done.left_behind or done.in_use:
        sys.exit(1)


@group.command("restate")
@click.argument("email", type=Pasted())
@click.option("--reason", required=True, help="Goes into the audit log.")
@operator
def restate(email: str, reason: str, operator: str) -> None:
    """Put the balance of a frozen account back to what its ledger says, where something else has changed it."""
    try:
        balance = books.restate(
            deps.store(), Address(plain_address(email)), actor=operator, reason=reason, now=utcnow()
        )
    except DomainError as error:
        raise click.ClickException(error.message) from error
    click.echo(f"The balance of {email} is {balance:,}, as its ledger says. It stays frozen until books unfreeze.")


@group.command("unfreeze")
@click.argument("email", type=Pasted())
@click.option("--reason", required=True, help="Goes into the audit log.")
@operator
def unfreeze(email: str, reason: str, operator: str) -> None:
    """Let an account spend again after a person has looked at its books."""
    try:
        books.unfreeze(deps.store(), Address(plain_address(email)), actor=operator, reason=reason, now=utcnow())
    except DomainError as error:
        raise click.ClickException(error.message) from error
    click.echo(f"{email} can spend again.")


@group.command("reconcile")
@click.option("--since", type=DATE, default=None, help="Look at what Stripe has had since (UTC); 30 days by default.")
@click.option("--dry-run", is_flag=True, help="Say what is missing and record nothing.")
@scheduled
def reconcile(since: datetime | None, dry_run: bool) -> None:
    """Compare Stripe's sessions, refunds and disputes with our payments, and record what never reached us."""
    found, now = deps.get(), utcnow()
    start = since.replace(tzinfo=UTC) if since else now - checks.LOOKS_BACK
    try:
        result = checks.reconcile(
            found.store,
            found.stripe,
            named=deps.named_sales(),
            livemode=found.config.livemode,
            clock=utcnow,
            since=start,
            dry_run=dry_run,
            progress=_progress,
        )
    except DomainError as error:
        raise click.ClickException(f"{error.message} What was recorded until now stands; run it again.") from error
    if result.missing:
        moved = "would move" if dry_run else "moved"
        print_table(("payment", "what was missing", f"credits {moved}"), result.missing)
    for payment_id in result.unknown_to_stripe:
        click.echo(f"Stripe does not list {payment_id}, which we have credited.")
    for source, many in sorted(result.not_ours.items()):
        click.echo(f"Not ours, by {source}: {many} payments, none credited (see /admin/finance).")
    for payment_id in result.unexplained:
        click.echo(f"Not recorded, the balance of its account is unexplained (see books check): {payment_id}")
    for payment_id in result.unread:
        click.echo(f"A refund or dispute at Stripe that this release cannot read, look at it there: {payment_id}")
    for payment_id in result.parked:
        click.echo(f"Parked, waiting for an operator: {payment_id}")
    verb = "missing" if dry_run else "were missing and are recorded now"
    click.echo(f"{result.looked_at} facts at Stripe since {start:%Y-%m-%d}; {len(result.missing)} {verb}.")
    if result.unknown_to_stripe or result.unread or (dry_run and result.missing):
        sys.exit(1)


class NowAndThen:
    """How far a long check is, every few seconds."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._next = time.monotonic() + WORD_SECONDS

    def __call__(self, what: str, done: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + WORD_SECONDS
            self._say(f"… {what}: {done:,}" if done else f"… {what}")


def _progress(_what: str, done: int) -> None:
    if done % 100 == 0:
        click.echo(f"… {done} looked at", err=True)


@group.command("attend")
@click.option("--watch", is_flag=True, help="Keep running, and run what is asked for.")
@click.option(
    "--every", type=click.FloatRange(0.1, 3600), default=2.0, show_default=True, help="Seconds between looks."
)
@click.option("--hourly", is_flag=True, help="Catch up with Stripe every hour too, where no clock runs commands.")
def attend(watch: bool, every: float, hourly: bool) -> None:
    """Run what operators ask for on the finance page. Any number may attend: each run is taken once."""
    if not watch:
        _attend(lambda: False)
        return
    tell = EveryMinute(lambda: waiting.tell_check(deps.store(), utcnow()))
    next_hour = time.monotonic() if hourly else math.inf
    with until_stopped() as stop:
        while not stop.is_set():
            try:
                tell()
                _attend(stop.is_set)
                if time.monotonic() >= next_hour:
                    next_hour += HOUR_SECONDS
                    _catch_up(HOURLY_WINDOW)
            except DomainError as error:  # the store is down or busy: what was asked for waits
                log.error("checks out of reach: %s", error.code)
            stop.wait(every)


def _attend(stopping: Callable[[], bool]) -> None:
    found = deps.get()
    ended = checks.attend(
        found.store,
        found.stripe,
        named=deps.named_sales(),
        livemode=found.config.livemode,
        clock=utcnow,
        stopping=stopping,
    )
    if ended:
        click.echo(f"{ended.title}: {ended.failure or 'done'}")


@group.command("liability")
@click.option("--at", type=DATE, default=None, help="At this moment (UTC); now by default.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def liability(at: datetime | None, as_json: bool) -> None:
    """Credits owed to customers at a moment, from the ledger alone."""
    now = utcnow()
    moment = at.replace(tzinfo=UTC) if at else now
    owed = books.liability(deps.store(), at=moment, now=now)
    if as_json:
        click.echo(json.dumps(asdict(owed) | {"at": to_iso(owed.at)}))
        return
    print_table(
        ("", "credits"),
        [("owed to customers", f"{owed.owed_to_customers:,}"), ("owed by customers", f"{owed.owed_by_customers:,}")],
    )
    click.echo(f"\n{owed.accounts} accounts with a ledger until {moment:%Y-%m-%d %H:%M} UTC.")


class Span(click.ParamType[timedelta]):
    """A length of time as people write it: 90m, 3h, 2d."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        written = re.fullmatch(r"(\d{1,4})([mhd])", str(value).strip().lower(), re.ASCII)
        if not written or not int(written[1]):
            self.fail("write it as 90m, 3h or 2d", param, ctx)
        return int(written[1]) * SPANS[written[2]]


@group.command("catch-up")
@click.option("--window", type=Span(), default="3h", show_default=True, help="How far back to look; 30d at most.")
@click.option("--dry-run", is_flag=True, help="Say what is missing and record nothing.")
@scheduled
def catch_up(window: timedelta, dry_run: bool) -> None:
    """Record what Stripe told in the last hours and never reached us, and tell why its word does not reach us."""
    if window > checks.LOOKS_BACK:
        raise click.ClickException("Stripe keeps what it told for 30 days: choose a shorter window.")
    ended = _catch_up(window, dry_run)
    if ended.findings:
        rows = [(finding.subject, finding.what, finding.detail) for finding in ended.findings]
        print_table(("payment", "what had not reached us", "credits"), rows)
    for trouble in ended.troubles:
        click.echo(trouble)
    verb = "had not reached us" if dry_run else "had not reached us and are recorded now"
    looked_at = count(ended.looked_at, "thing")
    click.echo(f"{looked_at} told by Stripe since {ended.since:%Y-%m-%d %H:%M} UTC; {ended.missed:,} {verb}.")
    if ended.troubles or (dry_run and ended.missed):
        sys.exit(1)


def _catch_up(window: timedelta, dry_run: bool = False) -> CatchUp:
    found, now = deps.get(), utcnow()
    return catching_up.catch_up(
        found.store,
        found.stripe,
        since=now - window,
        now=now,
        livemode=found.config.livemode,
        named=deps.named_sales(),
        webhook_url=endpoint.url_of(found.config),
        dry_run=dry_run,
    )
