"""`flask admin`: who is an operator."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from app import deps
from app.domain.errors import DomainError

group = AppGroup("admin", help="Operators.")


@group.command("grant")
@click.argument("email")
def grant(email: str) -> None:
    """Make an account an operator."""
    _set_role(email, "admin")


@group.command("revoke")
@click.argument("email")
def revoke(email: str) -> None:
    """Take an operator's role away; works on the next request."""
    _set_role(email, "customer")


def _set_role(email: str, role: str) -> None:
    try:
        account = deps.store().update_account(deps.store().get_account(email.strip().lower()), role=role)
    except DomainError as error:
        raise click.ClickException(error.message) from error
    click.echo(f"{account.email} is now {'an operator' if account.is_admin else 'a customer'}.")
