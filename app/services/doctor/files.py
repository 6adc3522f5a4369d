"""Checks of S3: is the bucket there, in which region, and does a file come back as it went."""

from __future__ import annotations

from collections.abc import Iterator

from app.domain.doctor import Finding, right, wrong
from app.gateways.files import BucketRefused

from .patient import SET_UP, Check, Patient

STACK = "aws cloudformation deploy --template-file deploy/aws/service.yaml (docs: deploy/aws/README.md)"
MISSING = ("404", "NoSuchBucket", "NotFound")


def bucket(patient: Patient) -> Iterator[Finding]:
    config = patient.config
    try:
        found = patient.files.bucket_region()
    except BucketRefused as refused:
        yield _refused(patient, refused)
        return
    if found and found != config.aws_region and not patient.is_local(config.s3_endpoint_url):
        sentence = f"FILES_BUCKET: {config.files_bucket} is in {found}, and AWS_REGION is {config.aws_region}."
        yield wrong(sentence, f"FILES_BUCKET=<a bucket in {config.aws_region}>: {STACK}")
    else:
        local = config.s3_endpoint_url if patient.is_local(config.s3_endpoint_url) else ""
        yield right(f"The bucket {config.files_bucket} is there" + (f", local at {local}." if local else "."))


def round_trip(patient: Patient) -> Iterator[Finding]:
    """A file of 32 bytes is written, read and removed again: all that the doctor ever writes."""
    try:
        patient.files.round_trip()
    except BucketRefused as refused:
        yield _refused(patient, refused)
    else:
        yield right("A file went there, came back as it was, and is removed.")


def _refused(patient: Patient, refused: BucketRefused) -> Finding:
    name = patient.config.files_bucket
    if refused.code in MISSING:
        mend = SET_UP if patient.is_local(patient.config.s3_endpoint_url) else STACK
        return wrong(f"FILES_BUCKET: there is no bucket {name}: no file of a result can be kept.", mend)
    if refused.code in ("403", "AccessDenied", "Forbidden", "AllAccessDisabled"):
        sentence = f"FILES_BUCKET: S3 refuses {refused.operation} in {name} ({refused.code})."
        return wrong(sentence, f"FILES_BUCKET=<the bucket of the stack>, and the policies of the role: {STACK}")
    if refused.code == "another content came back":
        return wrong(f"FILES_BUCKET: a file came back from {name} with another content.", "ask AWS; keep no results")
    return wrong(f"FILES_BUCKET: S3 refuses {refused.operation} in {name} ({refused.code}).", STACK)


CHECKS = (Check("bucket", bucket), Check("file round trip", round_trip, seconds=30))
