"""`flask restore`: from a backup or to a moment into tables of a fresh prefix, and whether they are whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from app.cli.backup import copies_of, depot_at, newest, progress, say
from app.cli.groups import Group
from app.cli.tables import print_table
from app.cli.tasks import operator
from app.config import Config
from app.data import Store
from app.data.recovery import Recovery
from app.data.table_copies import TableCopies
from app.data.table_setup import expire, protect
from app.domain.audit import act_in_words
from app.domain.clock import to_iso, utcnow
from app.domain.errors import DomainError, InvalidInput
from app.domain.formatting import count
from app.gateways.depots import BUCKET, Depot
from app.services import restored
from app.services.backup import looking, moments, restoring, result_files, settling
from app.services.backup.looking import Backup
from app.services.books import Difference
from app.web import deps

group = Group("restore", help="Back from a backup, or to a moment; and whether it is whole.")
MOMENT = click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"])
CHECKPOINT = click.Path(dir_okay=False, path_type=Path)
MANIFEST = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@group.command("check")
@click.option(
    "--manifest",
    "manifests",
    type=MANIFEST,
    multiple=True,
    help="manifest-summary.json of a table's export, once for each table.",
)
@click.option("--from", "where", metavar="DEPOT", help="A depot, in the place of --manifest: it has them all.")
@click.option("--name", default="", help="Which of its backups: the newest, unless one is named.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def check(manifests: tuple[Path, ...], where: str | None, name: str, as_json: bool) -> None:
    """Compare the tables with one another, with the files and with the exports. Changes nothing, makes nothing.

    Before anybody writes. Ends with 1 and a table of what is missing or differs.
    """
    found = deps.get()
    rows = _rows(manifests)
    if where:
        depot = depot_at(where, found.config)
        rows |= restoring.told(looking.look(depot, name or newest(depot, where)))
    report = restored.check(found.store, found.files, rows, progress=_progress)
    if as_json:
        click.echo(json.dumps(asdict(report)))
    else:
        _say(report)
    if report.differences:
        sys.exit(1)


@group.command("run")
@click.option("--prefix", required=True, help="Begins the names of the tables that are made: a fresh one.")
@click.option("--from", "where", metavar="DEPOT", help="A folder, or s3://bucket/prefix, with backups.")
@click.option("--name", default="", help="Which backup: the newest, unless one is named.")
@click.option("--moment", type=MOMENT, help="Back to that second (UTC) by DynamoDB itself, in the place of --from.")
@click.option("--files", "files_from", metavar="DEPOT", help="Where files of results are; the depot itself, of ours.")
@click.option("--without", multiple=True, metavar="TABLE", help="A table that the backup need not have.")
@click.option("--checkpoint", type=CHECKPOINT, help="Says how far it is; restore-<prefix>.json unless named.")
def run(
    prefix: str,
    where: str | None,
    name: str,
    moment: datetime | None,
    files_from: str | None,
    without: tuple[str, ...],
    checkpoint: Path | None,
) -> None:
    """Restore every table into a fresh prefix, then the files of results; compare everything; say what comes next.

    Broken off at any point, the same command goes on. Changes no table of another prefix. Ends with 1 and a table of
    what is missing or differs.
    """
    if (where is None) == (moment is None):
        raise click.UsageError("Give either --from, a depot with backups, or --moment.")
    config = deps.config()
    if prefix == config.table_prefix and moment is not None:
        raise click.UsageError(f"{prefix} is where the tables are: --prefix takes a fresh one.")
    copies = copies_of(config, prefix)
    store = Store(copies.client, prefix)
    if moment is not None:
        moment = moment.replace(tzinfo=UTC)
        moments.run(
            Recovery(copies.client, config.table_prefix), Recovery(copies.client, prefix), copies, moment, say=progress
        )
        manifests, differences = {}, []
    else:
        depot = depot_at(str(where), config)
        backup = _chosen(depot, str(where), name, without)
        moment = min((one.summary.moment for one in backup.exports.values() if one.summary.moment), default=None)
        path = checkpoint or Path(f"restore-{prefix.strip('_') or 'tables'}.json")
        differences = _restore(depot, backup, copies, path)
        manifests = restoring.told(backup)
        files_from = files_from or (None if str(where).startswith(BUCKET) else str(where))
    if files_from:
        differences += result_files.put_back(store, deps.get().files, depot_at(files_from, config), say=progress)
    settings_of(config, copies)
    report = restored.check(store, deps.get().files, manifests, progress=_progress)
    report.differences[:0] = differences
    _say(report)
    if report.differences:
        sys.exit(1)
    _say_next(prefix, moment)


@group.command("settle")
@click.option("--lost", metavar="PREFIX", help="Tables of before, where they can still be read: who has left since.")
@click.option("--imported", is_flag=True, help="The tables are of a restore, though restore run has not made them.")
@operator
def settle(lost: str | None, imported: bool, operator: str) -> None:
    """Delete again whoever has deleted an account since, and sign everybody out. Before anybody is served.

    A session that was ended since, and an account that was deleted, would be back. Safe to repeat and to break off.
    """
    found, config = deps.get(), deps.config()
    before = None
    if not imported and not copies_of(config).mark_of("Users"):
        raise click.UsageError(
            f"{config.table_prefix} was not made by restore run: name the restored one in TABLE_PREFIX."
        )
    if lost is not None:
        if lost == config.table_prefix:
            raise click.UsageError(f"{lost} is what is settled here: --lost takes the prefix of before.")
        copies = copies_of(config, lost)
        if copies.find("Users") is None or copies.find("Audit") is None:
            raise click.UsageError(f"There are no tables {lost}Users and {lost}Audit: leave --lost out.")
        before = Store(copies.client, lost)
    try:
        done = settling.settle(found.store, found.files, before, actor=operator, now=utcnow(), say=progress)
    except DomainError as error:
        raise click.ClickException(f"{error.message} What was done by then stands; run it again.") from error
    if done.acts:
        rows = [(act_in_words(act), about, times) for (act, about), times in sorted(done.acts.items())]
        print_table(("what was done since, and is not here", "about", "times"), rows)
        click.echo()
    click.echo(f"{count(done.signed_out, 'account')} signed out, {done.deleted:,} deleted again.")
    if before is None:
        click.echo("Who has left since is not known without --lost: delete again who is known to have.")
    for email in done.open_tasks:
        click.echo(f"{email} had deleted the account, and has open tasks here: reject them, then run this again.")
    if done.open_tasks:
        sys.exit(1)


def _chosen(depot: Depot, where: str, name: str, without: tuple[str, ...]) -> Backup:
    backup = looking.look(depot, name or newest(depot, where), without=without)
    if backup.torn:
        click.echo(f"{backup.name} is not of one moment: {', '.join(backup.torn)} changed while they were read.")
    click.echo(f"{backup.name}: {count(backup.rows, 'row')} of {len(backup.exports)} tables.")
    return backup


def _restore(depot: Depot, backup: Backup, copies: TableCopies, path: Path) -> list[Difference]:
    try:
        return restoring.run(depot, backup, copies, path, say=progress)
    except restoring.NotWhole as error:
        say(backup)
        raise click.ClickException(error.message) from error


def settings_of(config: Config, copies: TableCopies) -> None:
    """Times to live, recovery and protection, which no restore brings along; the first after all rows were compared."""
    expire(copies.client, copies.prefix, say=progress)
    if config.dynamodb_endpoint_url and not config.is_production:
        click.echo("The store is local: point-in-time recovery and protection are not set.")
    else:
        protect(copies.client, copies.prefix, say=progress)


def _say_next(prefix: str, moment: datetime | None) -> None:
    since = f"{to_iso(moment)[:19]}" if moment else "<the moment of the backup>"
    click.echo(f"""
Nobody is served from these tables yet. Next:

  1. Look: TABLE_PREFIX={prefix} flask --app app.wsgi doctor --only store --only files
  2. Settle: TABLE_PREFIX={prefix} flask --app app.wsgi restore settle, with --lost and the prefix of before if those
     tables can still be read: signs everybody out, and deletes again who has left since
  3. Serve: the service with TablePrefix={prefix} and its usual WebTasks (locally: TABLE_PREFIX={prefix} scripts/run)
  4. Stripe: TABLE_PREFIX={prefix} flask --app app.wsgi books reconcile --since {since}
  5. Tell customers: tasks, codes and adjustments since {since} (UTC) are lost; passwords, passkeys and second factors
     are those of then; mails that waited then go out again.

docs/operating.md, "When the data is gone", has what is seen at each step.""")


def _rows(manifests: Iterable[Path]) -> dict[str, int]:
    rows = {}
    for path in manifests:
        try:
            name, count = restored.read_manifest(path.read_text(encoding="utf-8"))
        except InvalidInput as error:
            raise click.ClickException(f"{path}: {error.message}") from error
        rows[name] = count
    return rows


def _say(report: restored.Report) -> None:
    if report.rows:
        print_table(("table", "rows"), [(name, f"{rows:,}") for name, rows in report.rows.items()])
    for line in report.not_compared:
        click.echo(f"Not compared: {line}")
    if report.differences:
        click.echo()
        print_table(("subject", "what", "expected", "found"), restored.as_words(report))
        click.echo(f"\n{len(report.differences)} differences. Do not serve from these tables.")
    else:
        click.echo("The tables, the files and the books agree.")


def _progress(what: str, done: int) -> None:
    if done % 10_000 == 0:
        click.echo(f"… {what}{f', {done:,} so far' if done else ''}", err=True)
