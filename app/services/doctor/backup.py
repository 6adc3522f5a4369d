"""Checks of the backup: its bucket and the copy in another place, what is replicated, and last night's exports."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.domain.clock import to_iso
from app.domain.doctor import CannotTell, Finding, not_asked, right, wrong
from app.domain.formatting import count
from app.gateways.depots import DepotUnavailable

from ..backup import nightly
from .patient import FLASK, Check, Patient

STACK = "scripts/deploy, which makes the stacks of deploy/aws/backup.yaml (docs: deploy/aws/README.md)"
COPY = f"copy_region in deploy/aws/deploy.toml, another region than its own; then {STACK}"
SERVICE = "of deploy/aws/service.yaml"


def backup_bucket(patient: Patient) -> Iterator[Finding]:
    """Whether there is one, where it should be."""
    if patient.is_local(patient.config.s3_endpoint_url) or not patient.config.is_production:
        yield not_asked("In development nothing is backed up by the clock: flask backup export --to a folder.")
        return
    config, home = patient.config, patient.vault.home
    if home is None:
        sentence = "BACKUP_BUCKET is not set: nothing is exported by night, and a lost account is lost."
        yield wrong(sentence, STACK)
        return
    region = _asked(home.region, f"BackupBucket {SERVICE}, or its policies")
    if region and region != config.aws_region:
        sentence = f"BACKUP_BUCKET: {config.backup_bucket} is in {region}, and AWS_REGION is {config.aws_region}."
        yield wrong(sentence, f"BACKUP_BUCKET=<a bucket in {config.aws_region}>: {STACK}")
    else:
        yield right(f"Exports go to the bucket {config.backup_bucket}.")


def backup_copy(patient: Patient) -> Iterator[Finding]:
    """Whether exports and files of results are replicated, to another bucket, in another place."""
    config, vault = patient.config, patient.vault
    if vault.home is None or not config.is_production:
        yield not_asked("There is no bucket of backups to copy.")
        return
    if vault.copy is None:
        sentence = "BACKUP_COPY_BUCKET is not set: the backup lies where the tables do, and is lost with them."
        yield wrong(sentence, COPY)
        return
    if config.backup_copy_bucket == config.backup_bucket:
        yield wrong("BACKUP_COPY_BUCKET is BACKUP_BUCKET: there is no copy.", COPY)
        return
    region = _asked(vault.copy.region, f"BackupCopyBucket and BackupCopyRegion {SERVICE}")
    named = config.backup_copy_region or config.aws_region
    if region and region != named:
        sentence = f"BACKUP_COPY_REGION is {named}, and {config.backup_copy_bucket} is in {region}."
        yield wrong(sentence, f"BACKUP_COPY_REGION={region}: BackupCopyRegion {SERVICE}")
        return
    lacking = False
    for what, bucket, mend in (
        ("Exports", vault.home, f"{STACK} with CopyBucket={config.backup_copy_bucket}"),
        ("Files of results", vault.files, f"BackupCopyBucket={config.backup_copy_bucket} {SERVICE}"),
    ):
        if bucket is not None and config.backup_copy_bucket not in _asked(bucket.replicas, "the role's policies"):
            lacking = True
            yield wrong(f"{what} are not replicated to {config.backup_copy_bucket}.", mend)
    if not lacking:
        yield right(f"Exports and files of results are replicated to {config.backup_copy_bucket} in {named}.")


def last_backup(patient: Patient) -> Iterator[Finding]:
    """Whether last night's exports are whole, in both places; by their manifests, no data is read."""
    if not patient.config.is_production or patient.vault.home is None:
        yield not_asked("There is no bucket of backups to look into.")
        return
    faults = False
    for place, depot in (("", patient.vault.home), (" in the copy", patient.vault.copy)):
        if depot is None:
            continue
        backup = _asked(lambda: nightly.last_night(depot, patient.now()), "the role's policies")  # noqa: B023
        for fault in backup.faults[:3]:
            faults = True
            yield wrong(f"Backup{place}: {fault.subject}: {fault.what}.", f"{FLASK} backup export; then backup verify")
    if not faults:
        moments = [one.summary.moment for one in backup.exports.values() if one.summary.moment]
        since = f" of {to_iso(min(moments))[:16]} (UTC)" if moments else ""
        yield right(f"The newest backup{since} is whole: {count(backup.rows, 'row')}.")


def _asked(ask: Any, mend: str) -> Any:
    try:
        return ask()
    except DepotUnavailable as error:
        raise CannotTell(error.message, mend) from error


CHECKS = (
    Check("backup bucket", backup_bucket, before_release=False),  # a parameter of the service: a release mends it
    Check("backup copy", backup_copy, before_release=False, seconds=25),
    Check("last backup", last_backup, before_release=False, seconds=60),
)
