"""The doctor: a deployment in order is green; each thing that is wrong is found and named, with what mends it."""

from __future__ import annotations

import gzip
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app import create_app
from app.config import Config
from app.data import Store
from app.data.migrations import MAILS_OF_BEFORE, MIGRATIONS, Migrations
from app.data.table_setup import create_tables
from app.data.tables import ALL, OUTBOX, OUTBOX_INDEX, RATE_LIMITS, STATUS, USERS
from app.domain import webhooks
from app.domain.accounts import AccountKey
from app.domain.backups import (
    FILES,
    FOLDER,
    SUMMARY,
    DataFile,
    Summary,
    checksum,
    new_export_id,
    write_files,
    write_summary,
)
from app.domain.clock import to_iso
from app.domain.clock_reading import ClockReading
from app.domain.doctor import NOT_ASKED, RIGHT, UNKNOWN, WRONG, CannotTell, Finding, exit_status, names_of, right
from app.domain.heartbeats import SCHEDULED, CommandEnd, Waiting
from app.domain.heartbeats import Finding as Difference
from app.domain.mails import Mail, MailTrouble
from app.domain.payments import READERS
from app.domain.tasks import new_task
from app.gateways.cloudflare import RightMissing as NoRightThere
from app.gateways.cloudflare import TokenRefused
from app.gateways.depots import Folder
from app.gateways.files import BucketRefused
from app.gateways.own_address import Answer, Unreachable
from app.gateways.stripe import API_VERSION
from app.gateways.stripe_account import KeyRefused, RightMissing
from app.services import doctor, payments
from app.services.doctor import CHECKS, Check, Patient, secrets, work
from app.services.edge import HEADER, Visitor, written
from app.services.texts import Text, Texts
from app.telemetry.switch import switch
from app.web import deps
from app.web.visitors import open_store
from tests.gateways.cloudflare_zone import InOrder, in_order
from tests.support import FakeSender, FakeStripe, session_event

pytestmark = pytest.mark.long

PREFIX = "Doctor_"
EDGE_SECRET = "7e20d4b91c5fa836" * 3
URL = "https://dashboard.example.com"
HOOK = {
    "id": "we_1",
    "url": f"{URL}/api/stripe/webhook",
    "status": "enabled",
    "enabled_events": sorted(READERS),
    "api_version": API_VERSION,
}
FILLED_IN = {name: Text(name, "words", True) for name in ("contact", "terms", "privacy")}


@dataclass
class Way:
    """The public address: a request goes through so many proxies to the app, and an answer back."""

    app: Any
    proxies: int = 2
    change: Callable[[Answer], Answer] = lambda answer: answer
    fails: Exception | None = None
    edge_secret: str = ""
    edge_seconds_behind: int = 0

    def ask(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        if self.fails:
            raise self.fails
        sent = dict(headers or {})
        hops = [sent["X-Forwarded-For"]] if "X-Forwarded-For" in sent else []
        hops += [f"198.51.100.{number}" for number in range(self.proxies)]
        if self.edge_secret:
            visitor = Visitor("203.0.113.9", "0123456789abcdef")
            at = int(datetime.now(UTC).timestamp()) - self.edge_seconds_behind
            sent[HEADER] = written(self.edge_secret, at, visitor, "GET", path.encode())
        if hops:
            sent["X-Forwarded-For"] = ", ".join(hops)
        found = self.app.test_client().get(path, base_url=URL, headers=sent)
        cookies = tuple(found.headers.getlist("Set-Cookie"))
        return self.change(Answer(found.status_code, found.headers, cookies, found.data))


class Bucket:
    """S3 in order."""

    region = "us-east-1"
    refused: Exception | None = None

    def bucket_region(self) -> str:
        return self._answer()

    def round_trip(self) -> None:
        self._answer()

    def _answer(self) -> str:
        if self.refused:
            raise self.refused
        return self.region


class Kept(Folder):
    """A bucket with last night's backup: an empty export of every table."""

    where = "us-east-1"
    to: frozenset[str] = frozenset({"copies"})

    def region(self) -> str:
        return self.where

    def replicas(self) -> frozenset[str]:
        return self.to

    def fill(self, moment: datetime) -> None:
        for number, table in enumerate(ALL):
            name, arn = to_iso(moment)[:10], f"arn:aws:dynamodb:us-east-1:1:table/{PREFIX}{table.suffix}"
            export_id = new_export_id(moment, f"{number:08x}")
            empty = gzip.compress(b"")
            file = DataFile(f"{export_id}/data/one.json.gz", 0, checksum(empty))
            summary = Summary(PREFIX + table.suffix, 0, moment, export_id, arn=arn)
            told = {"begun_at": moment, "ended_at": moment, "table_id": "", "bucket": "", "size": 0}
            text = write_summary(summary, prefix=f"{name}/", **told)  # type: ignore[arg-type]
            self.write(f"{name}/{FOLDER}{file.key}", empty)
            for kind, content in ((FILES, write_files(f"{name}/", [file])), (SUMMARY, text)):
                self.write(f"{name}/{FOLDER}{export_id}/{kind}", content.encode())


class Vault:
    """Backups in order: `copy` has what `home` has."""

    def __init__(self, root: Path, moment: datetime) -> None:
        self.home, self.copy, self.files = (Kept(root / name) for name in ("home", "copy", "files"))
        self.copy.where = "eu-west-1"
        for kept in (self.home, self.copy):
            kept.fill(moment)


@dataclass
class Ward:
    """A deployment in order, and whatever a test does to it."""

    store: Store
    config: Config
    stripe: FakeStripe
    sender: FakeSender
    way: Way
    bucket: Bucket
    texts: Texts
    vault: Vault
    now: datetime
    cloudflare: InOrder | None = field(default_factory=in_order)
    collector: Any = None

    @property
    def patient(self) -> Patient:
        app = create_app(self.config, store=self.store, sender=self.sender, stripe=self.stripe)  # type: ignore[arg-type]
        with app.app_context():
            found = deps.patient()
        if self.way.app is None:
            self.way.app = app
        changed = {"address": self.way, "files": self.bucket, "texts": self.texts, "vault": self.vault}
        changed |= {"now": lambda: self.now}
        changed["cloudflare"] = self.cloudflare
        changed["collector"] = self.collector
        return replace(found, **changed)  # type: ignore[arg-type]

    def examine(self, name: str = "") -> list[Finding]:
        wanted = [check for check in CHECKS if name in ("", check.name)]
        assert wanted, name
        return doctor.examine(self.patient, checks=wanted)

    def change(self, **settings: Any) -> None:
        self.config = replace(self.config, **settings)


@pytest.fixture
def ward(
    config: Config, dynamodb: Any, setting_up: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Ward]:
    monkeypatch.setattr(work, "SENDER_SECONDS", 0)
    remove_tables(setting_up)
    create_tables(setting_up, PREFIX)
    for table in ALL:
        on = {"PointInTimeRecoveryEnabled": True}
        setting_up.update_continuous_backups(TableName=PREFIX + table.suffix, PointInTimeRecoverySpecification=on)
        setting_up.update_table(TableName=PREFIX + table.suffix, DeletionProtectionEnabled=True)
    made = replace(
        config,
        env="production",
        app_url=URL,
        table_prefix=PREFIX,
        jwt_secrets=("8d1f0a6be24c7935" * 3,),
        stripe_secret_key="sk_live_" + "4b7e19c05a2d8f36",
        stripe_webhook_secrets=("whsec_" + "c3a95e71d0b4f826" * 2,),
        support_email="help@example.com",
        backup_bucket="backups",
        backup_copy_bucket="copies",
        backup_copy_region="eu-west-1",
        trusted_proxies=2,
        edge_secrets=(EDGE_SECRET,),
        require_operator_2fa=True,
    )
    stripe, now = FakeStripe(), datetime.now(UTC)
    stripe.account.hooks = [dict(HOOK)]
    store = Store(dynamodb, PREFIX)
    Migrations(dynamodb, PREFIX).note_new(now)
    for command in SCHEDULED:
        store.updates.heartbeats.note_command(command, CommandEnd(now, 0))
    store.updates.heartbeats.note_books(now, 0)
    store.updates.heartbeats.note_webhook(now)
    way, vault = Way(None, edge_secret=EDGE_SECRET), Vault(tmp_path, now)
    yield Ward(store, made, stripe, FakeSender(), way, Bucket(), Texts(FILLED_IN), vault, now)
    switch.off()
    remove_tables(setting_up)


def remove_tables(client: Any) -> None:
    for name in client.list_tables()["TableNames"]:
        if name.startswith(PREFIX):
            client.update_table(TableName=name, DeletionProtectionEnabled=False)
            client.delete_table(TableName=name)


def test_a_deployment_in_order_is_green(ward):
    doctor.keep(ward.store, ward.config, [], every_seconds=60, now=ward.now)

    found = ward.examine()

    assert [finding for finding in found if finding.state != RIGHT] == []
    assert {finding.name for finding in found} == {check.name for check in CHECKS}
    assert not [finding for finding in found if finding.mend]
    assert exit_status(found) == 0


def test_a_collector_that_answers_and_a_sender_that_looks_are_right(ward):
    ward.collector = Collector()
    ward.change(metrics_token="5d1f0c9e7ab84263" * 2)
    ward.store.updates.heartbeats.note_waiting(Waiting(ward.now))

    assert [finding.state for name in ("collector", "measurements") for finding in ward.examine(name)] == [RIGHT] * 2


@pytest.fixture
def first_day(ward: Ward) -> Ward:
    """Tables that CloudFormation has made, and nobody at work yet; what is asked for comes later."""
    for migration in MIGRATIONS:
        key = {"name": {"S": f"migration#{migration.number}"}}
        ward.store.client.delete_item(TableName=PREFIX + STATUS.suffix, Key=key)
    ses(ProductionAccessEnabled=False)(ward)
    no_terms(ward)
    nobody_to_write_to(ward)
    return ward


def test_a_release_is_not_refused_for_what_it_cannot_mend(first_day):
    found = doctor.examine(first_day.patient, before_release=True)
    assert [finding for finding in found if finding.state in (WRONG, UNKNOWN)] == []

    later = names_of(first_day.examine(), WRONG)
    assert {"migrations", "mail sandbox", "support address", "texts"} <= set(later), "and it is told all the same"


def test_it_says_when_mails_need_not_stand_for_the_release_before_any_more(ward):
    told = "0 may be set for every process"
    assert [told in finding.sentence for finding in ward.examine("migrations")] == [False, True]

    ward.change(outbox_one_key=False)
    assert [told in finding.sentence for finding in ward.examine("migrations")] == [False]

    ward.change(outbox_one_key=True)
    ward.store.pending_migrations = lambda: [MAILS_OF_BEFORE]
    (found,) = ward.examine("migrations")
    assert (found.state, told in found.sentence) == (WRONG, False)
    ward.store.pending_migrations = lambda: [MIGRATIONS[0]]
    assert [finding.state for finding in ward.examine("migrations")] == [WRONG, RIGHT], "another one is no reason"


# What can be wrong: what is done to the deployment, the check that finds it, words of its sentence, of what mends it


def no_table(ward: Ward) -> None:
    remove(ward, USERS.suffix)


def remove(ward: Ward, suffix: str) -> None:
    ward.store.client.update_table(TableName=PREFIX + suffix, DeletionProtectionEnabled=False)
    ward.store.client.delete_table(TableName=PREFIX + suffix)


def no_index(ward: Ward) -> None:
    gone = [{"Delete": {"IndexName": OUTBOX_INDEX}}]
    ward.store.client.update_table(TableName=PREFIX + OUTBOX.suffix, GlobalSecondaryIndexUpdates=gone)


def no_time_to_live(ward: Ward) -> None:
    off = {"Enabled": False, "AttributeName": "expires_at"}
    ward.store.client.update_time_to_live(TableName=PREFIX + RATE_LIMITS.suffix, TimeToLiveSpecification=off)


def no_recovery(ward: Ward) -> None:
    off = {"PointInTimeRecoveryEnabled": False}
    name = PREFIX + USERS.suffix
    ward.store.client.update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=off)


def can_be_deleted(ward: Ward) -> None:
    ward.store.client.update_table(TableName=PREFIX + USERS.suffix, DeletionProtectionEnabled=False)


def other_region(ward: Ward) -> None:
    ward.change(aws_region="eu-west-1")


def nothing_in_the_region(ward: Ward) -> None:
    for table in ALL:
        remove(ward, table.suffix)


def clock_ahead(ward: Ward) -> None:
    reading = ClockReading(timedelta(minutes=11), timedelta(seconds=1))
    ward.store.read_clock = lambda now: reading  # type: ignore[method-assign]


def migration_left(ward: Ward) -> None:
    ward.store.pending_migrations = lambda: [MIGRATIONS[0]]  # type: ignore[method-assign]


def bucket_away(ward: Ward) -> None:
    ward.bucket.refused = BucketRefused("head_bucket", "404")


def bucket_denied(ward: Ward) -> None:
    ward.bucket.refused = BucketRefused("put_object", "AccessDenied")


def bucket_elsewhere(ward: Ward) -> None:
    ward.bucket.region = "eu-central-1"


def unknown_sender(ward: Ward) -> None:
    ward.sender.account.identities.clear()


def unverified_sender(ward: Ward) -> None:
    ward.sender.account.identities["impacteragi.com"]["VerifiedForSendingStatus"] = False


def unsigned_mail(ward: Ward) -> None:
    ward.sender.account.identities["impacteragi.com"]["DkimAttributes"] = {"SigningEnabled": True, "Status": "PENDING"}


def ses(**account: Any) -> Callable[[Ward], None]:
    return lambda ward: ward.sender.account.account.update(account)


def suppressed(ward: Ward) -> None:
    ward.sender.account.listed = ["Help@Example.com", "somebody@example.org"]


def live_in_development(ward: Ward) -> None:
    ward.change(env="development")


def live_over_http(ward: Ward) -> None:
    ward.change(app_url="http://dashboard.example.com")


def key_refused(ward: Ward) -> None:
    ward.stripe.account.refused = KeyRefused()


def no_charges(ward: Ward) -> None:
    ward.stripe.account.told["charges_enabled"] = False


def restricted_key(ward: Ward) -> None:
    ward.change(stripe_secret_key="rk_live_" + "4b7e19c05a2d8f36")
    ward.stripe.account.lacking = ["Refunds", "Disputes"]


def hook(**fields: Any) -> Callable[[Ward], None]:
    return lambda ward: ward.stripe.account.hooks[0].update(fields)


def no_hook(ward: Ward) -> None:
    ward.stripe.account.hooks.clear()


def not_delivered(ward: Ward) -> None:
    told = {"type": "refund.created", "created": (ward.now - timedelta(hours=1)).timestamp(), "pending_webhooks": 1}
    ward.stripe.account.events = [told]


def unknown_link(ward: Ward) -> None:
    ward.change(credit_payment_links=("plink_none",))


def undecided_sale(ward: Ward) -> None:
    told = session_event(metadata={}, payment_link="plink_book", livemode=True)
    payments.handle_event(ward.store, told, livemode=True, now=ward.now - timedelta(days=2), lines_of=lambda _: {})


def away(ward: Ward) -> None:
    ward.way.fails = Unreachable("nobody answers (ConnectionError)")


def another_release(ward: Ward) -> None:
    told = ward.patient and ward.way.ask("/healthz/as-seen")  # so that the app of the way is made
    assert told.status == 404, "without a proof it says nothing"
    ward.way.change = lambda answer: replace(answer, body=answer.body.replace(b'"release":"', b'"release":"0'))


def another_program(ward: Ward) -> None:
    ward.way.change = lambda answer: replace(answer, status=200, body=b"<!doctype html><p>It works!")


def another_deployment(ward: Ward) -> None:
    other = replace(ward.config, table_prefix="Staging_")
    ward.way.app = create_app(other, store=ward.store, sender=FakeSender(), stripe=FakeStripe())  # type: ignore[arg-type]


def broken(ward: Ward) -> None:
    ward.way.change = lambda answer: replace(answer, status=502, body=b"Bad gateway")


def one_proxy(ward: Ward) -> None:
    ward.change(edge_secrets=())
    ward.way.proxies = 1


def three_proxies(ward: Ward) -> None:
    ward.change(edge_secrets=())
    ward.way.proxies = 3


def around_the_edge(ward: Ward) -> None:
    ward.way.edge_secret = ""


def other_edge_secret(ward: Ward) -> None:
    ward.way.edge_secret = "0f4c8a1e6b2d7395" * 3


def edge_of_another_time(ward: Ward) -> None:
    ward.way.edge_seconds_behind = 400


def cloudflare_reads_along(ward: Ward) -> None:
    ward.cloudflare.zone.settings["ssl"] = "flexible"


def cloudflare_challenges_stripe(ward: Ward) -> None:
    ward.cloudflare.zone.phases["http_request_firewall_custom"].pop(0)


def cloudflare_is_passed_by(ward: Ward) -> None:
    ward.cloudflare.zone.records[0]["proxied"] = False


def no_worker(ward: Ward) -> None:
    ward.cloudflare.zone.routes.clear()


def other_token(ward: Ward) -> None:
    ward.cloudflare.fails = TokenRefused()


@dataclass
class Collector:
    """What answers where metrics are sent to."""

    status: int = 405  # to a GET
    fails: Exception | None = None

    def ask(self, path: str, headers: Any = None) -> Answer:
        assert path == "/v1/metrics"
        if self.fails:
            raise self.fails
        return Answer(self.status, {}, (), b"")


def no_collector(ward: Ward) -> None:
    ward.collector = Collector(fails=Unreachable("nobody answers (ConnectionError)"))


def another_port_of_it(ward: Ward) -> None:
    ward.collector = Collector(404)


def weak_metrics_token(ward: Ward) -> None:
    ward.change(metrics_token="changeme-changeme-changeme-changeme")


def sender_does_not_measure(ward: Ward) -> None:
    ward.change(metrics_token="5d1f0c9e7ab84263" * 2)


def sender_measures_no_more(ward: Ward) -> None:
    sender_does_not_measure(ward)
    ward.store.updates.heartbeats.note_waiting(Waiting(ward.now - timedelta(hours=3)))


def plain_cookie(ward: Ward) -> None:
    ward.way.change = lambda answer: replace(
        answer, cookies=tuple(cookie.replace("; Secure", "") for cookie in answer.cookies)
    )


def no_policy(ward: Ward) -> None:
    def without(answer: Answer) -> Answer:
        answer.headers.pop("Content-Security-Policy")  # type: ignore[attr-defined]
        return answer

    ward.way.change = without


def weak_secret(ward: Ward) -> None:
    ward.change(jwt_secrets=("changeme-changeme-changeme-changeme",))


def secret_twice(ward: Ward) -> None:
    ward.change(stripe_webhook_secrets=("whsec_" + ward.config.jwt_secrets[0],))


def old_secret(ward: Ward) -> None:
    doctor.keep(ward.store, ward.config, [], every_seconds=60, now=ward.now - timedelta(days=401))


def command_late(ward: Ward) -> None:
    ward.store.updates.heartbeats.note_command("books check", CommandEnd(ward.now - timedelta(hours=27), 0))


def command_failed(ward: Ward) -> None:
    ward.store.updates.heartbeats.note_command("accounts erase", CommandEnd(ward.now, 1))


def mail_waits(ward: Ward) -> None:
    with ward.store.transaction() as tx:
        tx.mails.enqueue(Mail("mail-1", "receipt", "ada@example.com", ward.now - timedelta(hours=3)))


def mail_refused(ward: Ward) -> None:
    trouble = MailTrouble("MessageRejected: Email address is not verified.", ward.now, ward.now, 3)
    ward.store.updates.mails.note_trouble(trouble)


def event_waits(ward: Ward) -> None:
    with ward.store.transaction() as tx:
        tx.webhooks.promise(webhooks.test_event(ward.now - timedelta(minutes=16)), "we_1")


def sealed_by_another(ward: Ward) -> None:
    paused_endpoint(ward, "secret")


def paused_endpoint(ward: Ward, why: str) -> None:
    endpoint = webhooks.Endpoint(
        endpoint_id=f"we_{why}",
        account_id="acc_1",
        user_email=AccountKey("ada@example.com"),
        url="https://example.com/hooks",
        types=webhooks.TYPES,
        created_at=ward.now,
        secret="sealed",
        paused_at=ward.now,
        paused_by=why,
    )
    with ward.store.transaction() as tx:
        tx.webhooks.add_endpoint(endpoint)


def task_waits(ward: Ward) -> None:
    with ward.store.transaction() as tx:
        tx.tasks.add(new_task("ada@example.com", "Compare the quotes", "key-1", ward.now - timedelta(days=3)))


def payment_waits(ward: Ward) -> None:
    told = session_event(currency="eur", livemode=True)
    payments.handle_event(ward.store, told, livemode=True, now=ward.now - timedelta(days=2))


def books_differ(ward: Ward) -> None:
    ward.store.updates.heartbeats.note_books(ward.now, 2, (Difference("ada@example.com", "balance"),))


def nobody_to_write_to(ward: Ward) -> None:
    ward.change(support_email=None)


def no_terms(ward: Ward) -> None:
    ward.texts = Texts(FILLED_IN | {"terms": Text("Terms", "", False)})


def no_backup(ward: Ward) -> None:
    ward.change(backup_bucket=None)
    ward.vault.home = None  # type: ignore[assignment]


def backup_elsewhere(ward: Ward) -> None:
    ward.vault.home.where = "eu-central-1"


def no_copy(ward: Ward) -> None:
    ward.change(backup_copy_bucket=None)
    ward.vault.copy = None  # type: ignore[assignment]


def copy_is_the_backup(ward: Ward) -> None:
    ward.change(backup_copy_bucket="backups")


def copy_elsewhere(ward: Ward) -> None:
    ward.change(backup_copy_region=None)


def exports_not_copied(ward: Ward) -> None:
    ward.vault.home.to = frozenset({"another"})


def files_not_copied(ward: Ward) -> None:
    ward.vault.files.to = frozenset()


def last_night_missing(ward: Ward) -> None:
    ward.now += timedelta(hours=27)


def copy_lacks_a_table(ward: Ward) -> None:
    (folder, *_) = sorted(Path(str(ward.vault.copy)).glob(f"*/{FOLDER}*"))  # of the first table: Users
    shutil.rmtree(folder)


MISCONFIGURATIONS = [
    (no_table, "tables", "table Doctor_Users is missing", "python scripts/setup_db.py"),
    (no_index, "indexes", "lacks its index queue-due_at-index", "python scripts/setup_db.py"),
    (no_time_to_live, "times to live", "Doctor_RateLimits expires nothing by 'expires_at'", "scripts/setup_db.py"),
    (no_recovery, "recovery", "Doctor_Users has no point-in-time recovery", "update-continuous-backups --table-name D"),
    (can_be_deleted, "recovery", "Doctor_Users can be deleted", "update-table --table-name Doctor_Users --deletion-p"),
    (other_region, "region", "AWS_REGION is eu-west-1, and tables are in us-east-1", "AWS_REGION=us-east-1"),
    (nothing_in_the_region, "region", "AWS_REGION is us-east-1, and none of the tables is there", "AWS_REGION="),
    (clock_ahead, "clock", "clock is 660 s ahead", "timedatectl set-ntp true"),
    (migration_left, "migrations", "migration 1", "flask --app app.wsgi tables migrate"),
    (bucket_away, "bucket", "there is no bucket impacteragi-results", "deploy/aws/service.yaml"),
    (bucket_denied, "file round trip", "S3 refuses put_object in impacteragi-results (AccessDenied)", "FILES_BUCKET="),
    (bucket_elsewhere, "bucket", "is in eu-central-1, and AWS_REGION is us-east-1", "FILES_BUCKET="),
    (unknown_sender, "mail sender", "knows neither hello@impacteragi.com nor impacteragi.com", "create-email-identity"),
    (unverified_sender, "mail sender", "impacteragi.com is not verified", "get-email-identity --email-identity imp"),
    (unsigned_mail, "mail DKIM", "not signed (DKIM: PENDING)", "CNAME"),
    (ses(ProductionAccessEnabled=False), "mail sandbox", "in the SES sandbox of us-east-1", "put-account-details"),
    (ses(SendingEnabled=False), "mail sending", "SES sends nothing", "put-account-sending-attributes"),
    (ses(EnforcementStatus="PROBATION"), "mail sending", "reviews this account (status PROBATION)", "Reputation"),
    (
        ses(SendQuota={"Max24HourSend": 200.0, "SentLast24Hours": 195.0}),
        *("mail quota", "5 of the day's 200 mails are left", "Request a limit increase"),
    ),
    (suppressed, "mail suppression", "help@example.com is on the suppression list", "delete-suppressed-destination"),
    (live_in_development, "Stripe key", "live key, and APP_ENV is development", "APP_ENV=production"),
    (live_over_http, "Stripe key", "live key, and APP_URL is http://dashboard.example.com", "APP_URL=https://"),
    (key_refused, "Stripe key", "Stripe does not know this key", "STRIPE_SECRET_KEY="),
    (no_charges, "Stripe key", "acct_1 may not take payments", "dashboard.stripe.com/account/onboarding"),
    (
        restricted_key,
        "Stripe rights",
        "may not read Refunds, Disputes",
        "give the key read access to Refunds, Disputes",
    ),
    (
        no_hook,
        "webhook endpoint",
        "STRIPE_WEBHOOK_SECRET is none of this mode",
        "webhook_endpoints create --live -d url=",
    ),
    (
        hook(url="https://old.example.com/api/stripe/webhook"),
        "webhook endpoint",
        "sends no live events",
        "create --live",
    ),
    (  # which is answered with 404
        hook(url="https://dashboard.example.com/api/stripe/webhook/"),
        *("webhook endpoint", "sends no live events", "create --live"),
    ),
    (
        hook(status="disabled"),
        "webhook endpoint",
        "we_1 is disabled",
        "webhook_endpoints update we_1 -d disabled=false",
    ),
    (
        hook(enabled_events=sorted(READERS.keys() - {"refund.failed"})),
        *("webhook endpoint", "we_1 is not told of refund.failed", "enabled_events[]=refund.failed"),
    ),
    (hook(api_version="2020-08-27"), "webhook endpoint", "speaks 2020-08-27", "make it anew with that version"),
    (not_delivered, "webhook deliveries", "could not deliver 1 event (refund.created)", "STRIPE_WEBHOOK_SECRET="),
    (unknown_link, "credited", "plink_none, which Stripe does not know", "CREDIT_PAYMENT_LINKS=<without plink_none>"),
    (undecided_sale, "other sales", "plink_book has sold something", "/admin/finance"),
    (away, "public address", f"{URL} cannot be reached, nobody answers", "start the web server"),
    (another_release, "public address", "leads to another release than this one", "release this one"),
    (another_program, "public address", "leads to another program", "APP_URL="),
    (another_deployment, "public address", "a deployment with other tables", "TABLE_PREFIX"),
    (broken, "public address", "answers with 502", "/readyz"),
    (one_proxy, "proxies", "1 proxy on the way, and TRUSTED_PROXIES is 2: visitors choose", "TRUSTED_PROXIES=1"),
    (three_proxies, "proxies", "3 proxies on the way, and TRUSTED_PROXIES is 2: all visitors", "TRUSTED_PROXIES=3"),
    (around_the_edge, "edge", "without the edge's signature", "npx wrangler deploy"),
    (other_edge_secret, "edge", "a secret that is none of ours", "npx wrangler secret put EDGE_SECRET"),
    (edge_of_another_time, "edge", "minutes apart", "time service"),
    (cloudflare_reads_along, "Cloudflare settings", "SSL/TLS mode is flexible, not strict", "scripts/edge settings"),
    (cloudflare_challenges_stripe, "Cloudflare rules", "Custom rules is Dashboard: programs", "scripts/edge settings"),
    (cloudflare_is_passed_by, "Cloudflare way", "not proxied", "scripts/edge settings"),
    (no_worker, "Cloudflare way", "Worker route is none", "npx wrangler deploy"),
    (other_token, "Cloudflare settings", "Cloudflare does not take it", "CLOUDFLARE_API_TOKEN="),
    (plain_cookie, "cookies", "cookie lacks Secure", "deploy/cloudflare/README.md"),
    (no_policy, "policy headers", "Content-Security-Policy is taken away or changed", "deploy/cloudflare/README.md"),
    (no_collector, "collector", "OTEL_EXPORTER_OTLP_ENDPOINT cannot be reached, nobody answers", "start it, or OTEL_"),
    (another_port_of_it, "collector", "says 404 to /v1/metrics: it takes no OTLP", "mostly port 4318"),
    (weak_metrics_token, "secrets", "METRICS_TOKEN can be guessed", "METRICS_TOKEN=<openssl rand -hex 32>"),
    (
        sender_does_not_measure,
        "measurements",
        "nobody has ever looked what waits",
        "give the mail sender METRICS_TOKEN",
    ),
    (sender_measures_no_more, "measurements", "last looked up 3 h", "mail send --watch"),
    (weak_secret, "secrets", "JWT_SECRET can be guessed", "openssl rand -hex 32"),
    (
        secret_twice,
        "secrets used once",
        "STRIPE_WEBHOOK_SECRET is the same as JWT_SECRET",
        "roll the endpoint's secret",
    ),
    (old_secret, "secrets' age", "JWT_SECRET has been in use for 401 days", "openssl rand -hex 32"),
    (
        command_late,
        "scheduled commands",
        "books check last ended 1 day 3 hours ago",
        "flask --app app.wsgi books check",
    ),
    (command_failed, "scheduled commands", "accounts erase ended with 1", "flask --app app.wsgi accounts erase"),
    (mail_waits, "oldest mail", "has waited for 3 hours", "mail send --watch"),
    (mail_refused, "oldest mail", "MessageRejected: Email address is not verified", "/admin/mails"),
    (event_waits, "events out", "has been due for 16 minutes", "mail send --watch"),
    (sealed_by_another, "events out", "1 webhook endpoint paused: the secret", "JWT_SECRETS="),
    (task_waits, "oldest task", "has waited for 3 days", "tasks claim"),
    (payment_waits, "parked payments", "somebody has paid and has no credits", "/admin/finance"),
    (books_differ, "books", "differ in 2 places, the first in ada@example.com (balance)", "books check"),
    (no_backup, "backup bucket", "BACKUP_BUCKET is not set", "scripts/deploy"),
    (backup_elsewhere, "backup bucket", "backups is in eu-central-1, and AWS_REGION is us-east-1", "BACKUP_BUCKET="),
    (no_copy, "backup copy", "BACKUP_COPY_BUCKET is not set", "copy_region"),
    (copy_is_the_backup, "backup copy", "BACKUP_COPY_BUCKET is BACKUP_BUCKET", "copy_region"),
    (copy_elsewhere, "backup copy", "is us-east-1, and copies is in eu-west-1", "BACKUP_COPY_REGION=eu-west-1"),
    (exports_not_copied, "backup copy", "Exports are not replicated to copies", "CopyBucket=copies"),
    (files_not_copied, "backup copy", "Files of results are not replicated to copies", "BackupCopyBucket=copies"),
    (last_night_missing, "last backup", "last night's is missing", "flask --app app.wsgi backup export"),
    (copy_lacks_a_table, "last backup", "in the copy: Users: the table is missing", "backup export"),
    (nobody_to_write_to, "support address", "SUPPORT_EMAIL is not set", "SUPPORT_EMAIL="),
    (no_terms, "texts", "there is no terms.md", "PAGES_DIR="),
]


@pytest.mark.parametrize(
    ("seed", "name", "words", "mend"),
    MISCONFIGURATIONS,
    ids=[f"{case[1]}: {case[2]}"[:60] for case in MISCONFIGURATIONS],
)
def test_what_is_wrong_is_found_and_named_with_what_mends_it(ward, seed, name, words, mend):
    seed(ward)

    found = ward.examine(name)

    wrong = [finding for finding in found if finding.state == WRONG]
    assert any(words in finding.sentence and mend in finding.mend for finding in wrong), found
    assert all(finding.name == name and finding.mend for finding in wrong)
    assert exit_status(found) == 1


def test_every_check_that_can_find_something_wrong_is_shown_one():
    assert {case[1] for case in MISCONFIGURATIONS} == {check.name for check in CHECKS}


# What cannot be told


def test_a_check_that_cannot_be_made_says_why_and_never_right(ward, capsys):
    given = threading.Event()

    def breaks(_: Patient) -> list[Finding]:
        raise KeyError("Table")

    def has_no_rights(_: Patient) -> list[Finding]:
        raise CannotTell("the role may not ask", "give it the right")

    def waits(_: Patient) -> list[Finding]:
        given.wait(60)
        return [right("too late")]

    def works(_: Patient) -> list[Finding]:
        return [right("beside the others")]

    checks = [
        Check("breaks", breaks),
        Check("rights", has_no_rights),
        Check("slow", waits, seconds=0.1),
        Check("works", works),
        Check("works too", works, before_release=False),
    ]

    found = doctor.examine(ward.patient, checks=checks, before_release=True)
    given.set()

    assert found == [
        Finding(UNKNOWN, "The check itself broke off (KeyError): the log has its trace.", "", "breaks"),
        Finding(UNKNOWN, "The role may not ask.", "give it the right", "rights"),
        Finding(UNKNOWN, "No answer within 0.1 s.", "", "slow"),
        Finding(RIGHT, "beside the others", "", "works"),
        Finding(NOT_ASKED, "Not before a release, which may be what mends it.", "", "works too"),
    ]
    assert exit_status(found) == 3
    assert "a check of the doctor broke off" in capsys.readouterr().err


def test_checks_are_made_beside_one_another(ward):
    together = threading.Barrier(3, timeout=60)

    def meets_the_others(_: Patient) -> list[Finding]:
        together.wait()
        return [right("met")]

    found = doctor.examine(ward.patient, checks=[Check(name, meets_the_others, seconds=60) for name in "abc"])

    assert [finding.sentence for finding in found] == ["met"] * 3


def test_a_store_that_is_away_is_unknown_and_no_trace(ward, proxy, config):
    away = replace(ward.config, dynamodb_endpoint_url=proxy.url, store_timeout_seconds=1)
    ward.store, ward.config = open_store(away), away
    proxy.close()

    found = [finding for check in doctor.FAMILIES["store"] for finding in ward.examine(check.name)]

    assert {finding.state for finding in found} == {UNKNOWN}
    assert all("broke off" not in finding.sentence for finding in found)


@pytest.mark.parametrize("name", ["Stripe key", "webhook endpoint", "webhook deliveries"])
def test_a_key_that_may_not_say_is_unknown_with_the_right_that_it_needs(ward, name):
    ward.stripe.account.refused = RightMissing()

    (found,) = ward.examine(name)

    assert (found.state, "read access" in found.mend) == (UNKNOWN, True)


def test_a_laptop_with_a_sandbox_of_stripe_has_no_endpoint_and_is_not_asked_for_one(ward):
    no_hook(ward)
    ward.change(env="development", stripe_secret_key="sk_test_" + "4b7e19c05a2d8f36")

    assert [ward.examine(name)[0].state for name in ("webhook endpoint", "webhook deliveries")] == [NOT_ASKED] * 2


def test_what_another_program_at_stripe_misses_is_not_ours(ward):
    """Stripe does not say which of several endpoints has not taken an event."""
    not_delivered(ward)
    ward.stripe.account.hooks.append({"id": "we_2", "url": "https://shop.example.com/hook", "status": "enabled"})

    (found,) = ward.examine("webhook deliveries")

    assert found.state == RIGHT


def test_endpoints_that_take_nothing_are_told_and_are_no_fault_of_ours(ward):
    for why in ("failing", "gone", "owner"):
        paused_endpoint(ward, why)

    (found,) = ward.examine("events out")

    assert (found.state, "2 endpoints paused for taking none" in found.sentence) == (RIGHT, True)


@pytest.mark.parametrize("name", ["Cloudflare settings", "Cloudflare rules", "Cloudflare way"])
def test_a_token_of_cloudflares_that_may_not_look_is_unknown_and_none_is_not_asked(ward, name):
    ward.cloudflare.fails = NoRightThere("GET /zones/…: Authentication error (10000)")
    (found,) = ward.examine(name)
    ward.cloudflare = None
    (unasked,) = ward.examine(name)

    assert (found.state, "may not read that" in found.sentence) == (UNKNOWN, True)
    assert unasked.state == NOT_ASKED


@pytest.mark.parametrize(("secret", "words"), [(EDGE_SECRET, "so it can be"), ("", "X-Forwarded-For says")])
def test_before_the_edge_is_asked_for_a_signature_the_doctor_says_whether_one_comes(ward, secret, words):
    ward.change(edge_secrets=())
    ward.way.edge_secret = secret

    (found,) = ward.examine("edge")

    assert (found.state, words in found.sentence) == (NOT_ASKED, True)


def test_a_sender_at_work_on_what_has_gathered_is_right(ward, monkeypatch):
    mail_waits(ward)
    monkeypatch.setattr(work, "SENDER_SECONDS", 60)
    find, mail = ward.store.mails.find, ward.store.mails.find("mail-1")

    def find_and_send(mail_id: str) -> Mail | None:
        found = find(mail_id)
        ward.store.updates.mails.mark_sent(mail, ward.now)
        return found

    ward.store.mails.find = find_and_send

    (found,) = ward.examine("oldest mail")

    assert (found.state, "is sent now" in found.sentence) == (RIGHT, True)


# What is kept


def test_what_is_newly_wrong_is_told_once(ward, caplog):
    bad = Finding(WRONG, "The bucket is away.", "make it", "bucket")

    for findings in ([], [bad], [bad]):
        doctor.keep(ward.store, ward.config, findings, every_seconds=300, now=ward.now)

    assert [record.check for record in caplog.records if getattr(record, "alert", "") == "doctor"] == ["bucket"]
    kept = ward.store.doctor.find()
    assert (kept.findings, kept.is_red, names_of(kept.findings, WRONG)) == ((bad,), True, ["bucket"])


def test_what_is_kept_is_stale_once_two_more_have_not_come(ward):
    kept = doctor.keep(ward.store, ward.config, [], every_seconds=300, now=ward.now)

    assert [kept.is_stale(ward.now + timedelta(minutes=minutes)) for minutes in (5, 19, 21)] == [False, False, True]


def test_a_secret_keeps_its_age_and_a_new_one_begins_its_own(ward):
    doctor.keep(ward.store, ward.config, [], every_seconds=60, now=ward.now - timedelta(days=100))
    old, new = ward.config.jwt_secrets[0], "f04c8a13e97b6d52" * 3
    ward.change(jwt_secrets=(new, old))
    kept = doctor.keep(ward.store, ward.config, [], every_seconds=60, now=ward.now)

    assert kept.secret_since(secrets.fingerprint(old)) == ward.now - timedelta(days=100)
    assert kept.secret_since(secrets.fingerprint(new)) == ward.now
    assert not any(secret in str(kept) for secret in (old, new))
