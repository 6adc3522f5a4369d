"""SES or Stripe out of reach: what was paid for is credited, mails come later, and buying says that it cannot."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import replace
from datetime import timedelta

import boto3
import pytest

from app import create_app
from app.domain.clock import utcnow
from app.gateways.ses import SesGateway
from app.gateways.stripe import StripeGateway
from app.services.links import Links
from app.services.mail import MailRoom, deliver_due
from tests.routes.browser import Browser
from tests.support import all_mails, make_account, post_webhook, session_event, signed


@pytest.fixture
def ses(config, proxy, dynamodb_url) -> SesGateway:
    client = boto3.client("sesv2", endpoint_url=dynamodb_url, region_name="us-east-1")
    with contextlib.suppress(client.exceptions.AlreadyExistsException):
        client.create_email_identity(EmailIdentity="hello@impacteragi.com")
    return SesGateway(replace(config, ses_endpoint_url=proxy.url))


@pytest.mark.threat(42)
@pytest.mark.parametrize("fault", ["error", "cut", "delay", "garbage"])
def test_a_purchase_is_credited_and_its_mail_comes_later_once(config, store, proxy, ses, client, fault):
    room = MailRoom(Links(config.jwt_secrets, config.app_url), config.app_url)
    proxy.delay_seconds = 6.0
    proxy.every(fault)
    event = session_event("new@example.com")

    assert post_webhook(client, event).status_code == 200

    assert store.accounts.get("new@example.com").credits_balance == 1000
    now = utcnow()
    assert deliver_due(store, room, ses, now=now) == (0, 1)
    assert all_mails(store)[0].sent_at is None
    proxy.heal()
    later = now + timedelta(minutes=10)
    assert deliver_due(store, room, ses, now=later) == (1, 0)
    assert deliver_due(store, room, ses, now=later + timedelta(hours=1)) == (0, 0)
    assert post_webhook(client, event).status_code == 200
    assert deliver_due(store, room, ses, now=later + timedelta(hours=2)) == (0, 0)
    assert [mail.kind for mail in all_mails(store)] == ["welcome"]


@pytest.mark.threat(47)
@pytest.mark.parametrize("fault", ["error", "cut"])
def test_buying_says_unavailable_while_paid_sessions_are_still_credited(config, store, proxy, sender, fault):
    proxy.every(fault)
    app = create_app(config, store=store, sender=sender, stripe=StripeGateway("sk_test_suite", proxy.url))
    make_account(store, credits=100)
    browser = Browser(app)
    browser.sign_in()

    begun = time.monotonic()
    answer = browser.post("/credits/checkout", {"pack": "pack-1000"})

    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert "nothing was charged" in answer.text.lower()
    assert time.monotonic() - begun < 15
    assert post_webhook(app.test_client(), session_event("ada@example.com")).status_code == 200
    assert store.accounts.get("ada@example.com").credits_balance == 1100


@pytest.mark.threat(46, 34, 35)
@pytest.mark.parametrize(("off_seconds", "status"), [(-600, 400), (-301, 400), (-290, 200), (290, 200), (601, 400)])
def test_a_clock_that_is_ten_minutes_off_refuses_and_the_redelivery_credits_once(store, client, off_seconds, status):
    """Stripe signs each delivery anew: once the clock is right again, the next one counts."""
    payload = json.dumps(session_event("ada@example.com", session="cs_clock")).encode()
    skewed = {"Stripe-Signature": signed(payload, at=time.time() + off_seconds)}

    assert post_webhook(client, payload, **skewed).status_code == status

    assert post_webhook(client, payload).status_code == 200
    assert store.accounts.get("ada@example.com").credits_balance == 1000
