"""The SQL for Athena: what stands in deploy/aws/athena is what the rules say, and Athena and Trino can read it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from scripts.books import athena
from scripts.books.audit import main
from scripts.books.export import write_export
from scripts.books.rules import ATHENA, DUCKDB, statements
from scripts.books.sources import SOURCES

FOLDER = Path(__file__).parents[1] / "deploy/aws/athena/sql"
FILES = athena.files({})


def test_what_is_deployed_is_what_the_rules_say(tmp_path):
    """scripts/books_sql athena --into deploy/aws/athena/sql writes it again."""
    assert {str(path.relative_to(FOLDER)): path.read_text() for path in FOLDER.rglob("*.sql")} == FILES


@pytest.mark.parametrize("dialect", ["athena", "trino"])
def test_each_statement_is_one_that_the_engine_reads(dialect):
    for name, text in FILES.items():
        if dialect == "trino" and name.startswith("1-tables/"):
            continue  # Athena hands these to Hive
        (statement,) = sqlglot.parse(text, read=dialect)
        assert isinstance(statement, exp.Create | exp.Select), name


def test_both_engines_make_the_same_tables_but_for_what_the_host_fills():
    of_athena, of_duckdb = ([name for name, _ in statements(to)] for to in (ATHENA, DUCKDB))

    assert [name for name in of_athena if name not in ("shards", "persons")] == of_duckdb


def test_no_statement_reads_a_table_before_it_is_made():
    known = {f"{table.lower()}_export" for table in SOURCES}
    for name, text in athena.rules().items():
        statement = sqlglot.parse_one(text, read="athena")
        inner = {cte.alias for cte in statement.find_all(exp.CTE)}
        read = {table.name for table in statement.find_all(exp.Table)} - {name} - inner
        assert read <= known, name
        known.add(name)


def test_the_places_of_the_data_come_from_the_manifests(tmp_path):
    write_export(tmp_path, "Mine_Users", [])
    path = next(tmp_path.rglob("manifest-summary.json"))
    path.write_text(
        path.read_text()
        .replace('"s3Bucket": ""', '"s3Bucket": "kept"')
        .replace('"s3Prefix": null', '"s3Prefix": "night"')
    )

    assert main(["athena", "--into", str(tmp_path / "sql"), "--manifests", str(tmp_path)]) == 0

    made = (tmp_path / "sql/1-tables/01-users_export.sql").read_text()
    export_id = path.parent.name
    assert f"LOCATION 's3://kept/night/AWSDynamoDB/{export_id}/data/'" in made
    assert "EXPORT_ID_OF_TASKS" in (tmp_path / "sql/1-tables/03-tasks_export.sql").read_text()


def test_an_export_that_is_not_whole_is_not_judged(tmp_path, capsys):
    for table in SOURCES:
        write_export(tmp_path, f"X_{table}", [])
    assert main(["check", "--export", str(tmp_path)]) == 0
    (one,) = [path for path in tmp_path.rglob("manifest-summary.json") if "X_Tasks" in path.read_text()]
    told = one.read_text()

    one.write_text(told.replace('"itemCount": 0', '"itemCount": 7'))
    one.with_suffix(".md5").unlink()
    assert main(["check", "--export", str(tmp_path)]) == 2
    assert "Tasks: the two manifests do not fit one another" in capsys.readouterr().err
    shutil.rmtree(one.parent)
    assert main(["check", "--export", str(tmp_path)]) == 2
    assert "Tasks: the table is missing" in capsys.readouterr().err


def test_without_duckdb_it_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)

    assert main(["check", "--export", str(tmp_path)]) == 2
    assert "requirements-audit.txt" in capsys.readouterr().err
