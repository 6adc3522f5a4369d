"""`flask demo`: data to try the app with, never in production."""

from __future__ import annotations

import json

import click

from app.cli.groups import Group
from app.domain.accounts import MAX_PASSWORD_BYTES
from app.domain.clock import utcnow
from app.services import seed
from app.web import deps

group = Group("demo", help="Data to try the app with.")


@group.command("seed")
@click.option("--password", envvar="DEMO_PASSWORD", default=None, help="For both; random ones are made otherwise.")
def seed_demo(password: str | None) -> None:
    """Make a demo customer with 1,000 credits and a demo operator, once; prints a line of JSON for each."""
    found = deps.get()
    if found.config.is_production:
        raise click.ClickException("There is no demo data in production.")
    if password and len(password.encode(errors="replace")) > MAX_PASSWORD_BYTES:
        raise click.ClickException(f"A password has at most {MAX_PASSWORD_BYTES} bytes.")
    for line in seed.demo(found.store, found.passwords, password=password, now=utcnow()):
        click.echo(json.dumps(line))
