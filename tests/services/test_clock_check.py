"""This machine's clock beside the store's: what is measured, what is said, and how often."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from app import create_app
from app.data import Store
from app.data.clock import read_clock
from app.domain.clock import utcnow
from app.domain.clock_reading import DRIFTING, OFF, RIGHT, ClockReading
from app.domain.errors import StoreUnavailable
from app.services.clock_check import REPEAT_SECONDS, ClockCheck, sentence
from app.web import deps
from app.web.logs import JsonFormatter
from tests.routes.browser import Browser, soup
from tests.support import make_account

TRUE = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


class DatedClient:
    """A store whose answers carry this date; with `refusal`, each answer is that error."""

    def __init__(self, date: str | None, refusal: str | None = None):
        headers = {} if date is None else {"date": date}
        self._answer = {"Table": {}, "ResponseMetadata": {"HTTPHeaders": headers}}
        self._refusal = refusal

    def describe_table(self, TableName: str):
        if self._refusal:
            raise ClientError({"Error": {"Code": self._refusal, "Message": ""}} | self._answer, "DescribeTable")
        return self._answer


def store_at(moment: datetime | None, refusal: str | None = None) -> Store:
    return Store(DatedClient(moment and format_datetime(moment, usegmt=True), refusal), "T_")


@pytest.fixture
def lines():
    """What the check logs, as it leaves the formatter."""
    found: list[dict] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(json.loads(JsonFormatter().format(record)))

    logger, handler = logging.getLogger("app.services.clock_check"), Keep()
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    yield found
    logger.setLevel(level)
    logger.removeHandler(handler)


# What is measured


@pytest.mark.threat(46)
@pytest.mark.parametrize(
    ("ahead", "state"),
    [
        (0, RIGHT),
        (0.999, RIGHT),  # the header says 12:00:00 until 12:00:01
        (29, RIGHT),
        (-29, RIGHT),
        (32, DRIFTING),
        (-31, DRIFTING),
        (299, DRIFTING),
        (-299, DRIFTING),
        (302, OFF),
        (-301, OFF),
        (600, OFF),
        (-86_400, OFF),
    ],
)
def test_clock_is_judged_by_the_date_of_an_answer(ahead, state):
    reading = read_clock(store_at(TRUE).client, "T_Users", lambda: TRUE + timedelta(seconds=ahead))

    assert reading.state == state
    assert abs(reading.ahead.total_seconds() - ahead) <= reading.margin_seconds


def test_half_the_round_trip_counts_and_what_is_uncertain_is_not_held_against_the_clock():
    answered_at = TRUE + timedelta(seconds=303)

    quick = ClockReading.of(TRUE, answered_at, timedelta(seconds=0))
    slow = ClockReading.of(TRUE, answered_at, timedelta(seconds=4))

    assert (quick.ahead, quick.state) == (timedelta(seconds=302.5), OFF)
    assert (slow.ahead, slow.state) == (timedelta(seconds=300.5), DRIFTING)


@pytest.mark.threat(46)
def test_a_signature_refused_for_its_time_tells_the_time():
    """AWS refuses what was signed more than five minutes ago: then no other answer comes."""
    store = store_at(TRUE, "InvalidSignatureException")

    reading = store.read_clock(lambda: TRUE - timedelta(minutes=10))

    assert reading.state == OFF
    assert reading.ahead_seconds == -600


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_nothing_is_known_when_the_answer_has_no_date(date):
    assert read_clock(DatedClient(date), "T_Users") is None


def test_the_local_store_tells_the_time(store):
    """Or nobody would see the check at work before it is needed."""
    assert store.read_clock(utcnow).state == RIGHT


def test_unreachable_store_is_unavailable():
    class Unreachable:
        def describe_table(self, TableName: str):
            raise EndpointConnectionError(endpoint_url="http://db")

    with pytest.raises(StoreUnavailable):
        read_clock(Unreachable(), "T_Users")
    ClockCheck().check_at_start(Store(Unreachable(), "T_"))  # does not keep the process from starting


# What is said


@pytest.mark.threat(46)
def test_alert_is_logged_when_the_clock_is_wrong_and_again_while_it_stays_so(lines):
    ahead = timedelta(minutes=10)
    moments = iter([0.0, 10.0, REPEAT_SECONDS - 1, REPEAT_SECONDS, REPEAT_SECONDS + 10, 900.0, 910.0])
    clock = ClockCheck(now=lambda: TRUE + ahead, monotonic=lambda: next(moments))

    for _ in range(5):
        clock.check(store_at(TRUE))
    ahead = timedelta(0)
    for _ in range(2):
        clock.check(store_at(TRUE))

    assert [line["event"] for line in lines] == ["alert: clock is wrong"] * 2 + ["clock is right again"]
    assert lines[0]["level"] == "error"
    assert lines[0]["alert"] == "clock"
    assert lines[0]["state"] == OFF
    assert abs(lines[0]["ahead_seconds"] - 600) <= lines[0]["margin_seconds"]


def test_a_drift_is_a_warning_and_what_follows_an_error(lines):
    ahead = timedelta(seconds=60)
    clock = ClockCheck(now=lambda: TRUE + ahead, monotonic=lambda: 0.0)

    clock.check(store_at(TRUE))
    ahead = timedelta(seconds=400)
    clock.check(store_at(TRUE))

    assert [(line["level"], line["state"]) for line in lines] == [("warning", DRIFTING), ("error", OFF)]


def test_a_right_clock_is_not_worth_a_line(lines):
    ClockCheck(now=lambda: TRUE).check(store_at(TRUE))

    assert lines == []


def test_a_store_without_a_date_is_logged_once(lines):
    clock = ClockCheck()

    for _ in range(3):
        assert clock.check(store_at(None)) is None

    assert [line["event"] for line in lines] == ["clock not compared: the store's answers have no date"]


def test_sentence_says_which_way_and_what_follows():
    def of(seconds: int) -> str | None:
        return sentence(ClockReading(timedelta(seconds=seconds), timedelta(seconds=1)))

    assert sentence(None) is None
    assert of(0) is None
    assert of(45) == "This machine's clock is 45 s ahead."
    assert of(-600) == "This machine's clock is 600 s behind. Stripe's webhooks are refused until it is right."


# Where it is said


@pytest.fixture
def app_with_clock(config, store, sender, stripe):
    """The app on a machine whose clock differs by so much."""

    def make(ahead: timedelta):
        app = create_app(config, store=store, sender=sender, stripe=stripe)
        with app.app_context():
            deps.register(app, replace(deps.get(), clock=ClockCheck(now=lambda: utcnow() + ahead)))
        return app

    return make


def test_health_says_that_the_clock_is_right(app_with_clock):
    answer = app_with_clock(timedelta(0)).test_client().get("/healthz")

    assert (answer.status_code, answer.json) == (200, {"status": "ok", "clock": "right"})


@pytest.mark.threat(46)
@pytest.mark.parametrize("minutes", [10, -10])
def test_health_says_that_the_clock_is_off_without_taking_the_machine_out(app_with_clock, minutes):
    answer = app_with_clock(timedelta(minutes=minutes)).test_client().get("/healthz")

    assert answer.status_code == 200
    assert (answer.json["status"], answer.json["clock"]) == ("degraded", "off")
    assert "webhooks are refused" in answer.json["warnings"][0]


def test_health_names_a_drift_and_stays_ok(app_with_clock):
    answer = app_with_clock(timedelta(seconds=90)).test_client().get("/healthz")

    assert (answer.status_code, answer.json["status"], answer.json["clock"]) == (200, "ok", "drifting")
    assert "ahead" in answer.json["warnings"][0]


@pytest.mark.threat(46, 99)
def test_health_names_the_clock_beside_a_missing_table(app_with_clock, store):
    store.client.delete_table(TableName=store.prefix + "Outbox")

    answer = app_with_clock(timedelta(minutes=10)).test_client().get("/healthz")

    assert (answer.status_code, answer.json["status"], answer.json["clock"]) == (503, "unavailable", "off")
    assert answer.json["problems"] == ["table ImpacterAGI_Outbox is missing; python scripts/setup_db.py makes it"]


def test_operators_see_it_on_the_overview_once_it_was_found(app_with_clock, store):
    make_account(store, "op@example.com", role="admin")
    app = app_with_clock(timedelta(minutes=-10))
    operator = Browser(app)
    operator.sign_in("op@example.com")

    before = soup(operator.get("/admin/overview")).select_one("main [role=alert]")
    operator.get("/healthz")
    after = soup(operator.get("/admin/overview")).select_one("main [role=alert]")

    assert before is None
    assert "behind" in after.text
