"""The same SQL for Athena: its tables over the export, the rules, and what is asked of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from app.domain.backups import FOLDER, SUMMARY, read_summary
from app.services.backup.looking import suffix_of

from .rules import ATHENA, FINDINGS, ROLL_FORWARD, UNSPENT, liability, statements, unspent_statements
from .sources import SOURCES, athena_type

SERDE = "org.openx.data.jsonserde.JsonSerDe"  # https://docs.aws.amazon.com/athena/latest/ug/openx-json-serde.html
PLACE = "s3://BUCKET/PREFIX/AWSDynamoDB/EXPORT_ID_OF_{table}/data/"


def places_in(folder: Path) -> dict[str, str]:
    """Where the data files of each table lie in S3, by the manifests of their exports that were copied to a folder.

    Raises InvalidInput for what is no manifest of a whole table.
    """
    found = {}
    for path in sorted(folder.rglob(SUMMARY)):
        summary, told = read_summary(path.read_text()), json.loads(path.read_text())
        prefix = f"{told['s3Prefix'].strip('/')}/" if told.get("s3Prefix") else ""
        if table := suffix_of(summary.table):
            found[table] = f"s3://{told.get('s3Bucket')}/{prefix}{FOLDER}{summary.export_id}/data/"
    return found


def tables(places: Mapping[str, str]) -> dict[str, str]:
    """What makes each table over the data files of its export; of one without a place the words in capitals are put
    right by hand.
    """
    made = {}
    for table, attributes in SOURCES.items():
        place = places.get(table) or PLACE.format(table=table.upper())
        made[f"{table.lower()}_export"] = (
            f"CREATE EXTERNAL TABLE {table.lower()}_export (item {athena_type(attributes)})\n"
            f"ROW FORMAT SERDE '{SERDE}'\nLOCATION '{place}'"
        )
    return made


def rules() -> dict[str, str]:
    return dict(statements(ATHENA)) | dict(unspent_statements(ATHENA))


def questions() -> dict[str, str]:
    return {
        "findings": FINDINGS,
        "liability": liability(None),
        "roll-forward": ROLL_FORWARD,
        "unspent": UNSPENT,
    }


def files(places: Mapping[str, str]) -> dict[str, str]:
    """Each file by its name; statements are run one by one, in the order of the names."""
    made = {}
    for number, (name, statement) in enumerate(tables(places).items(), 1):
        made[f"1-tables/{number:02}-{name}.sql"] = statement
    for number, (name, statement) in enumerate(rules().items(), 1):
        made[f"2-rules/{number:02}-{name}.sql"] = statement
    for name, statement in questions().items():
        made[f"3-questions/{name}.sql"] = statement
    return {name: f"{statement};\n" for name, statement in made.items()}


def write(folder: Path, places: Mapping[str, str]) -> None:
    for name, text in files(places).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
