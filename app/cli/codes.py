"""`flask codes`: promotional codes."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from app.cli.groups import Group, Pasted
from app.cli.tables import print_table
from app.cli.tasks import operator
from app.domain.clock import utcnow
from app.domain.errors import DomainError
from app.domain.proposals import Proposal
from app.services import codes
from app.web import deps

group = Group("codes", help="Promotional codes.")


@group.command("create")
@click.argument("code", type=Pasted())
@click.option("--credits", "credits_each", type=int, required=True, help="Credits for each account.")
@click.option("--uses", type=int, required=True, help="How many accounts may redeem it.")
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), required=True, help="The first day it is over (UTC).")
@click.option("--note", default="", help="What it is for.")
@operator
def create(code: str, credits_each: int, uses: int, expires: datetime, note: str, operator: str) -> None:
    """Make a code. One that can give much waits for an operator's approval."""
    try:
        made = codes.create(
            deps.store(),
            code,
            credits_each=credits_each,
            max_uses=uses,
            expires_at=expires.replace(tzinfo=UTC),
            created_by=operator,
            limit=deps.config().adjust_limit,
            now=utcnow(),
            note=note,
            on_command_line=True,
        )
    except DomainError as error:
        raise click.ClickException(error.message) from error
    if isinstance(made, Proposal):
        click.echo(f"Proposed; an operator must approve it: {made.amount:,} credits in all.")
        return
    click.echo(f"{made.code}: {made.credits:,} credits for each of {made.max_uses:,} accounts.")


@group.command("list")
def list_codes() -> None:
    """All codes, newest first."""
    rows = [
        (c.code, f"{c.credits:,}", f"{c.uses} of {c.max_uses}", f"{c.expires_at:%Y-%m-%d}", "off" if c.disabled else "")
        for c in deps.store().codes.every()
    ]
    print_table(("code", "credits", "used", "expires", ""), rows)


@group.command("disable")
@click.argument("code", type=Pasted())
@click.option("--reason", required=True, help="Goes into the audit log.")
@operator
def disable(code: str, reason: str, operator: str) -> None:
    """Switch a code off; what was redeemed stays."""
    try:
        codes.disable(deps.store(), code, actor=operator, reason=reason, now=utcnow())
    except DomainError as error:
        raise click.ClickException(error.message) from error
    click.echo(f"{code.upper()} is off.")
