"""What the doctor asks of AWS, Stripe and our own address: the answers, and each way of not getting one."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.doctor import CannotTell
from app.gateways.files import TRIED, BucketRefused, FileStore
from app.gateways.own_address import OwnAddress, Unreachable
from app.gateways.ses import SesGateway
from app.gateways.stripe import API_VERSION, StripeGateway
from app.gateways.stripe_account import KeyRefused, RightMissing
from scripts.local.ports import free_port
from scripts.local.sender_identity import verify_sender
from scripts.local.stripe_standin.process import StripeStandIn


@contextmanager
def server(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Somebody on this machine who answers each request like this."""

    class Handler(http.server.BaseHTTPRequestHandler):
        do_GET = do_HEAD = do_PUT = answer  # type: ignore[assignment]

        def log_message(self, format: str, *args: Any) -> None:
            return

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def says(status: int, body: Any = b"", **headers: str) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


# S3


@pytest.fixture
def files(config, dynamodb_url) -> FileStore:
    found = FileStore("doctors-bucket", config.aws_region, dynamodb_url)
    found.create_bucket()
    return found


def kept(files: FileStore) -> list[str]:
    return [entry["Key"] for entry in files._listed(TRIED)]


def test_a_file_goes_there_comes_back_and_is_removed(files):
    files.round_trip()

    assert kept(files) == []


def test_what_a_killed_doctor_has_left_goes_with_the_next_one(files, monkeypatch):
    files._client.put_object(Bucket="doctors-bucket", Key=f"{TRIED}left", Body=b"x")

    files.round_trip()
    assert kept(files) == [f"{TRIED}left"], "another doctor may be at work on it"
    monkeypatch.setattr("app.gateways.files.LEFT_BEHIND", timedelta(seconds=-5))
    files.round_trip()

    assert kept(files) == []


def test_the_file_is_removed_also_when_it_comes_back_changed(files, monkeypatch):
    put = files._tried

    def changed(operation: str, **request: Any) -> Any:
        return put(operation, **request | ({"Body": b"other"} if operation == "put_object" else {}))

    monkeypatch.setattr(files, "_tried", changed)

    with pytest.raises(BucketRefused, match="another content"):
        files.round_trip()
    assert kept(files) == []


def test_a_bucket_that_is_not_there_is_told_from_one_that_does_not_answer(config, dynamodb_url):
    away = FileStore("no-such-bucket-of-ours", config.aws_region, dynamodb_url)
    nobody = FileStore("any", config.aws_region, f"http://127.0.0.1:{free_port()}")

    for ask in (away.bucket_region, away.round_trip):
        with pytest.raises(BucketRefused) as refused:
            ask()
        assert refused.value.code in ("404", "NoSuchBucket")
    with pytest.raises(CannotTell, match="S3 does not answer"):
        nobody.bucket_region()


def test_a_bucket_that_lets_nobody_in_is_told_by_the_code_of_s3(config):
    with server(says(403, x_amz_request_id="1")) as url, pytest.raises(BucketRefused) as refused:
        FileStore("theirs", config.aws_region, url).bucket_region()

    assert refused.value.code == "403"


def test_somebody_else_in_the_place_of_s3_is_no_bucket(config):
    with server(says(200)) as url, pytest.raises(CannotTell, match="something else"):
        FileStore("any", config.aws_region, url).bucket_region()


# SES


def test_ses_tells_of_account_identity_and_suppressed_addresses(config, dynamodb_url):
    verify_sender("hello@impacteragi.com", dynamodb_url, config.aws_region)
    ses = SesGateway(config).account

    assert ses.sending()["SendQuota"]["Max24HourSend"] > 0
    assert ses.identity("hello@impacteragi.com")["VerifiedForSendingStatus"]
    assert ses.identity("nobody.example.org") is None
    assert ses.suppressed() == ([], False)


def test_a_role_without_the_right_is_told_which_one_it_lacks(config):
    refusal = says(403, {"message": "no"}, x_amzn_ErrorType="AccessDeniedException")
    with server(refusal) as url, pytest.raises(CannotTell, match="AccessDeniedException") as told:
        SesGateway(replace(config, ses_endpoint_url=url)).account.sending()

    assert "ses:GetAccount" in told.value.mend


def test_ses_that_is_away_cannot_tell(config):
    away = replace(config, ses_endpoint_url=f"http://127.0.0.1:{free_port()}")

    with pytest.raises(CannotTell, match="SES does not answer"):
        SesGateway(away).account.sending()


# Stripe


def test_the_stand_in_tells_of_account_endpoint_and_what_was_not_delivered():
    url = f"http://127.0.0.1:{free_port()}/api/stripe/webhook"  # where nobody listens
    with StripeStandIn(webhook_url=url) as stripe:
        account = StripeGateway(stripe.secret_key, stripe.api_base).account
        since = datetime.now(UTC) - timedelta(hours=1)

        assert account.who()["id"] == "acct_standin"
        assert account.undelivered(since, ["checkout.session.completed"]) == []
        stripe.control("payment_link", {"amount": 1000})

        (endpoint,) = account.endpoints()
        assert (endpoint["url"], endpoint["api_version"]) == (url, API_VERSION)
        assert [e["type"] for e in account.undelivered(since, ["checkout.session.completed"])] == [
            "checkout.session.completed"
        ]


@pytest.mark.parametrize(("status", "error"), [(401, KeyRefused), (403, RightMissing), (500, CannotTell)])
def test_what_stripe_says_of_a_key_is_told_apart(status, error, monkeypatch):
    monkeypatch.setattr("app.gateways.stripe.MAX_RETRIES", 0)
    with server(says(status, {"error": {"message": "sk_test_secret"}})) as url:
        account = StripeGateway("sk_test_secret", url).account
        for ask in (account.who, account.endpoints):
            with pytest.raises(error) as told:
                ask()
            assert "sk_test_secret" not in str(told.value)


def test_each_right_that_a_restricted_key_lacks_is_named():
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        lacks = handler.path.startswith(("/v1/refunds", "/v1/payment_links"))
        listed = {"object": "list", "data": [], "has_more": False, "url": handler.path}
        says(403 if lacks else 200, {"error": {}} if lacks else listed)(handler)

    with server(answer) as url:
        assert StripeGateway("rk_test_x", url).account.unreadable() == ["Refunds", "Payment Links"]


# Our own address


def test_our_own_address_is_asked_as_it_stands_and_followed_nowhere():
    with server(says(302, b"moved", Location="https://elsewhere.example", Set_Cookie="session=1; Secure")) as url:
        answer = OwnAddress(url).ask("/login", {"X-One": "1"})

    assert (answer.status, answer.body, answer.cookies) == (302, b"moved", ("session=1; Secure",))
    assert answer.headers["location"] == "https://elsewhere.example"


def test_an_address_where_nobody_answers_is_unreachable():
    with pytest.raises(Unreachable, match="nobody answers"):
        OwnAddress(f"http://127.0.0.1:{free_port()}").ask("/login")


def test_a_certificate_that_is_not_right_is_named():
    with server(says(200)) as url, pytest.raises(Unreachable):
        OwnAddress(url.replace("http:", "https:")).ask("/login")


def test_an_address_that_answers_too_late_cannot_be_told(monkeypatch):
    monkeypatch.setattr("app.gateways.own_address.TIMEOUT_SECONDS", 0.2)
    gone = threading.Event()

    with server(lambda handler: gone.wait(30) and None) as url:  # type: ignore[arg-type,return-value]
        with pytest.raises(CannotTell, match="did not answer within"):
            OwnAddress(url).ask("/login")
        gone.set()
