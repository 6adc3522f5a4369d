"""`flask operators`: who is an operator."""

from __future__ import annotations

import click

from app.cli.groups import Group, Pasted
from app.cli.tasks import operator, told
from app.domain.accounts import Address
from app.domain.clock import utcnow
from app.domain.text import plain_address
from app.services import operators
from app.web import deps

group = Group("operators", help="Who is an operator.")

reason = click.option("--reason", default="", help="Goes into the audit log.")


@group.command("grant")
@click.argument("email", type=Pasted())
@operator
@reason
def grant(email: str, operator: str, reason: str) -> None:
    """Make an account an operator, once its address is confirmed. Its sessions and tokens end."""
    store, address = deps.store(), Address(plain_address(email))
    account = told(lambda: operators.grant(store, address, actor=operator, reason=reason, now=utcnow()))
    click.echo(f"{account.address} is now an operator.")


@group.command("revoke")
@click.argument("email", type=Pasted())
@operator
@reason
def revoke(email: str, operator: str, reason: str) -> None:
    """Take an operator's role away; works on the next request."""
    store, address = deps.store(), Address(plain_address(email))
    account = told(lambda: operators.revoke(store, address, actor=operator, reason=reason, now=utcnow()))
    click.echo(f"{account.address} is now a customer.")
