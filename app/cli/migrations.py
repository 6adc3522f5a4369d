"""`flask tables migrate`: bring stored rows to what a later release will rely on."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from app.data.migrations import MIGRATIONS, Migrations
from app.domain.clock import utcnow
from app.web import deps

from .groups import Group

group = Group("tables", help="Migrations of stored rows.")


@group.command("migrate")
@click.option("--dry-run", is_flag=True, help="Only say how many rows each would change.")
@click.option("--again", is_flag=True, help="From the beginning, also what is done: as after a restored backup.")
@with_appcontext
def migrate(dry_run: bool, again: bool) -> None:
    """Do what is pending. Safe to repeat, to break off, to run twice at once, and while customers are at work."""
    store = deps.store()
    migrations = Migrations(store.client, store.prefix)
    wanted = list(MIGRATIONS) if again else migrations.pending()
    for migration in wanted:
        if dry_run:
            click.echo(f"{migration}: {migrations.count(migration):,} rows would change.")
            continue
        done = migrations.run(migration, utcnow(), say=click.echo, again=again)
        click.echo(f"{migration}: done; {done.looked_at:,} rows looked at, {done.changed:,} changed.")
    if not wanted:
        click.echo("Nothing is pending.")
