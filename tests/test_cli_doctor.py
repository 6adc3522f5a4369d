"""`flask doctor`: a line for each finding, its exit status, JSON, what is kept; what is credited, by name."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from app import create_app
from app.domain.clock import utcnow
from app.domain.doctor import UNKNOWN, WRONG, CannotTell, Finding, right
from app.services import doctor, payments, sales
from app.services.doctor import FAMILIES, Check
from tests.support import NOW, FakeSender, make_operators, session_event

CATALOGUE = {
    "plink_credits": {"id": "plink_credits", "active": True, "currency": "usd"},
    "plink_old": {"id": "plink_old", "active": False, "currency": "usd"},
    "price_month": {"id": "price_month", "active": True, "currency": "usd", "recurring": {"interval": "month"}},
    "price_euro": {"id": "price_euro", "active": True, "currency": "eur"},
}


@pytest.fixture
def run(config, store, stripe):
    stripe.catalogue = CATALOGUE

    def command(*options, **settings):
        app = create_app(replace(config, **settings), store=store, sender=FakeSender(), stripe=stripe)
        return app.test_cli_runner().invoke(args=["doctor", *(options or ("--only", "payments"))])

    return command


@pytest.fixture
def findings(monkeypatch):
    """What the only check finds, one list an examination."""
    told = []
    only = Check("bucket", lambda patient: told.pop(0) if len(told) > 1 else told[0])
    monkeypatch.setattr(doctor.examination, "CHECKS", (only,))
    return told


@pytest.mark.threat(103)
def test_development_with_nothing_named_is_warned(run):
    result = run()

    assert result.exit_code == 0
    assert "right      credited: CREDIT_PAYMENT_LINKS, CREDIT_PRICES and CREDIT_PRODUCTS name nothing" in result.output
    assert "In production none would be" in result.output


def test_a_link_that_stripe_knows_is_well(run):
    result = run(credit_payment_links=("plink_credits",))

    assert result.exit_code == 0
    assert "right      credited: CREDIT_PAYMENT_LINKS names plink_credits: what it sells is credited." in result.output


@pytest.mark.parametrize(
    ("setting", "item", "status", "words"),
    [
        ("credit_payment_links", "plink_none", 1, "CREDIT_PAYMENT_LINKS names plink_none, which Stripe does not know"),
        ("credit_payment_links", "plink_old", 1, "switched off at Stripe"),
        ("credit_prices", "price_month", 1, "CREDIT_PRICES names price_month, a subscription"),
        ("credit_prices", "price_euro", 1, "only usd is credited"),
        ("credit_products", "prod_none", 1, "CREDIT_PRODUCTS names prod_none"),
    ],
)
def test_what_cannot_be_credited_is_named(run, setting, item, status, words):
    result = run(**{setting: (item,)})

    assert result.exit_code == status
    assert words in result.output


def test_stripe_down_cannot_be_told(run, stripe):
    stripe.down = True

    result = run(credit_payment_links=("plink_credits",))

    assert (result.exit_code, "Stripe did not say" in result.output) == (3, True)


def test_what_waits_for_an_operator_is_told(run, store):
    make_operators(store)
    for link in ("plink_a", "plink_b"):
        told = session_event(metadata={}, payment_link=link)
        payments.handle_event(store, told, livemode=False, now=NOW)
    sales.name_for_good(store, "plink_b", reason="ours", actor="op@example.com", limit=5000, now=NOW)

    result = run(credit_payment_links=("plink_credits",))

    assert "plink_a has sold something that is credited to nobody" in result.output
    assert "plink_b was named for good by an operator" in result.output
    assert "plink_b is named, and payments by it still wait" in result.output


def test_missing_tables_are_wrong_and_the_rest_is_looked_at_all_the_same(run, store):
    assert "right      tables: " in run("--only", "store", table_prefix="x_").output, "the store that was handed in"
    store.client.delete_table(TableName=f"{store.prefix}Sales")

    result = run("--only", "store", "--only", "payments")

    assert result.exit_code == 1
    wanted = "WRONG      tables: TABLE_PREFIX: table ImpacterAGI_Sales is missing. Mend: python scripts/setup_db.py"
    assert wanted in result.output
    assert "right      Stripe key: " in result.output
    assert "unknown    other sales: AWS does not tell (ResourceNotFoundException)." in result.output
    assert result.output.splitlines()[-1].startswith("Wrong: tables")


BAD = Finding(WRONG, "The bucket is away.", "make it")


@pytest.mark.parametrize(
    ("found", "status", "state"),
    [
        ([right("Fine.")], 0, "right"),
        ([right("Fine."), BAD], 1, "wrong"),
        ([Finding(UNKNOWN, "No rights.")], 3, UNKNOWN),
    ],
)
def test_json_says_what_the_lines_and_the_status_say(run, findings, found, status, state):
    findings.append(found)

    result = run("--json")

    told = json.loads(result.output)
    assert (result.exit_code, told["state"]) == (status, state)
    assert [each["sentence"] for each in told["findings"]] == [finding.sentence for finding in found]
    assert {each["name"] for each in told["findings"]} == {"bucket"}


def test_words_of_others_stay_on_one_line(run, findings):
    findings.append([Finding(WRONG, "SES says:\x1b[2J\nright  all is well", "ask")])

    first, last = run("--before-release").output.splitlines()

    assert first == "WRONG      bucket: SES says: [2J right  all is well Mend: ask"
    assert last == "Wrong: bucket."


def test_what_is_kept_ends_with_0_whatever_is_found(run, findings, store, caplog):
    findings.append([BAD])

    result = run("--keep", "--every", "300")

    kept = store.doctor.find()
    assert (result.exit_code, kept.is_red, kept.every_seconds) == (0, True, 300)
    assert [finding.mend for finding in kept.findings] == ["make it"]
    assert utcnow() - kept.at < timedelta(minutes=5)
    assert store.heartbeats.command_ends(["doctor"])["doctor"].status == 0


@pytest.mark.parametrize("options", [("--only", "store"), ("--before-release",)])
def test_a_part_is_not_kept(run, store, options):
    result = run("--keep", *options)

    assert (result.exit_code, store.doctor.find()) == (2, None)


def test_nothing_is_written_unless_it_is_to_be_kept(run, store, findings):
    findings.append([right("Fine.")])

    run("--before-release")

    assert (store.doctor.find(), store.heartbeats.command_ends(["doctor"])) == (None, {})


@pytest.fixture
def signals() -> Iterator[None]:
    """A command that has stopped heeds no second order to: no test after this one may inherit that."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
def test_watching_says_what_has_changed_and_ends_when_it_is_asked_to(run, monkeypatch, store):
    seen = [[right("Fine since 1 minute.")], [right("Fine since 2 minutes.")], [BAD]]

    def look(patient):
        if len(seen) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return seen.pop(0)

    monkeypatch.setattr(doctor.examination, "CHECKS", (Check("bucket", look),))

    result = run("--watch", "--keep", "--every", "1")

    lines = result.output.splitlines()
    assert [line.partition("bucket: ")[2] for line in lines if "bucket: " in line] == [
        "Fine since 1 minute.",
        "The bucket is away. Mend: make it",
    ]
    assert (result.exit_code, store.doctor.find().is_red) == (0, True)


def test_before_a_release_what_only_a_release_mends_is_not_asked(run):
    output = run("--before-release").output

    left_out = {check.name for checks in FAMILIES.values() for check in checks if not check.before_release}
    assert {"public address", "scheduled commands", "oldest task", "webhook endpoint"} <= left_out
    for name in left_out:
        assert f"not asked  {name}: Not before a release" in output


def test_a_check_that_has_no_rights_says_so(run, monkeypatch):
    def look(patient):
        raise CannotTell("SES does not tell (AccessDeniedException)", "give the role ses:GetAccount")

    monkeypatch.setattr(doctor.examination, "CHECKS", (Check("mail quota", look),))

    result = run("--before-release")

    line = "unknown    mail quota: SES does not tell (AccessDeniedException). Mend: give the role ses:GetAccount"
    assert (result.exit_code, result.output.splitlines()[0]) == (3, line)
