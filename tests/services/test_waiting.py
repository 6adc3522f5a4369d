"""How long the oldest has waited is told every minute, whatever keeps it."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from app.cli import mail as mail_commands
from app.cli import watching
from app.domain.checks import CHECK
from app.domain.errors import FilesUnavailable
from app.gateways.ses import AddressRefused, MailRefused, SesGateway
from app.services import accounts, checks, waiting
from app.services.links import Links
from app.services.mail import MailRoom, deliver_due
from app.services.passwords import Passwords
from tests.services.test_mail_limits import FakeSes, promise
from tests.support import NOW, PASSWORD, FakeSender, make_account

store = pytest.fixture(lambda empty_store: empty_store)
REFUSED = (400, "MessageRejected", "The message ada@example.com was not accepted, for a reason of ours.")


@pytest.fixture(autouse=True)
def _lines_of_information(caplog):
    caplog.set_level(logging.INFO)


def told(caplog) -> list[tuple[str, int]]:
    return [(r.what, r.seconds) for r in caplog.records if r.getMessage() == "oldest waiting"]


def alerts(caplog) -> list[str]:
    return [record.alert for record in caplog.records if hasattr(record, "alert")]


@pytest.fixture
def room() -> MailRoom:
    return MailRoom(Links(("signing-key",), "http://dashboard.test"), "http://dashboard.test")


@pytest.mark.threat(115)
def test_a_mail_that_is_put_off_again_and_again_grows_old(store, room, caplog, config):
    """Each try puts its due time off by an hour at most: by that alone it would never be old."""
    ses = FakeSes()
    ses.answer = REFUSED
    gateway = SesGateway(replace(config, ses_endpoint_url=ses.url))
    promise(store)
    for hours in range(5):
        deliver_due(store, room, gateway, now=NOW + timedelta(hours=2 * hours))
    ses.shutdown()
    ses.server_close()

    waiting.tell_mail(store, NOW + timedelta(hours=8))

    assert told(caplog) == [("mail", 8 * 3600)]
    (mail,) = store.mails.list_waiting(limit=5).items
    assert (mail.attempts, "for a reason of ours" in mail.last_error) == (5, True)
    put_off = [record for record in caplog.records if record.getMessage() == "mail put off"]
    assert "for a reason of ours" in put_off[-1].reason
    assert "ada@" not in put_off[-1].reason


def test_nothing_waits_when_all_is_sent_and_a_mail_that_is_sent_again_counts_from_then(store, room, caplog):
    promise(store)
    deliver_due(store, room, FakeSender(), now=NOW)
    waiting.tell_mail(store, NOW + timedelta(hours=8))
    promise(store, "m-2", at=NOW + timedelta(hours=8, minutes=-2))
    waiting.tell_mail(store, NOW + timedelta(hours=8))

    assert told(caplog) == [("mail", 0), ("mail", 120)]


def test_of_many_that_wait_the_oldest_is_told(store, monkeypatch):
    for number in range(5):
        promise(store, f"m-{number}", at=NOW - timedelta(minutes=number))

    assert waiting.oldest_mail(store) == NOW - timedelta(minutes=4)
    monkeypatch.setattr(waiting, "LOOKED_AT", 2)
    assert waiting.oldest_mail(store) == NOW - timedelta(minutes=4), "what was never tried comes first"


@pytest.mark.threat(115)
@pytest.mark.parametrize(("refusal", "days"), [(AddressRefused, 0), (MailRefused, 15)])
def test_a_mail_that_is_given_up_rings(store, room, caplog, refusal, days):
    """At once where its address is refused, else after two weeks; until then it is put off without a ring."""

    class Refuses(FakeSender):
        def send(self, **_):
            raise refusal("MessageRejected: no")

    promise(store)
    deliver_due(store, room, Refuses(), now=NOW)
    assert alerts(caplog) == ([] if days else ["mail_failed"])
    if days:
        deliver_due(store, room, Refuses(), now=NOW + timedelta(days=days))

    assert alerts(caplog) == ["mail_failed"]
    assert waiting.oldest_mail(store) is None


@pytest.mark.threat(115)
def test_a_check_that_nobody_begins_is_told_with_its_age(store, caplog):
    waiting.tell_check(store, NOW)
    checks.ask(store, CHECK, actor="op@example.com", now=NOW)
    waiting.tell_check(store, NOW + timedelta(minutes=11))
    store.updates.checks.take(store.checks.find(), NOW + timedelta(minutes=12))
    waiting.tell_check(store, NOW + timedelta(minutes=13))

    assert told(caplog) == [("check", 0), ("check", 660), ("check", 0)]


@pytest.mark.parametrize(
    ("command", "what"), [(("mail", "send"), ["mail", "webhook"]), (("books", "attend"), ["check"])]
)
def test_whoever_watches_tells_it_by_itself(app, store, caplog, monkeypatch, command, what):
    """Seen from the log alone: an alarm rings where the line does not come."""
    stop = threading.Event()

    class Once:
        def __enter__(self):
            return stop

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(stop, "wait", lambda _seconds: stop.set())
    monkeypatch.setattr(f"app.cli.{command[0]}.until_stopped", Once)

    result = app.test_cli_runner().invoke(args=[*command, "--watch"])

    assert result.exit_code == 0, result.output
    assert told(caplog) == [(each, 0) for each in what]


def test_it_is_told_once_a_minute_however_often_one_looks(monkeypatch):
    now, said = [0.0], []
    monkeypatch.setattr(watching.time, "monotonic", lambda: now[0])
    tell = watching.EveryMinute(lambda: said.append(now[0]))

    for now[0] in (0.0, 1.0, 59.0, 60.0, 61.0, 200.0):
        tell()

    assert said == [0.0, 60.0, 200.0]
    assert mail_commands.EveryMinute is watching.EveryMinute


@pytest.mark.threat(115)
def test_an_account_that_cannot_be_erased_keeps_no_other_waiting(app, store, monkeypatch):
    for email in ("ada@example.com", "bob@example.com"):
        accounts.delete(store, Passwords(4), make_account(store, email), PASSWORD, now=NOW)
    erased, finish = [], accounts.finish_erasure

    def some(store, files, email, *, deleted_at):
        if email == "ada@example.com":
            raise FilesUnavailable
        erased.append(email)
        return finish(store, files, email, deleted_at=deleted_at)

    monkeypatch.setattr(accounts, "finish_erasure", some)

    result = app.test_cli_runner().invoke(args=["accounts", "erase"])

    assert (result.exit_code, erased) == (1, ["bob@example.com"])
    assert "1 account of those deleted since 2026-11-22 wait" in result.output
