"""What is no answer of the store is never taken for one: a wrong certificate, no checksum, another shape."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, SSLError
from botocore.parsers import ResponseParserError

from app.data import client as clients
from app.data.answers import Answers, is_aws
from app.data.client import call, make_client
from app.data.direct import DirectClient, direct_client
from app.data.store import Store
from app.domain.clock import machine_now, store_time, utcnow
from app.domain.errors import OutcomeUnknown, PaymentsUnavailable, StoreUnavailable
from app.gateways.files import FileStore, FilesUnavailable
from app.gateways.ses import MailRefused, SesGateway
from app.gateways.stripe import StripeGateway
from tests.faults.https import KINDS, Authority, HttpsServer, wrong

KEY = {"email": {"S": "ada@example.com"}}
GET = {"TableName": "ImpacterAGI_Users", "Key": KEY}
WRITE = {"TransactItems": [{"Put": {"TableName": "ImpacterAGI_Users", "Item": KEY}}]}
QUERY = {"TableName": "T", "KeyConditionExpression": "a = :a", "ExpressionAttributeValues": {":a": {"S": "b"}}}
BATCH = {"RequestItems": {"T": {"Keys": [KEY]}}}
ELSEWHERE = [{"error": "not found"}, {"message": "Forbidden"}, {"Item": KEY, "error": "half of it"}, {"data": {}}]
WAYS = ("short", "botocore")


@pytest.fixture
def trusting(monkeypatch):
    """Trust only the authorities in a file, as AWS_CA_BUNDLE does in a deployment."""

    def trust(bundle) -> None:
        monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
        monkeypatch.setattr(clients, "_session", boto3.Session)  # one that has not read its settings yet

    return trust


def one_way(client, way: str):
    return client if way == "short" else client._client


# Who answers


@pytest.mark.threat(14)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_server_with_a_wrong_certificate_is_told_nothing(config, tmp_path, trusting, kind, way):
    context, bundle = wrong(kind, tmp_path)
    trusting(bundle)

    with HttpsServer(context, {"Item": KEY}) as server:
        client = make_client(config, endpoint_url=server.url)
        assert isinstance(client, DirectClient)
        with pytest.raises(SSLError):
            one_way(client, way).get_item(**GET)

        assert server.seen == []


@pytest.mark.parametrize("way", WAYS)
def test_server_with_the_certificate_of_a_known_authority_is_asked(config, tmp_path, trusting, way):
    authority = Authority(tmp_path)
    trusting(authority.bundle)

    with HttpsServer(authority.context(), {"Item": KEY}) as server:
        found = one_way(make_client(config, endpoint_url=server.url), way).get_item(**GET)

    assert found["Item"] == KEY
    assert server.seen == ["/"]


@pytest.mark.parametrize("kind", KINDS)
def test_sender_of_mail_with_a_wrong_certificate_is_told_nothing(config, tmp_path, trusting, kind):
    context, bundle = wrong(kind, tmp_path)
    trusting(bundle)

    with HttpsServer(context, {"MessageId": "m-1"}) as server:
        ses = SesGateway(replace(config, ses_endpoint_url=server.url))
        with pytest.raises(MailRefused):
            ses.send(to="ada@example.com", subject="Hello", text="Hello", html="Hello", headers={})

        assert server.seen == []


@pytest.mark.parametrize("kind", KINDS)
def test_keeper_of_files_with_a_wrong_certificate_is_told_nothing(tmp_path, monkeypatch, kind):
    context, bundle = wrong(kind, tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)

    with HttpsServer(context, {}) as server:
        with pytest.raises(FilesUnavailable):
            FileStore("results", "us-east-1", server.url).put("t-1", "report.txt", b"x")

        assert server.seen == []


@pytest.mark.parametrize("kind", KINDS)
def test_payment_provider_with_a_wrong_certificate_is_told_nothing(tmp_path, monkeypatch, kind):
    context, bundle = wrong(kind, tmp_path)
    monkeypatch.setattr("stripe.ca_bundle_path", str(bundle))

    with HttpsServer(context, {"id": "re_1", "object": "refund"}) as server:
        with pytest.raises(PaymentsUnavailable):
            StripeGateway("sk_test_1", server.url).refund("pi_1", None, "key")

        assert server.seen == []


def test_payment_provider_with_the_certificate_of_a_known_authority_is_asked(tmp_path, monkeypatch):
    authority = Authority(tmp_path)
    monkeypatch.setattr("stripe.ca_bundle_path", str(authority.bundle))

    with HttpsServer(authority.context(), {"id": "re_1", "object": "refund"}) as server:
        refund = StripeGateway("sk_test_1", server.url).refund("pi_1", None, "key")

    assert refund["id"] == "re_1"


# What is said


class Says:
    """A store behind both ways of the client that says one thing."""

    def __init__(
        self, tmp_path, monkeypatch, answer: object, *, checksums: bool = False, stated: str | None = None, **more
    ):
        authority = Authority(tmp_path)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.bundle))
        headers = {"x-amz-crc32": stated} if stated else {}
        self.server = HttpsServer(authority.context(), answer, headers, **more)
        plain = boto3.Session().client("dynamodb", region_name="us-east-1", endpoint_url=self.server.url)
        self.client = direct_client(plain, Credentials("a", "b"), "agent", checksums=checksums)


@pytest.fixture
def says(tmp_path, monkeypatch):
    made = []

    def make(answer: object, **more) -> DirectClient:
        made.append(Says(tmp_path, monkeypatch, answer, **more))
        return made[-1].client

    yield make
    for one in made:
        one.server.__exit__()


@pytest.mark.threat(14)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("answer", [*ELSEWHERE, {"Item": None}, {"Item": []}, [], None, "Item"], ids=json.dumps)
def test_answer_of_another_shape_is_no_missing_row(says, answer, way):
    client = one_way(says(answer), way)

    with pytest.raises(StoreUnavailable):
        call(client, "get_item", **GET)


@pytest.mark.threat(14)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("answer", ELSEWHERE, ids=json.dumps)
def test_answer_of_another_shape_is_no_transaction_done(says, answer, way):
    client = one_way(says(answer), way)

    with pytest.raises(OutcomeUnknown):
        call(client, "transact_write_items", **WRITE)


@pytest.mark.threat(14)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("operation", "request_of_it", "answer"),
    [
        ("query", QUERY, {}),
        ("query", QUERY, {"error": "x"}),
        ("query", QUERY, {"Items": None, "Count": 0}),
        ("batch_get_item", BATCH, {}),
        ("scan", {"TableName": "T"}, {}),
        ("scan", {"TableName": "T"}, {"message": "x"}),
        ("put_item", {"TableName": "T", "Item": KEY}, {"error": "x"}),
        ("update_item", {"TableName": "T", "Key": KEY}, {"errors": []}),
        ("delete_item", {"TableName": "T", "Key": KEY}, {"detail": "x"}),
    ],
)
def test_answer_of_another_shape_is_no_empty_list_and_no_write_done(says, operation, request_of_it, answer, way):
    client = one_way(says(answer), way)

    with pytest.raises(StoreUnavailable):
        call(client, operation, **request_of_it)


@pytest.mark.threat(14)
def test_every_account_is_not_gone_when_somebody_else_answers_a_scan(says):
    store = Store(says({"error": "x"}), "ImpacterAGI_")

    with pytest.raises((StoreUnavailable, ResponseParserError)):
        list(store.ledger.every())


@pytest.mark.parametrize("way", WAYS)
def test_what_aws_adds_to_an_answer_one_day_does_no_harm(says, way):
    found = one_way(says({"Item": KEY, "ReadFrom": "replica"}), way).get_item(**GET)

    assert found["Item"] == KEY


@pytest.mark.threat(14)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stated", [None, "1", "", "not a number"])
def test_answer_without_its_checksum_is_none_where_aws_is_asked(says, stated, way):
    client = one_way(says({}, checksums=True, stated=stated), way)

    with pytest.raises(OutcomeUnknown):
        call(client, "transact_write_items", **WRITE)
    with pytest.raises(StoreUnavailable):
        call(client, "get_item", **GET)


@pytest.mark.parametrize("way", WAYS)
def test_answer_with_its_checksum_is_one(says, way):
    client = one_way(
        says({"Item": KEY}, checksums=True, stated=str(zlib.crc32(json.dumps({"Item": KEY}).encode()))), way
    )

    assert client.get_item(**GET)["Item"] == KEY


@pytest.mark.parametrize("stated", ["1", "not a number"])
def test_checksum_that_an_emulator_states_must_be_right(says, stated):
    with pytest.raises(StoreUnavailable):
        call(says({"Item": KEY}, stated=stated), "get_item", **GET)


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "cn-north-1"])
def test_checksum_is_asked_for_wherever_the_endpoint_is_awss_own(region):
    client = boto3.client("dynamodb", region_name=region)

    assert Answers(client).checksums


@pytest.mark.parametrize(
    ("endpoint", "own"),
    [
        ("https://dynamodb.us-east-1.amazonaws.com", True),
        ("https://vpce-1.dynamodb.us-east-1.vpce.amazonaws.com:443", True),
        ("https://dynamodb.us-east-1.api.aws", True),
        ("http://127.0.0.1:4566", False),
        ("https://db.internal", False),
        ("https://dynamodb.us-east-1.amazonaws.com.example.com", False),
    ],
)
def test_awss_own_endpoints_are_known(endpoint, own):
    assert is_aws(endpoint) is own


# What time it is


def told_by(client, way: str) -> datetime | None:
    """The Date that one answer leaves behind; None when it is not believed to be the store's."""
    store_time.forget()
    with suppress(ClientError, StoreUnavailable):
        call(one_way(client, way), "get_item", **GET)
    now = utcnow()
    return now if abs(now - machine_now()) > timedelta(days=300) else None


IN_2036 = "Sat, 29 Nov 2036 12:00:00 GMT"
REFUSED = {"__type": "com.amazon.coral.service#InvalidSignatureException", "message": "Signature expired"}


@pytest.mark.threat(112)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("status", "answer"), [(200, {"Item": KEY}), (400, REFUSED)])
def test_every_answer_of_the_store_tells_the_time(says, status, answer, way):
    """A refusal too: who signs with a wrong time gets no other answer."""
    told = told_by(says(answer, status=status, date=IN_2036), way)

    assert told is not None
    assert timedelta(0) <= told - datetime(2036, 11, 29, 12, tzinfo=UTC) < timedelta(minutes=5)


@pytest.mark.threat(112)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "answer",
    [
        {"answer": {"error": "half of it"}},
        {"answer": {"message": "Forbidden"}, "status": 403},
        {"answer": {"Item": KEY}, "status": 502},
        {"answer": {"Item": KEY}, "checksums": True},
        {"answer": REFUSED, "status": 400, "checksums": True},
        {"answer": {"Item": KEY}, "stated": "1"},
    ],
)
def test_what_is_no_answer_of_the_store_tells_no_time(says, answer, way):
    assert told_by(says(**answer, date=IN_2036), way) is None


@pytest.mark.threat(112)
@pytest.mark.parametrize("date", ["", "yesterday", "Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 01 Jan 9999 00:00:00 GMT"])
def test_an_answer_without_a_date_that_can_be_tells_no_time(says, date):
    assert told_by(says({"Item": KEY}, date=date), "short") is None
