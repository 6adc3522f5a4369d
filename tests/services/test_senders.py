"""Several senders at once: each mail goes out once, none is lost with a sender that dies, and SES's quota is theirs
together."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.data import Store
from app.domain.doctor import CannotTell
from app.domain.mails import Mail, MailTrouble
from app.gateways.ses import SendingLimited, SesGateway
from app.services import mail as mail_service
from app.services.links import Links
from app.services.mail import AT_ONCE, MailRoom, deliver_due
from app.services.pace import Pace
from tests.services.test_mail_limits import FakeSes
from tests.support import NOW, FakeSender, all_mails, calls_made

MAILS = 60


@pytest.fixture
def room() -> MailRoom:
    return MailRoom(Links(("signing-key",), "http://dashboard.test"), "http://dashboard.test")


def promise(store, number: int) -> None:
    mail = Mail(f"m-{number}", "security", f"customer-{number}@example.com", NOW, {"what": "Something."})
    with store.transaction() as tx:
        tx.mails.enqueue(mail)


class SlowSender(FakeSender):
    def send(self, **given: Any) -> str:
        time.sleep(0.01)
        return super().send(**given)


def until_nothing_is_sent(store, room, sender, now=NOW) -> int:
    sent = 0
    while done := deliver_due(store, room, sender, now=now)[0]:
        sent += done
    return sent


def test_four_senders_at_once_send_each_mail_once(store, room):
    for number in range(MAILS):
        promise(store, number)
    sender = SlowSender()

    with ThreadPoolExecutor(4) as senders:
        sent = sum(senders.map(lambda _: until_nothing_is_sent(store, room, sender), range(4)))
    sent += until_nothing_is_sent(store, room, sender)  # what two that left it to one another may have left

    assert sent == MAILS
    assert Counter(mail["to"] for mail in sender.sent) == {
        f"customer-{number}@example.com": 1 for number in range(MAILS)
    }


def test_a_sender_that_is_killed_loses_nothing_and_sends_twice_only_what_it_had_in_hand(store, room):
    for number in range(MAILS):
        promise(store, number)
    sender = SlowSender()
    killed = Store(store.client, store.prefix)
    killed.updates.mails.mark_sent = lambda *_: (_ for _ in ()).throw(SystemExit)  # type: ignore[method-assign]
    has_mails = threading.Event()  # others, on a busy machine, could send all of them before
    lease = killed.updates.mails.lease
    killed.updates.mails.lease = lambda *given: lease(*given) and not has_mails.set()  # type: ignore[method-assign]

    with ThreadPoolExecutor(3) as senders:
        dies = senders.submit(until_nothing_is_sent, killed, room, sender)
        assert has_mails.wait(60)
        others = [senders.submit(until_nothing_is_sent, store, room, sender) for _ in range(2)]
        for other in others:
            other.result()
    assert isinstance(dies.exception(), SystemExit)
    until_nothing_is_sent(store, room, sender)
    waiting = [mail for mail in all_mails(store) if mail.sent_at is None]
    assert 0 < len(waiting) <= AT_ONCE, "leased, until the lease is over"

    until_nothing_is_sent(store, room, sender, NOW + timedelta(minutes=2))

    times = Counter(mail["to"] for mail in sender.sent)
    assert len(times) == MAILS
    assert {to for to, count in times.items() if count > 1} == {mail.to for mail in waiting}
    assert all(mail.sent_at for mail in all_mails(store))


@pytest.mark.long
def test_an_ses_that_answers_nobody_keeps_no_sender_for_long_and_no_mail_is_lost(store, room, config, monkeypatch):
    monkeypatch.setattr("app.data.client.MAIL_SECONDS", 1)
    ses = FakeSes()
    ses.slow = {f"customer-{number}@example.com": 3 for number in range(12)}
    gateway = SesGateway(replace(config, ses_endpoint_url=ses.url))
    for number in range(12):
        promise(store, number)

    with ThreadPoolExecutor(2) as senders:
        looks = list(senders.map(lambda _: deliver_due(store, room, gateway, now=NOW), range(2)))
    frozen = all_mails(store)
    ses.slow = {}
    again = until_nothing_is_sent(store, room, gateway, NOW + timedelta(minutes=2))
    ses.shutdown()
    ses.server_close()

    assert sum(sent for sent, _ in looks) == 0
    assert [mail.sent_at for mail in frozen] == [None] * 12
    assert (again, all(mail.sent_at for mail in all_mails(store))) == (12, True)


def test_a_stop_ends_a_look_after_what_is_in_hand(store, room):
    for number in range(MAILS):
        promise(store, number)
    sender = SlowSender()

    sent, _ = deliver_due(store, room, sender, now=NOW, stopped=lambda: len(sender.sent) >= 5)

    assert 5 <= sent <= 5 + AT_ONCE
    assert len(store.mails.list_due(NOW, limit=100)) == MAILS - sent


def test_several_mails_are_under_way_at_once_and_no_more_than_the_pool_has(store, room):
    for number in range(MAILS):
        promise(store, number)
    under_way, most, lock = 0, 0, threading.Lock()

    class Counts(SlowSender):
        def send(self, **given: Any) -> str:
            nonlocal under_way, most
            with lock:
                under_way += 1
                most = max(most, under_way)
            try:
                return super().send(**given)
            finally:
                with lock:
                    under_way -= 1

    deliver_due(store, room, Counts(), now=NOW)

    assert 1 < most <= AT_ONCE


# SES's quota


class Told:
    """What SES says of our account, and how often it was asked."""

    def __init__(self, rate: float, most: float, sent: float = 0) -> None:
        self.quota = {"MaxSendRate": rate, "Max24HourSend": most, "SentLast24Hours": sent}
        self.asked = 0
        self.silent = False

    def sending(self) -> dict[str, Any]:
        self.asked += 1
        if self.silent:
            raise CannotTell("SES does not answer")
        return {"SendQuota": self.quota}


class Clock:
    """Moves on only while somebody sleeps, and a little with each look."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def test_senders_together_keep_to_the_rate_that_ses_has_told(store):
    ses, clock = Told(10, 50_000), Clock()
    paces = [Pace(store, ses, clock.sleep) for _ in range(3)]
    gone: Counter[datetime] = Counter()

    for number in range(60):
        assert paces[number % 3].wait_for_one(clock)
        gone[clock.now.replace(microsecond=0)] += 1

    assert max(gone.values()) <= 10
    assert len(gone) <= 9, "and take what there is"
    assert ses.asked == 1, "by one, for all"


def test_the_quota_of_the_day_ends_the_sending_in_words_until_ses_has_more(store):
    ses, clock = Told(14, 200, sent=195), Clock()
    paces = [Pace(store, ses, clock.sleep) for _ in range(2)]

    for number in range(5):
        assert paces[number % 2].wait_for_one(clock)
    for pace in paces:
        with pytest.raises(SendingLimited, match="The quota of the day is used up: SES takes 200 mails in 24 hours"):
            pace.wait_for_one(clock)
    ses.quota["SentLast24Hours"] = 100
    clock.sleep(70)

    assert [pace.wait_for_one(clock) for pace in paces] == [True, True]
    assert ses.asked == 2


def test_a_used_up_quota_is_waited_out_and_counts_as_no_try(store, room, sender):
    for number in range(6):
        promise(store, number)
    pace = Pace(store, Told(0, 200, sent=197))

    assert deliver_due(store, room, sender, now=NOW, pace=pace) == (3, 0)

    assert "quota of the day" in store.mails.trouble().reason
    assert deliver_due(store, room, sender, now=NOW, pace=pace) == (0, 0)
    assert [mail.attempts for mail in store.mails.list_due(NOW, limit=9)] == [0, 0, 0]
    fuller = Pace(store, Told(0, 200, sent=0))
    assert deliver_due(store, room, sender, now=NOW + timedelta(minutes=2), pace=fuller) == (3, 0)
    assert store.mails.trouble() is None


def test_what_was_taken_and_not_used_does_not_use_up_the_day(store):
    """One mail a second, of an account that may send a few more: a take of several each second would end them."""
    ses, clock = Told(40, 500, sent=450), Clock()
    pace = Pace(store, ses, clock.sleep)

    for _ in range(50):
        assert pace.wait_for_one(clock)
        clock.sleep(1)

    assert ses.asked == 1


def test_a_look_while_ses_is_left_alone_reads_one_row(store, room, sender, monkeypatch):
    """There may be a hundred thousand mails that wait, and a look each second."""
    promise(store, 0)
    store.updates.mails.note_trouble(MailTrouble("paused", NOW, NOW + timedelta(hours=1), 9))

    with calls_made(monkeypatch) as made:
        assert deliver_due(store, room, sender, now=NOW) == (0, 0)

    assert made == ["GetItem"]


def test_when_ses_does_not_tell_mails_go_as_before_and_it_is_said_once(store, caplog):
    ses, clock = Told(1, 1), Clock()
    ses.silent = True
    pace = Pace(store, ses, clock.sleep)

    for _ in range(3):
        assert all(pace.wait_for_one(clock) for _ in range(5))
        clock.sleep(70)

    assert ses.asked == 3
    assert [record.getMessage() for record in caplog.records].count(
        "SES does not tell how much may be sent: SES does not answer"
    ) == 1


def test_a_second_of_a_clock_that_was_years_ahead_keeps_nobody_waiting(store):
    ses, clock = Told(4, 50_000), Clock()
    ahead = Pace(store, ses, clock.sleep)
    years = lambda: clock() + timedelta(days=900)  # noqa: E731
    assert all(ahead.wait_for_one(years) for _ in range(4))

    pace = Pace(store, ses, clock.sleep)

    assert all(pace.wait_for_one(clock) for _ in range(8))
    assert clock.now < NOW + timedelta(seconds=10)


def test_others_that_take_all_there_is_end_the_look_and_not_the_sender(store):
    clock = Clock()
    pace = Pace(store, Told(2, 50_000), clock.sleep)
    assert pace.wait_for_one(clock)
    greedy = store.updates.sending_quota.take

    def others_first(seen, second, mails):
        greedy(store.sending_quota.find(), second, 1)
        greedy(store.sending_quota.find(), second, 1)
        return greedy(seen, second, mails)

    store.updates.sending_quota.take = others_first
    clock.sleep(1)
    try:
        assert not pace.wait_for_one(clock)
    finally:
        del store.updates.sending_quota.take


def test_mails_refused_at_once_are_one_word_of_ses(store, room, monkeypatch):
    """Or eight refusals of a moment would be waited out as if there had been eight pauses."""
    monkeypatch.setattr(mail_service.random, "uniform", lambda low, high: 1)
    for number in range(20):
        promise(store, number)
    together = threading.Barrier(AT_ONCE)

    class Full(FakeSender):
        def send(self, **_: Any) -> str:
            together.wait(60)
            raise SendingLimited("Throttling: Maximum sending rate exceeded.")

    assert deliver_due(store, room, Full(), now=NOW) == (0, AT_ONCE)

    assert (store.mails.trouble().times, store.mails.trouble().until) == (1, NOW + timedelta(seconds=2))
    assert {mail.attempts for mail in all_mails(store)} == {0}
