"""`flask doctor`: what is right and wrong with this deployment, in sentences that name the setting."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict

import click
from flask.cli import with_appcontext

from app.cli.scheduled import scheduled
from app.cli.watching import until_stopped
from app.domain.clock import to_iso, utcnow
from app.domain.doctor import NOT_ASKED, RIGHT, UNKNOWN, WRONG, Finding, exit_status, names_of
from app.domain.errors import DomainError
from app.services import doctor
from app.services.doctor import FAMILIES
from app.web import deps

log = logging.getLogger(__name__)

MARKS = {RIGHT: "right    ", WRONG: "WRONG    ", UNKNOWN: "unknown  ", NOT_ASKED: "not asked"}
STATES = {0: RIGHT, 1: WRONG, 3: UNKNOWN}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="For programs: one object an examination.")
@click.option("--only", "families", multiple=True, type=click.Choice(list(FAMILIES)), help="Only these checks.")
@click.option("--before-release", is_flag=True, help="Leave out what only a release can mend.")
@click.option("--keep", is_flag=True, help="Keep it for /admin/system. Ends with 0 when it is kept, whatever is found.")
@click.option("--watch", is_flag=True, help="Examine again and again; after the first time say what has changed.")
@click.option(
    "--every", type=click.FloatRange(1, 86_400), default=3600.0, show_default=True, help="Seconds between examinations."
)
@with_appcontext
def command(
    as_json: bool, families: tuple[str, ...], before_release: bool, keep: bool, watch: bool, every: float
) -> None:
    """Look at everything that this deployment depends on. Writes nothing but a file, which it removes, and with --keep
    what it has found.

    Ends with 0 when all is right, 1 when something is wrong, 3 when nothing is but something cannot be told.
    """
    if keep and (families or before_release):
        raise click.UsageError("What is kept is the whole: --keep goes with neither --only nor --before-release.")
    if watch:
        _watch(as_json, families, before_release, keep, every)
    elif keep:
        _examine_and_keep(as_json, every)
    else:
        findings = doctor.examine(deps.patient(), before_release=before_release, families=families)
        _print(findings, as_json)
        sys.exit(exit_status(findings))


@scheduled
def _examine_and_keep(as_json: bool, every: float) -> None:
    findings = doctor.examine(deps.patient())
    _print(findings, as_json)
    try:
        doctor.keep(deps.store(), deps.config(), findings, every_seconds=every, now=utcnow())
    except DomainError as error:
        raise click.ClickException(f"It is not kept: {error.message}") from error


def _watch(as_json: bool, families: tuple[str, ...], before_release: bool, keep: bool, every: float) -> None:
    before: list[Finding] = []
    with until_stopped() as stop:
        while not stop.is_set():
            findings = doctor.examine(deps.patient(), before_release=before_release, families=families)
            _print_changes(before, findings, as_json)
            if keep:
                _keep(findings, every)
            before = findings
            stop.wait(every)


def _keep(findings: list[Finding], every: float) -> None:
    try:
        doctor.keep(deps.store(), deps.config(), findings, every_seconds=every, now=utcnow())
    except DomainError as error:  # the store is down: the next one is kept
        log.error("the doctor's findings not kept: %s", error.code)


def _print_changes(before: list[Finding], findings: list[Finding], as_json: bool) -> None:
    if as_json or not before:
        _print(findings, as_json)
        return
    known = {(finding.name, finding.state, finding.mend) for finding in before}  # sentences tell of time that passes
    for finding in findings:
        if (finding.name, finding.state, finding.mend) not in known:
            click.echo(f"{to_iso(utcnow())[:19]}Z  {_line(finding)}")


def _print(findings: list[Finding], as_json: bool) -> None:
    if as_json:
        state = STATES[exit_status(findings)]
        found = {"at": to_iso(utcnow()), "state": state, "findings": [asdict(finding) for finding in findings]}
        click.echo(json.dumps(found, ensure_ascii=False))
        return
    for finding in findings:
        click.echo(_line(finding))
    click.echo(_sum(findings))


def _line(finding: Finding) -> str:
    mend = f" Mend: {finding.mend}" if finding.mend else ""
    return _plain(f"{MARKS[finding.state]}  {finding.name}: {finding.sentence}{mend}")


def _sum(findings: list[Finding]) -> str:
    names, untold = names_of(findings, WRONG), names_of(findings, UNKNOWN)
    told = f"Wrong: {', '.join(names)}." if names else "Nothing is wrong."
    return _plain(told + (f" Cannot be told: {', '.join(untold)}." if untold else ""))


def _plain(text: str) -> str:
    """One line, whatever somebody else's words hold."""
    return "".join(char if char.isprintable() else " " for char in text)
