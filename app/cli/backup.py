"""`flask backup`: exports of every table, and whether they are whole."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from app.cli.groups import Group
from app.cli.tables import print_table
from app.config import Config
from app.data.client import make_client
from app.data.table_copies import TableCopies
from app.domain.clock import to_iso, utcnow
from app.domain.formatting import count
from app.gateways.depots import Depot, open_depot
from app.services.backup import looking, own_export, result_files
from app.services.backup.looking import Backup
from app.web import deps

group = Group("backup", help="Exports of every table, and whether they are whole.")


@group.command("export")
@click.option(
    "--to", "to", required=True, metavar="DEPOT", help="A folder, or s3://bucket/prefix: we export ourselves."
)
@click.option("--no-files", is_flag=True, help="Leave the files of results out.")
@click.option("--name", default="", help="Go on with a run that was broken off, or give the backup this name.")
def export(to: str, name: str, no_files: bool) -> None:
    """Export every table in the format of DynamoDB's own exports. Changes nothing; safe beside customers at work.

    Says which tables changed while they were read. Broken off, it goes on with --name.
    """
    config, depot = deps.config(), depot_at(to, deps.config())
    done = own_export.export(copies_of(config), depot, clock=utcnow, name=name, say=progress)
    if not no_files:
        copied = result_files.keep(deps.get().files, depot, say=progress)
        click.echo(f"{count(copied, 'file')} of results copied; the others were there.")
    click.echo(f"{done.name}: {count(sum(done.rows.values()), 'row')} of {len(done.rows)} tables, in {to}.")
    if done.torn:
        click.echo(f"Changed while they were read, so not of one moment: {', '.join(done.torn)}.")
    else:
        click.echo("Nothing has changed meanwhile: all tables are of one moment.")


@group.command("list")
@click.option("--from", "where", required=True, metavar="DEPOT", help="A folder, or s3://bucket/prefix.")
def list_backups(where: str) -> None:
    """What backups a depot has, the newest first, and whether their manifests are whole."""
    depot = depot_at(where, deps.config())
    rows = []
    for name in reversed(looking.names(depot)):
        backup = looking.look(depot, name)
        moments = sorted(to_iso(one.summary.moment)[:19] for one in backup.exports.values() if one.summary.moment)
        state = count(len(backup.faults), "fault") if backup.faults else "whole"
        rows.append((name, moments[0] if moments else "", len(backup.exports), f"{backup.rows:,}", state))
    if rows:
        print_table(("backup", "moment (UTC)", "tables", "rows", "manifests"), rows)
    else:
        click.echo(f"There is no backup in {where}.")


@group.command("verify")
@click.argument("name", required=False)
@click.option("--from", "where", required=True, metavar="DEPOT", help="A folder, or s3://bucket/prefix.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def verify(name: str | None, where: str, as_json: bool) -> None:
    """Read a backup from beginning to end, the newest unless one is named: manifests, checksums, rows of each file.

    Changes nothing. Ends with 1 and a table of what is wrong.
    """
    depot = depot_at(where, deps.config())
    name = name or newest(depot, where)
    backup = looking.read(depot, looking.look(depot, name), say=progress)
    if as_json:
        click.echo(json.dumps({"name": name, "rows": backup.rows, "faults": [asdict(one) for one in backup.faults]}))
    else:
        say(backup)
    if backup.faults:
        sys.exit(1)


def say(backup: Backup) -> None:
    if backup.torn:
        click.echo(f"Changed while they were read, so not of one moment: {', '.join(backup.torn)}.")
    if backup.faults:
        print_table(("subject", "what"), [(fault.subject, fault.what) for fault in backup.faults])
        click.echo(f"\n{backup.name} is not whole: {count(len(backup.faults), 'fault')}. Restore nothing from it.")
    else:
        click.echo(f"{backup.name} is whole: {count(backup.rows, 'row')} of {len(backup.exports)} tables.")


def progress(line: str) -> None:
    click.echo(f"… {line}", err=True)


def newest(depot: Depot, where: str) -> str:
    found = looking.names(depot)
    if not found:
        raise click.ClickException(f"There is no backup in {where}.")
    return found[-1]


def copies_of(config: Config, prefix: str = "") -> TableCopies:
    """All tables by a client that waits: nobody sits at a page."""
    client = make_client(config, endpoint_url=config.dynamodb_endpoint_url, patient=True)
    return TableCopies(client, prefix or config.table_prefix)


def depot_at(address: str, config: Config, region: str = "") -> Depot:
    return open_depot(address, region or config.aws_region, config.s3_endpoint_url)
