"""`flask accounts adopt`."""

from __future__ import annotations

import json
import sys
from datetime import datetime

import click
from flask.cli import with_appcontext

from app.cli.tables import print_table
from app.data import Store
from app.domain.clock import utcnow
from app.domain.errors import DomainError
from app.web import deps

from . import mending, service
from .service import Adopted
from .survey import TABLES, Finding, survey


@click.command("adopt")
@with_appcontext
@click.option("--apply", is_flag=True, help="Do it; without this the command only says what it would do.")
@click.option("--mend", "mends", is_flag=True, help="Mend rows that have one right answer, after it was asked.")
@click.option("--yes", is_flag=True, help="With --mend: do not ask.")
@click.option(
    "--set",
    "decisions",
    nargs=4,
    multiple=True,
    metavar="TABLE KEY ATTRIBUTE VALUE",
    help=f"Say what a row should hold where nothing else tells; tables: {', '.join(TABLES)}. Can be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def adopt(apply: bool, mends: bool, yes: bool, decisions: tuple[tuple[str, str, str, str], ...], as_json: bool) -> None:
    """Bring the accounts and tasks of the original product into the ledger and the queue. Safe to repeat.

    Looks at every row first, and names those that cannot be brought in as they are. Ends with 1 when something is left:
    what cannot be adopted, or, without --apply, what would be.
    """
    if apply and (mends or decisions):
        raise click.UsageError("Mend first, look at what it says, and then run it with --apply.")
    if as_json and mends and not yes:
        raise click.UsageError("--json with --mend needs --yes: nobody could be asked.")
    store, now = deps.store(), utcnow()
    try:
        for decision in decisions:
            click.echo(f"Mended: {mending.decide(store, *decision, now)}", err=as_json)
        if mends:
            _mend(store, now, yes=yes, as_json=as_json)
        done = service.adopt(store, apply=apply, now=now, progress=_progress)
    except DomainError as error:
        raise click.ClickException(f"{error.message} What was done until now stands; run it again.") from error
    if as_json:
        click.echo(json.dumps(_as_json(done)))
    else:
        _print(done, apply)
    if done.refused or done.findings or (not apply and (done.openings or done.tasks)):
        sys.exit(1)


def _progress(table: str, rows: int) -> None:
    if rows:
        click.echo(f"{table}: {rows:,} rows looked at ...", err=True)


def _mend(store: Store, now: datetime, *, yes: bool, as_json: bool) -> None:
    found = survey(store, now, _progress).findings
    known = [each for each in found if each.value is not None]
    _name(found, err=as_json)
    if not known:
        click.echo("Nothing has one right answer.", err=True)
        return
    if not yes and not click.confirm(f"Mend these {len(known)}? The other {len(found) - len(known)} stay as they are"):
        click.echo("Nothing was changed.")
        return
    left = mending.mend(store, known, now, lambda each: click.echo(f"Mended: {each}", err=as_json))
    for each in left:
        click.echo(f"Changed meanwhile, look again: {each}", err=True)


def _name(findings: list[Finding], *, err: bool = False) -> None:
    for finding in findings:
        click.echo(f"To mend: {finding}", err=err)


def _print(done: Adopted, apply: bool) -> None:
    if done.openings:
        print_table(
            ("account", "balance", "sum of its rows", "opening row"),
            [
                (o.account.email, f"{o.account.credits_balance:,}", f"{o.counted:,}", f"{o.amount:+,}")
                for o in done.openings
            ],
        )
    for email, transaction_id in done.untraced:
        click.echo(f"{email}: the purchase {transaction_id} names no payment. Stripe's must not be recorded again.")
    _name(done.findings)
    for subject, problem in done.refused:
        click.echo(f"Not adopted: {subject}: {problem}")
    if done.findings:
        known = sum(finding.value is not None for finding in done.findings)
        rest = "For the others say it with --set TABLE KEY ATTRIBUTE VALUE." if known < len(done.findings) else ""
        click.echo(f"{len(done.findings)} to mend; --mend does it for {known}. {rest}".rstrip())
    verb = "adopted" if apply else "to adopt (nothing was changed; --apply does it)"
    click.echo(f"{len(done.openings)} accounts and {len(done.tasks)} tasks {verb}; {len(done.refused)} refused.")


def _as_json(done: Adopted) -> dict[str, object]:
    return {
        "accounts": [
            {"email": o.account.email, "balance": o.account.credits_balance, "rows": o.counted, "opening": o.amount}
            for o in done.openings
        ],
        "tasks": [task.task_id for task in done.tasks],
        "untraced": [{"email": email, "transaction_id": transaction_id} for email, transaction_id in done.untraced],
        "refused": [{"subject": subject, "problem": problem} for subject, problem in done.refused],
        "to_mend": [
            {
                "table": finding.table.suffix.lower(),
                "key": finding.key,
                "attribute": finding.field,
                "problem": finding.problem,
                "value": finding.value,
            }
            for finding in done.findings
        ],
    }
