"""`flask backup`: exports of every table, and whether they are whole."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from app.cli.groups import Group
from app.cli.scheduled import scheduled
from app.cli.tables import print_table
from app.config import Config
from app.data.client import make_client
from app.data.recovery import Recovery
from app.data.table_copies import TableCopies
from app.domain.clock import machine_now, to_iso, utcnow
from app.domain.formatting import count
from app.gateways.depots import Bucket, Depot, open_depot
from app.services.backup import looking, nightly, own_export, result_files
from app.services.backup.looking import Backup
from app.services.backup.vault import Vault
from app.web import deps

MOST_FILES = 50  # that are listed

group = Group("backup", help="Exports of every table, and whether they are whole.")


@group.command("export")
@click.option("--to", "to", metavar="DEPOT", help="A folder, or s3://bucket/prefix: we export ourselves.")
@click.option("--no-files", is_flag=True, help="With --to: leave the files of results out.")
@click.option("--name", default="", help="With --to: go on with a run that was broken off, or give it this name.")
def export(to: str | None, name: str, no_files: bool) -> None:
    """Export every table, all of one moment: DynamoDB does so into BACKUP_BUCKET, and this waits for its end.

    With --to it reads the tables itself, in the same format, and says which changed while they were read. Changes
    nothing; safe beside customers at work, and to repeat: a night has one backup.
    """
    if to is None:
        if name or no_files:
            raise click.UsageError("--name and --no-files go with --to.")
        _export_nightly()
        return
    config, depot = deps.config(), depot_at(to, deps.config())
    done = own_export.export(copies_of(config), depot, clock=utcnow, name=name, say=progress)
    click.echo(f"{done.name}: {count(sum(done.rows.values()), 'row')} of {len(done.rows)} tables, in {to}.")
    if done.torn:
        click.echo(f"Changed while they were read, so not of one moment: {', '.join(done.torn)}.")
    else:
        click.echo("Nothing has changed meanwhile: all tables are of one moment.")
    if not no_files:
        copied = result_files.keep(deps.get().files, depot, say=progress)
        click.echo(f"{count(copied, 'file')} of results copied; the others were there.")


@scheduled
def _export_nightly() -> None:
    config = deps.config()
    if config.dynamodb_endpoint_url and not config.is_production:
        raise click.ClickException("The store is local, and exports nothing by itself: --to names where to export to.")
    copies = copies_of(config)
    recovery = Recovery(copies.client, copies.prefix)
    backup = nightly.export(recovery, copies, _home(), clock=machine_now, say=progress)
    say(backup)
    if backup.faults:
        sys.exit(1)


@group.command("list")
@click.option("--from", "where", metavar="DEPOT", help="A folder, or s3://bucket/prefix; BACKUP_BUCKET unless named.")
def list_backups(where: str | None) -> None:
    """What backups a depot has, the newest first, and whether their manifests are whole."""
    depot = depot_at(where, deps.config()) if where else _home()
    rows = []
    for name in reversed(looking.names(depot)):
        backup = looking.look(depot, name)
        moments = sorted(to_iso(one.summary.moment)[:19] for one in backup.exports.values() if one.summary.moment)
        state = count(len(backup.faults), "fault") if backup.faults else "whole"
        rows.append((name, moments[0] if moments else "", len(backup.exports), f"{backup.rows:,}", state))
    if rows:
        print_table(("backup", "moment (UTC)", "tables", "rows", "manifests"), rows)
    else:
        click.echo(f"There is no backup in {depot}.")


@group.command("verify")
@click.argument("name", required=False)
@click.option("--from", "where", metavar="DEPOT", help="A folder, or s3://bucket/prefix, in the place of both buckets.")
@click.option("--json", "as_json", is_flag=True, help="With --from, for programs.")
def verify(name: str | None, where: str | None, as_json: bool) -> None:
    """Whether last night's backup is whole, in BACKUP_BUCKET and in the copy, and whether the copy has all files.

    That is by the manifests, and by what S3 knows each data file by. With --from a backup is read from beginning to
    end, the newest unless one is named. Changes nothing. Ends with 1 and a table of what is wrong.
    """
    if where is None:
        if name or as_json:
            raise click.UsageError("A name and --json go with --from.")
        _verify_nightly()
        return
    depot = depot_at(where, deps.config())
    name = name or newest(depot, where)
    backup = looking.read(depot, looking.look(depot, name), say=progress)
    if as_json:
        click.echo(json.dumps({"name": name, "rows": backup.rows, "faults": [asdict(one) for one in backup.faults]}))
    else:
        say(backup)
    if backup.faults:
        sys.exit(1)


@scheduled
def _verify_nightly() -> None:
    vault, whole = Vault(deps.config()), True
    for place, depot in (("exports", _home()), ("copy", vault.copy)):
        if depot is None:
            click.echo("BACKUP_COPY_BUCKET is not set: there is no copy.")
            whole = False
            continue
        backup = nightly.last_night(depot, machine_now())
        click.echo(f"{place}: {depot}")
        say(backup)
        whole = whole and not backup.faults
    if vault.copied_files is not None and vault.files is not None:
        lacking = list(nightly.not_copied(vault.files, vault.copied_files, machine_now()))
        if lacking:
            print_table(("file", "what"), lacking[:MOST_FILES])
            click.echo(f"\n{count(len(lacking), 'file')} of results lack in the copy.")
        else:
            click.echo("The copy has every file of results.")
        whole = whole and not lacking
    if not whole:
        sys.exit(1)


def _home() -> Bucket:
    home = Vault(deps.config()).home
    if home is None:
        raise click.ClickException("BACKUP_BUCKET is not set: it names the bucket that the nightly exports go to.")
    return home


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
