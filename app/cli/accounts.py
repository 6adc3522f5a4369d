"""`flask accounts`: what is done to accounts by hand or by the clock."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from app import deps
from app.domain.clock import utcnow
from app.domain.errors import DomainError
from app.services import accounts, second_factor

group = AppGroup("accounts", help="Accounts.")


@group.command("erase")
def erase() -> None:
    """Finish erasing the tasks of deleted accounts. Run it daily; safe to repeat."""
    store = deps.store()
    for account in list(store.accounts_to_erase()):
        click.echo(f"{accounts.erase_words(store, account.email)} tasks erased")


@group.command("reset-second-factor")
@click.argument("email")
@click.option("--by", "actor", required=True, help="Who does this: it is written to the audit table.")
def reset_second_factor(email: str, actor: str) -> None:
    """Remove every second factor of an account whose owner has lost them all. Check who is asking first."""
    try:
        account = deps.store().get_account(email.strip().lower())
        second_factor.remove_all(deps.store(), account, actor=actor, now=utcnow())
    except DomainError as error:
        raise click.ClickException(error.message) from error
    click.echo(f"{account.email} signs in with the password alone now.")
