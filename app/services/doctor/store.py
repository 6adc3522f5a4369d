"""Checks of DynamoDB: tables, indexes, times to live, recovery, region, clock, and migrations that are pending."""

from __future__ import annotations

from collections.abc import Iterator

from app.data.migrations import MAILS_OF_BEFORE
from app.data.table_setup import Difference
from app.domain.clock import machine_now
from app.domain.clock_reading import OFF, RIGHT
from app.domain.doctor import CannotTell, Finding, not_asked, right, wrong

from ..clock_check import sentence
from .patient import FLASK, SET_UP, Check, Patient


def tables(patient: Patient) -> Iterator[Finding]:
    found = [difference for difference in patient.store.table_differences() if difference.index is None]
    for difference in found:
        yield wrong(f"TABLE_PREFIX: {difference.what}.", _mend(difference))
    if not found:
        yield right(f"All tables with the prefix {patient.store.prefix} are there, with their keys.")


def indexes(patient: Patient) -> Iterator[Finding]:
    found = [difference for difference in patient.store.table_differences() if difference.index]
    for difference in found:
        yield wrong(f"{_capital(difference.what)}.", _mend(difference))
    if not found:
        yield right("Every index of the tables that are there is as it is read.")


def times_to_live(patient: Patient) -> Iterator[Finding]:
    found = patient.store.expiry_differences()
    for difference in found:
        yield wrong(f"{_capital(difference.what)}: what has expired stays.", SET_UP)
    if not found:
        yield right("Rows that expire do.")


def recovery(patient: Patient) -> Iterator[Finding]:
    """Whether the tables can be put back to an earlier moment, and refuse to be deleted."""
    if patient.is_local(patient.config.dynamodb_endpoint_url):
        yield not_asked(f"The store is local ({patient.config.dynamodb_endpoint_url}): its journal stands in for both.")
        return
    no_recovery, deletable = patient.store.unrecoverable_tables(), patient.store.deletable_tables()
    for name in no_recovery:
        spec = "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
        mend = f"aws dynamodb update-continuous-backups --table-name {name} {spec}"
        yield wrong(f"Table {name} has no point-in-time recovery: what is overwritten is lost.", mend)
    for name in deletable:
        mend = f"aws dynamodb update-table --table-name {name} --deletion-protection-enabled"
        yield wrong(f"Table {name} can be deleted by one call.", mend)
    if not no_recovery and not deletable:
        yield right("Every table can be put back to any second of the last 35 days, and refuses to be deleted.")


def region(patient: Patient) -> Iterator[Finding]:
    """Where the tables are, as they say themselves."""
    asked, local = patient.config.aws_region, patient.config.dynamodb_endpoint_url
    found = patient.store.table_regions()
    if not found:
        yield wrong(
            f"AWS_REGION is {asked}, and none of the tables is there.",
            f"AWS_REGION=<the region of the tables>; if they are still to be made: {SET_UP}",
        )
        return
    for elsewhere in sorted(found - {asked}):
        yield wrong(f"AWS_REGION is {asked}, and tables are in {elsewhere}.", f"AWS_REGION={elsewhere}")
    if found == {asked}:
        yield right(f"The tables are in {asked}" + (f", local at {local}." if patient.is_local(local) else "."))


def clock(patient: Patient) -> Iterator[Finding]:
    reading = patient.store.read_clock(machine_now)
    if reading is None:
        raise CannotTell("the store's answers have no date to compare this machine's clock with")
    if reading.state == RIGHT:
        yield right(f"This machine's clock is right, to {reading.margin_seconds} s.")
        return
    words = sentence(reading) or ""
    more = "" if reading.state == OFF else " Beyond five minutes Stripe's webhooks are refused."
    yield wrong(words + more, "timedatectl set-ntp true; on Fargate stop the task, another is started")


def migrations(patient: Patient) -> Iterator[Finding]:
    pending = patient.store.pending_migrations()
    for migration in pending:
        yield wrong(f"{migration} is pending: run it once the release before has ended.", f"{FLASK} tables migrate")
    if not pending:
        yield right("No migration of stored rows is pending.")
    if patient.config.outbox_one_key and MAILS_OF_BEFORE not in pending:
        yield right(
            "OUTBOX_ONE_KEY is 1: mails stand where the release before looks for them, too. Once none of it runs any "
            "more, 0 may be set for every process: nothing is left to migrate for it."
        )


def _mend(difference: Difference) -> str:
    return difference.way.partition(" makes it")[0]


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


CHECKS = (
    Check("tables", tables),
    Check("indexes", indexes),
    Check("times to live", times_to_live),
    Check("recovery", recovery),
    Check("region", region),
    Check("clock", clock),
    Check("migrations", migrations, before_release=False),  # once the release before has ended
)
