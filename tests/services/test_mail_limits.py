"""SES in trouble: what is waited out, what ends, and what is sent again. SES answers over HTTP, through botocore."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from app.domain.errors import AlreadyRecorded, InvalidInput, NotFound
from app.domain.mails import Mail
from app.gateways.ses import AddressRefused, MailRefused, SendingLimited, SesGateway
from app.services import accounts, outbox
from app.services import mail as mail_service
from app.services.links import RESET, Links
from app.services.mail import PATIENCE, MailRoom, deliver_due
from tests.support import NOW, make_account

pytestmark = pytest.mark.long

QUOTA = (429, "TooManyRequestsException", "Daily message quota exceeded.")
SUPPRESSED = (400, "MessageRejected", "Address ada@example.com is on the suppression list for your account.")


class FakeSes(ThreadingHTTPServer):
    """`answer` is what the next mails get: None takes them, else status, code and message; `slow` are seconds."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer, self.slow, self.to, self.asked = None, {}, [], 0
        self.raw = None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        ses = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        to = body["Destination"]["ToAddresses"][0]
        ses.asked += 1
        time.sleep(ses.slow.get(to, 0))
        if ses.raw is not None:
            self._send(200, ses.raw)
        elif ses.answer:
            status, code, message = ses.answer
            self._send(status, json.dumps({"message": message}).encode(), code)
        else:
            ses.to.append(to)
            self._send(200, json.dumps({"MessageId": f"m-{len(ses.to)}"}).encode())

    def _send(self, status: int, body: bytes, code: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if code:
            self.send_header("x-amzn-ErrorType", code)
        with suppress(ConnectionError):  # who has waited long enough has gone
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def ses():
    server = FakeSes()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def gateway(config, ses) -> SesGateway:
    return SesGateway(replace(config, ses_endpoint_url=ses.url))


@pytest.fixture
def room() -> MailRoom:
    return MailRoom(Links(("signing-key",), "http://dashboard.test"), "http://dashboard.test")


def promise(store, mail_id: str = "m-1", to: str = "ada@example.com", kind: str = "security", at=NOW) -> None:
    with store.transaction() as tx:
        tx.mails.enqueue(Mail(mail_id, kind, to, at, {"what": "Your password was changed."}))


def send(gateway) -> str:
    return gateway.send(to="ada@example.com", subject="Hello", text="Text", html="<p>Page</p>", headers={})


@pytest.mark.threat(113)
@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (QUOTA, SendingLimited),
        ((400, "Throttling", "Maximum sending rate exceeded."), SendingLimited),
        ((429, "TooManyRequestsException", "Too many requests"), SendingLimited),
        ((400, "LimitExceededException", ""), SendingLimited),
        ((400, "SendingPausedException", "Sending paused for this account."), SendingLimited),
        ((400, "AccountSuspendedException", "Your account is suspended"), SendingLimited),
        ((400, "MailFromDomainNotVerifiedException", ""), SendingLimited),
        (
            (
                400,
                "MessageRejected",
                "Email address is not verified. The following identities failed the check in region"
                " US-EAST-1: hello@impacteragi.com",
            ),
            SendingLimited,
        ),
        (
            (400, "MessageRejected", "Sending paused for this account. For more information, check your email."),
            SendingLimited,
        ),
        ((403, "AccessDeniedException", "not authorized to perform: ses:SendEmail"), SendingLimited),
        (SUPPRESSED, AddressRefused),
        ((400, "BadRequestException", "Invalid email address"), AddressRefused),
        ((400, "BadRequestException", "Local address contains control or whitespace"), AddressRefused),
        ((400, "BadRequestException", "Missing final '@domain'"), AddressRefused),
        ((400, "BadRequestException", "Domain contains illegal character"), AddressRefused),
        ((400, "BadRequestException", "Something new"), MailRefused),
        ((400, "MessageRejected", "Message content rejected"), MailRefused),
        ((500, "InternalFailure", ""), MailRefused),
        ((418, "SomethingNew", "In words nobody knows"), MailRefused),
    ],
)
def test_what_ses_says_decides_over_what_becomes_of_a_mail(gateway, ses, answer, meaning):
    ses.answer = answer

    with pytest.raises(MailRefused) as refused:
        send(gateway)

    assert type(refused.value) is meaning
    assert str(refused.value) == (f"{answer[1]}: {answer[2]}" if answer[2] else answer[1])
    assert ses.asked == 1, "the outbox repeats, not the client"


@pytest.mark.parametrize("raw", [b"{}", b"<html>Sign in to the network</html>", b""])
def test_an_answer_that_is_none_of_ses_is_no_sent_mail(gateway, ses, raw):
    ses.raw = raw

    with pytest.raises(MailRefused):
        send(gateway)


@pytest.mark.threat(113)
def test_three_days_without_quota_lose_no_mail_and_ring(store, room, gateway, ses, caplog):
    for number in range(3):
        promise(store, f"m-{number}", to=f"customer-{number}@example.com")
    ses.answer, now = QUOTA, NOW
    while now < NOW + timedelta(days=3):
        deliver_due(store, room, gateway, now=now)
        trouble = store.mails.trouble()
        assert now < trouble.until <= now + timedelta(hours=1)
        assert deliver_due(store, room, gateway, now=now + (trouble.until - now) / 2) == (0, 0), "SES is left alone"
        now = trouble.until

    assert ses.asked < 12 + 3 * 24 * 2
    assert (trouble.since, trouble.reason) == (NOW, "TooManyRequestsException: Daily message quota exceeded.")
    assert not store.mails.list_failed(limit=5).items
    rung = [record for record in caplog.records if getattr(record, "alert", "") == "mail"]
    assert len(rung) > 48
    assert rung[0].reason == trouble.reason

    ses.answer = None
    assert deliver_due(store, room, gateway, now=now + timedelta(hours=1)) == (3, 0)
    assert store.mails.trouble() is None
    assert sorted(ses.to) == [f"customer-{number}@example.com" for number in range(3)]


def test_a_limit_counts_as_no_try_of_the_mail_that_met_it(store, room, gateway, ses):
    promise(store)
    ses.answer = QUOTA
    for hour in range(30):
        deliver_due(store, room, gateway, now=NOW + timedelta(hours=2 * hour))

    assert store.mails.find("m-1").attempts == 0


@pytest.mark.threat(113)
def test_only_a_refused_address_ends_a_mail_and_the_log_does_not_name_it(store, room, gateway, ses, caplog):
    promise(store)
    ses.answer = SUPPRESSED

    assert deliver_due(store, room, gateway, now=NOW) == (0, 1)

    (failed,) = store.mails.list_failed(limit=5).items
    assert failed.last_error == f"{SUPPRESSED[1]}: {SUPPRESSED[2]}"
    assert "is on the suppression list" in caplog.records[-1].reason
    assert "ada@example.com" not in str(vars(caplog.records[-1]))


@pytest.mark.threat(113)
def test_an_unknown_error_is_tried_for_two_weeks_then_shown(store, room, gateway, ses):
    promise(store)
    ses.answer = (418, "SomethingNew", "In words nobody knows")
    deliver_due(store, room, gateway, now=NOW)
    deliver_due(store, room, gateway, now=NOW + PATIENCE - timedelta(hours=1))
    assert not store.mails.find("m-1").failed

    deliver_due(store, room, gateway, now=NOW + PATIENCE + timedelta(hours=1))

    assert store.mails.find("m-1").failed
    assert store.mails.find("m-1").last_error == "SomethingNew: In words nobody knows"


def test_a_slow_mail_holds_up_the_others_for_a_bounded_time(store, room, gateway, ses):
    promise(store, "a", to="slow@example.com")
    promise(store, "b", to="ada@example.com")
    ses.slow = {"slow@example.com": 9}

    begun = time.monotonic()
    assert deliver_due(store, room, gateway, now=NOW) == (1, 1)

    assert time.monotonic() - begun < 9
    assert ses.to[0] == "ada@example.com"


def test_a_look_ends_in_time_when_every_mail_is_slow(store, room, sender, monkeypatch):
    for number in range(5):
        promise(store, f"m-{number}")
    moments = iter(range(0, 1000, 13))
    monkeypatch.setattr(mail_service, "monotonic", lambda: next(moments))

    assert deliver_due(store, room, sender, now=NOW) == (2, 0)

    assert len(store.mails.list_due(NOW)) == 3, "left for the next look, by whom it may be"


@pytest.mark.threat(113)
def test_a_reset_that_waited_has_its_link_made_anew_and_older_ones_are_not_sent(store, room, sender):
    make_account(store)
    for hours in (0, 2):
        accounts.ask_for_link(store, "ada@example.com", now=NOW + timedelta(hours=hours))

    deliver_due(store, room, sender, now=NOW + timedelta(days=2))

    (sent,) = sender.sent
    token = sent["text"].partition("/reset/")[2].split()[0]
    email, nonce = Links(("signing-key",), "").email_of(token, RESET)
    assert store.accounts.get(email).link_nonces[RESET] == nonce
    assert not store.mails.list_due(NOW + timedelta(days=9))
    assert not store.mails.list_failed(limit=5).items


# Sending again


def fail(store, mail_id: str, hours: float, to: str = "ada@example.com") -> None:
    promise(store, mail_id, to)
    store.updates.mails.mark_unsent(
        store.mails.find(mail_id), "MessageRejected", NOW + timedelta(hours=hours), give_up=True
    )


def test_a_sent_mail_that_is_asked_for_again_does_not_expire_while_it_waits(any_store):
    promise(any_store)
    any_store.updates.mails.mark_sent(any_store.mails.find("m-1"), NOW)

    outbox.resend(any_store, "op@example.com", "m-1", now=NOW + timedelta(days=89))

    row = any_store._get("Outbox", {"mail_id": "m-1"})
    assert not {"expires_at", "sent_at"} & row.keys()
    assert not hasattr(any_store.updates.mails, "requeue"), "one way only"


@pytest.fixture(params=["moto", "isolated"])
def any_store(request):
    return request.getfixturevalue("moto_store" if request.param == "moto" else "store")


@pytest.mark.threat(113)
def test_all_that_failed_in_a_time_is_sent_again_once(store):
    for number in range(outbox.AT_ONCE + 5):
        fail(store, f"m-{number:02d}", 1)
    fail(store, "before", 0.5)
    fail(store, "after", 2.5)
    span = (NOW + timedelta(hours=1), NOW + timedelta(hours=2))
    now = NOW + timedelta(days=1)

    answers = [outbox.resend_failed(store, "op@example.com", *span, now=now) for _ in range(3)]

    assert answers == [(outbox.AT_ONCE, True), (5, False), (0, False)]
    assert {mail.mail_id for mail in store.mails.list_failed(limit=5).items} == {"before", "after"}
    assert len(list(store.audit.every_of("ada@example.com"))) == outbox.AT_ONCE + 5
    with pytest.raises(InvalidInput):
        outbox.resend_failed(store, "op@example.com", span[1], span[0], now=now)


def test_a_mail_is_sent_again_once_when_two_operators_ask(store, monkeypatch):
    fail(store, "m-1", 1)
    real, raced = store.mails.list_failed, []

    def list_failed_mails(**given):
        page = real(**given)
        if not raced:
            raced.append(True)
            outbox.resend_failed(store, "two@example.com", *span, now=NOW + timedelta(hours=3))
        return page

    span = (NOW, NOW + timedelta(hours=2))
    monkeypatch.setattr(store.mails, "list_failed", list_failed_mails)

    assert outbox.resend_failed(store, "op@example.com", *span, now=NOW + timedelta(hours=3)) == (0, False)

    assert [row.actor for row in store.audit.every_of("ada@example.com")] == ["two@example.com"]
    with pytest.raises(AlreadyRecorded), store.transaction() as tx:
        tx.mails.requeue("m-1", NOW, if_failed=True)
    with pytest.raises(NotFound), store.transaction() as tx:
        tx.mails.requeue("m-9", NOW)


def test_the_command_sends_again_what_failed(store, app):
    for number in range(outbox.AT_ONCE + 5):
        fail(store, f"m-{number:02d}", 1)
    runner = app.test_cli_runner()
    words = ["mail", "resend", "--since", "2026-11-22T12:30", "--until", "2026-11-22T13:30", "--as", "op@example.com"]

    assert "55 on their way again." in runner.invoke(args=words).output
    assert "0 on their way again." in runner.invoke(args=words).output
