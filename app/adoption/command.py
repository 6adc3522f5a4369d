"""`flask accounts adopt`."""

from __future__ import annotations

import json
import sys

import click
from flask.cli import with_appcontext

from app.cli.tables import print_table
from app.domain.clock import utcnow
from app.domain.errors import DomainError
from app.web import deps

from . import service
from .service import Adopted


@click.command("adopt")
@with_appcontext
@click.option("--apply", is_flag=True, help="Do it; without this the command only says what it would do.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def adopt(apply: bool, as_json: bool) -> None:
    """Bring the accounts and tasks of the original product into the ledger and the queue. Safe to repeat.

    Ends with 1 when something is left: what cannot be adopted, or, without --apply, what would be.
    """
    try:
        done = service.adopt(deps.store(), apply=apply, now=utcnow())
    except DomainError as error:
        raise click.ClickException(f"{error.message} What was adopted until now stands; run it again.") from error
    if as_json:
        click.echo(json.dumps(_as_json(done)))
    else:
        _print(done, apply)
    if done.refused or (not apply and (done.openings or done.tasks)):
        sys.exit(1)


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
    for subject, problem in done.refused:
        click.echo(f"Not adopted: {subject}: {problem}")
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
    }
