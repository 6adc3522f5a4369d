"""`flask doctor`: what is right and wrong with this deployment, in sentences that name the setting."""

from __future__ import annotations

import sys

import click
from flask.cli import with_appcontext

from app.services import doctor
from app.web import deps

MARKS = {doctor.OK: "ok     ", doctor.WARNING: "warning", doctor.FAULT: "FAULT  "}


@click.command("doctor")
@with_appcontext
def command() -> None:
    """Look at settings, tables and Stripe. Ends with 1 when something is at fault."""
    found = deps.get()
    patient = doctor.Patient(found.config, found.store, found.stripe, deps.named_sales(), found.texts)
    faults = 0
    for finding in doctor.examine(patient):
        faults += finding.level == doctor.FAULT
        click.echo(f"{MARKS[finding.level]}  {finding.sentence}")
    if faults:
        sys.exit(1)
