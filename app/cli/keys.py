"""`flask keys`: API keys of an account, and the end of one."""

from __future__ import annotations

import json

import click

from app.cli.accounts import named
from app.cli.groups import Group, Pasted
from app.cli.tables import print_table
from app.cli.tasks import as_json, operator, told
from app.domain.api_keys import is_whole, key_id_of
from app.domain.clock import to_iso, utcnow
from app.domain.errors import NotFound
from app.services import api_keys
from app.web import deps
from app.web.shapes import API_KEY

group = Group("keys", help="API keys.")


@group.command("list")
@click.argument("account", type=Pasted())
@as_json
def list_keys(account: str, as_json: bool) -> None:
    """API keys of one account, named by its address or its id: those that are alive, and those that have ended."""
    found = told(lambda: named(account))
    keys = told(lambda: deps.store().api_keys.of(found))
    now = utcnow()
    if as_json:
        click.echo(json.dumps([API_KEY(key, alive=key.is_alive(found, now)) for key in keys]))
        return
    print_table(
        ("id", "name", "may", "credits a month", "spent", "last used", ""),
        [
            (
                key.key_id,
                key.name,
                " ".join(sorted(key.scopes)),
                f"{key.credits_a_month:,}" if key.credits_a_month else "no limit",
                f"{sum(key.spent.values()):,}",
                to_iso(key.used_at)[:13].replace("T", " ") + " h" if key.used_at else "never",
                "alive" if key.is_alive(found, now) else "ended",
            )
            for key in keys
        ],
    )


@group.command("revoke")
@click.argument("key", type=Pasted())
@click.option("--reason", required=True, help="Its owner gets it by mail; goes into the audit log.")
@operator
def revoke(key: str, reason: str, operator: str) -> None:
    """End an API key at once, named by its id, or by itself where somebody has found it."""
    store, key_id = deps.store(), key_id_of(key) if is_whole(key) else key

    def end() -> str:
        found = store.api_keys.find(key_id)
        if found is None:
            raise NotFound("There is no such API key.")
        return api_keys.revoke_by_operator(store, operator, found.user_email, key_id, reason, now=utcnow()).name

    click.echo(f"The API key {told(end)} is revoked, and its owner is told.")
