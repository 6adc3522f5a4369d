"""`flask accounts`: what is done to accounts by hand or by the clock."""

from __future__ import annotations

import json
import sys

import click

from app import deps
from app.cli.groups import Group, Pasted
from app.cli.scheduled import scheduled
from app.cli.tables import print_table
from app.domain.clock import utcnow
from app.domain.errors import DomainError
from app.domain.text import plain_address
from app.services import accounts, adoption, second_factor
from app.services.adoption import Adopted

group = Group("accounts", help="Accounts.")


@group.command("erase")
@scheduled
def erase() -> None:
    """Erase the words and files that deleted accounts have left. Run it daily; safe to repeat."""
    found = deps.get()
    try:
        for email, deleted_at in list(found.store.accounts_to_erase()):
            seen = accounts.finish_erasure(found.store, found.files, email, deleted_at=deleted_at)
            click.echo(f"An account with {seen} tasks is erased.")
    except DomainError as error:
        raise click.ClickException(f"{error.message} What was erased until now stands; run it again.") from error


@group.command("reset-second-factor")
@click.argument("email", type=Pasted())
@click.option("--by", "actor", required=True, help="Who does this: it is written to the audit table.")
def reset_second_factor(email: str, actor: str) -> None:
    """Remove every second factor of an account whose owner has lost them all. Check who is asking first."""
    try:
        account = deps.store().get_account(plain_address(email))
        second_factor.remove_all(deps.store(), account, actor=actor, now=utcnow())
    except DomainError as error:
        raise click.ClickException(error.message) from error
    click.echo(f"{account.email} signs in with the password alone now.")


@group.command("adopt")
@click.option("--apply", is_flag=True, help="Do it; without this the command only says what it would do.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def adopt(apply: bool, as_json: bool) -> None:
    """Bring the accounts and tasks of the original product into the ledger and the queue. Safe to repeat.

    Ends with 1 when something is left: what cannot be adopted, or, without --apply, what would be.
    """
    try:
        done = adoption.adopt(deps.store(), apply=apply, now=utcnow())
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
