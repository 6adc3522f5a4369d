"""`flask restore`: whether tables that were restored are whole."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import click

from app.cli.groups import Group
from app.cli.tables import print_table
from app.domain.errors import InvalidInput
from app.services import restored
from app.web import deps

group = Group("restore", help="Tables that were restored.")
MANIFEST = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@group.command("check")
@click.option(
    "--manifest",
    "manifests",
    type=MANIFEST,
    multiple=True,
    help="manifest-summary.json of a table's export, once for each table.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def check(manifests: tuple[Path, ...], as_json: bool) -> None:
    """Compare the tables with one another, with the files and with the exports. Changes nothing, makes nothing.

    Before anybody writes. Ends with 1 and a table of what is missing or differs.
    """
    found = deps.get()
    report = restored.check(found.store, found.files, _rows(manifests), progress=_progress)
    if as_json:
        click.echo(json.dumps(asdict(report)))
    else:
        _say(report)
    if report.differences:
        sys.exit(1)


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
