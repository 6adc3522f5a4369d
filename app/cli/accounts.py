"""`flask accounts`: what is done to accounts by hand or by the clock."""

from __future__ import annotations

import click

from app.cli.groups import Group, Pasted
from app.cli.scheduled import scheduled
from app.domain.clock import utcnow
from app.domain.errors import DomainError
from app.domain.text import plain_address
from app.services import accounts, second_factor
from app.web import deps

group = Group("accounts", help="Accounts.")


@group.command("erase")
@scheduled
def erase() -> None:
    """Erase the words and files that deleted accounts have left. Run it daily; safe to repeat."""
    found = deps.get()
    try:
        for email, deleted_at in list(found.store.accounts.every_to_erase()):
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
        account = deps.store().accounts.get(plain_address(email))
        second_factor.remove_all(deps.store(), account, actor=actor, now=utcnow())
    except DomainError as error:
        raise click.ClickException(error.message) from error
    click.echo(f"{account.email} signs in with the password alone now.")
