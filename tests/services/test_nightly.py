"""The nightly backup on AWS: one moment, one backup a night, its failures in words; and whether both places have it."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app import create_app
from app.data.recovery import FAILED, Recovery
from app.data.table_copies import TableCopies
from app.data.tables import ALL
from app.domain.errors import InvalidInput
from app.gateways.depots import Bucket, DepotUnavailable
from app.services.backup import looking, nightly, own_export
from tests.support import FakeSender, make_account

pytestmark = pytest.mark.long

HOME, COPY = "nightly-exports", "nightly-copy"


@pytest.fixture
def buckets(dynamodb_url):
    """Home and copy, empty."""
    found = [Bucket(name, "exports", "us-east-1", dynamodb_url) for name in (HOME, COPY)]
    for bucket in found:
        bucket._client.create_bucket(Bucket=bucket.bucket)
        everything = Bucket(bucket.bucket, "", "us-east-1", dynamodb_url)
        for name, _ in list(everything.names()):
            everything.remove(name)
    return found


@pytest.fixture
def home(buckets) -> Bucket:
    """Of this test alone: the emulator does not forget the exports of another."""
    return Bucket(HOME, f"exports/{secrets.token_hex(4)}", "us-east-1", buckets[0]._client.meta.endpoint_url)


@pytest.fixture
def recovery(empty_store, setting_up, monkeypatch) -> Recovery:
    """The tables, with point-in-time recovery; an export of the emulator ends after a second and writes nothing."""
    make_account(empty_store, "ada@example.com", credits=5)
    for table in ALL:
        on = {"PointInTimeRecoveryEnabled": True}
        setting_up.update_continuous_backups(
            TableName=empty_store.prefix + table.suffix, PointInTimeRecoverySpecification=on
        )
    window = Recovery.window

    def since_an_hour(self, table):
        found = window(self, table)
        return found and replace(found, earliest=found.latest - timedelta(hours=1))

    monkeypatch.setattr(Recovery, "window", since_an_hour)
    yield Recovery(setting_up, empty_store.prefix)
    for table in ALL:
        off = {"PointInTimeRecoveryEnabled": False}
        setting_up.update_continuous_backups(
            TableName=empty_store.prefix + table.suffix, PointInTimeRecoverySpecification=off
        )


def now() -> datetime:
    return datetime.now(UTC)


def export(recovery, home, **more):
    copies = TableCopies(recovery.client, recovery.prefix)
    return nightly.export(recovery, copies, home, clock=now, sleep=lambda _: time.sleep(0.2), **more)


def written(recovery, bucket, name: str = "") -> str:
    """What DynamoDB would have written there."""
    copies = TableCopies(recovery.client, recovery.prefix)
    return own_export.export(copies, bucket, clock=now, name=name or f"{now():%Y-%m-%d}").name


def begun(recovery) -> list[str]:
    """The exports to the bucket of these tests that DynamoDB knows, by their tables."""
    arns = [one["ExportArn"] for one in recovery.client.list_exports(MaxResults=1000)["ExportSummaries"]]
    told = [recovery.client.describe_export(ExportArn=arn)["ExportDescription"] for arn in arns]
    return [one["TableArn"].rpartition("_")[2] for one in told if one["S3Bucket"] == HOME]


def test_every_table_is_exported_at_one_moment_and_a_repeat_begins_none_anew(recovery, home):
    before, said = len(begun(recovery)), []
    backup = export(recovery, home, say=said.append)

    assert [fault.what for fault in backup.faults] == ["no export is there: no folder AWSDynamoDB/…"]
    assert any(f"0 of {len(ALL)} tables are exported; waiting for Users, " in line for line in said)
    mine = begun(recovery)[before:]
    assert sorted(mine) == sorted(table.suffix for table in ALL)
    arns = [one["ExportArn"] for one in recovery.client.list_exports(MaxResults=1000)["ExportSummaries"]][-len(ALL) :]
    told = [recovery.client.describe_export(ExportArn=arn)["ExportDescription"] for arn in arns]
    assert len({one["ExportTime"] for one in told}) == 1
    assert {one["S3Prefix"] for one in told} == {f"{home.prefix}{now():%Y-%m-%d}"}
    assert {one["ExportType"] for one in told} == {"FULL_EXPORT"}

    export(recovery, home)
    assert len(begun(recovery)) == before + len(ALL)


def test_two_that_begin_in_the_same_second_are_two(recovery, home):
    """Those of two deployments of one AWS account, on the same stroke of the clock."""
    before, moment, copies = len(begun(recovery)), now(), TableCopies(recovery.client, recovery.prefix)
    other = Bucket(HOME, f"{home.prefix}-other", "us-east-1", recovery.client.meta.endpoint_url)

    for depot in (home, other):
        nightly.export(recovery, copies, depot, clock=lambda: moment, sleep=lambda _: time.sleep(0.2))

    assert len(begun(recovery)) == before + 2 * len(ALL)


def test_one_that_failed_is_said_in_words_and_begun_anew_by_the_next_run(recovery, home, monkeypatch):
    before, ask = len(begun(recovery)), Recovery.export

    def one_fails(self, arn):
        found = ask(self, arn)
        return replace(found, state=FAILED, failure="S3NoSuchBucket The bucket went away") if "Audit" in arn else found

    with monkeypatch.context() as patched:
        patched.setattr(Recovery, "export", one_fails)
        with pytest.raises(nightly.ExportFailed, match="could not export Audit: S3NoSuchBucket The bucket went away"):
            export(recovery, home)
        with pytest.raises(nightly.ExportFailed):
            export(recovery, home)
    again = begun(recovery)[before + len(ALL) :]
    assert again == ["Audit"]


def test_what_cannot_be_exported_is_named_and_nothing_is_begun(recovery, home, monkeypatch):
    before = len(begun(recovery))
    off = {"PointInTimeRecoveryEnabled": False}
    recovery.client.update_continuous_backups(TableName="ImpacterAGI_Tasks", PointInTimeRecoverySpecification=off)
    with pytest.raises(InvalidInput, match="Without point-in-time recovery DynamoDB exports nothing: Tasks"):
        export(recovery, home)

    found = Recovery(recovery.client, "ImpacterAGI_")
    window = found.window("Users")
    late = replace(window, earliest=window.latest + timedelta(minutes=1))
    monkeypatch.setattr(Recovery, "window", lambda self, table: late if table == "Users" else window)
    with pytest.raises(InvalidInput, match="No moment is in every table's recovery yet"):
        export(recovery, home)
    assert len(begun(recovery)) == before


def test_an_export_that_never_ends_is_given_up_in_words(recovery, home, monkeypatch):
    monkeypatch.setattr(nightly, "LONGEST", timedelta(0))
    with pytest.raises(nightly.ExportFailed, match="DynamoDB has not ended in 0:00:00: Users, "):
        export(recovery, home)


def test_a_plan_is_made_once_whoever_comes_first(buckets):
    home, _ = buckets
    assert home.write_new("2026-11-30/plan.json", b"first")
    assert not home.write_new("2026-11-30/plan.json", b"second")
    assert home.read("2026-11-30/plan.json") == b"first"


def test_a_bucket_says_where_it_is_and_what_it_is_replicated_to(buckets):
    home, _ = buckets
    assert (home.replicas(), home.region()) == (set(), "us-east-1")
    on = {"Status": "Enabled"}
    for bucket in buckets:
        bucket._client.put_bucket_versioning(Bucket=bucket.bucket, VersioningConfiguration=on)
    rules = [
        {"ID": name, "Status": state, "Prefix": "", "Destination": {"Bucket": f"arn:aws:s3:::{name}"}}
        for name, state in ((COPY, "Enabled"), ("of-before", "Disabled"))
    ]
    told = {"Role": "arn:aws:iam::000000000000:role/copy", "Rules": rules}
    home._client.put_bucket_replication(Bucket=HOME, ReplicationConfiguration=told)
    try:
        assert home.replicas() == {COPY}
    finally:
        home._client.delete_bucket_replication(Bucket=HOME)
        for bucket in buckets:
            off = {"Status": "Suspended"}
            bucket._client.put_bucket_versioning(Bucket=bucket.bucket, VersioningConfiguration=off)
    with pytest.raises(DepotUnavailable, match="S3 refuses head_bucket in s3://no-such-bucket-at-all"):
        Bucket("no-such-bucket-at-all", "", "us-east-1", home._client.meta.endpoint_url).region()


@pytest.fixture
def run(config, empty_store, buckets):
    def invoke(*words: str, **settings):
        made = replace(config, backup_bucket=HOME, backup_copy_bucket=COPY, files_bucket="nightly-files", **settings)
        app = create_app(made, store=empty_store, sender=FakeSender(), stripe=None)
        app.extensions["impacteragi"].files.create_bucket()
        return app.test_cli_runner().invoke(args=list(words))

    return invoke


def test_verify_looks_into_both_places_and_at_the_files(run, recovery, buckets, empty_store, dynamodb_url, monkeypatch):
    home, copy = buckets
    name = written(recovery, home)
    for key, _ in home.names():
        copy.write(key, home.read(key))

    whole = run("backup", "verify")
    assert whole.exit_code == 0, whole.output
    assert whole.output.count("is whole: ") == 2
    assert "The copy has every file of results." in whole.output
    assert empty_store.heartbeats.command_ends(["backup verify"])["backup verify"].status == 0
    assert name in run("backup", "list").output

    export = looking.look(copy, name).exports["Users"]
    copy.write(looking.path_of(export, export.files[0]), b"of another day")
    files = Bucket("nightly-files", "", "us-east-1", dynamodb_url)
    files.write("results/task_1/0123456789abcdef", b"a result")
    monkeypatch.setattr(nightly, "ARRIVES_WITHIN", timedelta(0))
    torn = run("backup", "verify")
    assert torn.exit_code == 1
    assert "it is another file than the manifest names: S3 knows it by" in torn.output
    assert "results/task_1/0123456789abcdef  it is not in the copy" in torn.output
    assert empty_store.heartbeats.command_ends(["backup verify"])["backup verify"].status == 1
    monkeypatch.setattr(nightly, "ARRIVES_WITHIN", timedelta(hours=1))
    assert "0123456789abcdef" not in run("backup", "verify").output, "it may still be on its way"
    files.remove("results/task_1/0123456789abcdef")


def test_last_night_is_asked_for_not_any_night(recovery, buckets):
    home, _ = buckets
    assert [fault.what for fault in nightly.last_night(home, now()).faults] == ["there is no backup"]
    written(recovery, home)
    assert nightly.last_night(home, now()).faults == []
    (fault,) = nightly.last_night(home, now() + timedelta(hours=27)).faults
    assert fault.what.endswith("last night's is missing")


def test_the_command_refuses_where_nothing_exports_and_where_nothing_is_named(run):
    local = run("backup", "export")
    assert (local.exit_code, "The store is local, and exports nothing by itself" in local.output) == (1, True)
    assert "go with --to" in run("backup", "export", "--name", "x").output
    assert "go with --from" in run("backup", "verify", "x").output


def test_a_file_that_is_another_in_the_copy_is_named(buckets):
    home, copy = (Bucket(b.bucket, "", "us-east-1", b._client.meta.endpoint_url) for b in buckets)
    for number in range(4):
        home.write(f"results/{number}/a", b"x")
    copy.write("results/0/a", b"x")
    copy.write("results/1/a", b"xy")
    copy.write("results/3/a", b"x")

    later = now() + timedelta(hours=2)
    assert list(nightly.not_copied(home, copy, later)) == [
        ("results/1/a", "1 bytes here, 2 in the copy"),
        ("results/2/a", "it is not in the copy"),
    ]
    assert list(nightly.not_copied(home, copy, now())) == []
