"""The short way to DynamoDB sends and says the same as botocore, and hands what goes wrong on to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest.mock import patch

import boto3
import pytest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError, ConnectionClosedError
from botocore.parsers import ResponseParserError

from app.data.client import make_client
from app.data.direct import OPERATIONS, DirectClient, direct_client
from tests.faults.https import Authority, HttpsServer
from tests.support import make_account

TABLE = "ImpacterAGI_Users"
KEY = {"email": {"S": "ada@example.com"}}
REQUESTS = {
    "get_item": {"TableName": TABLE, "Key": KEY, "ConsistentRead": True},
    "batch_get_item": {"RequestItems": {TABLE: {"Keys": [KEY]}}},
    "query": {
        "TableName": TABLE,
        "KeyConditionExpression": "email = :e",
        "ExpressionAttributeValues": {":e": KEY["email"]},
        "Limit": 1,
    },
    "scan": {"TableName": TABLE, "ConsistentRead": True, "Limit": 1},
    "update_item": {
        "TableName": TABLE,
        "Key": KEY,
        "UpdateExpression": "SET theme = :t",
        "ExpressionAttributeValues": {":t": {"S": "dark “é”"}},
        "ReturnValues": "ALL_NEW",
    },
    "put_item": {"TableName": "ImpacterAGI_RateLimits", "Item": {"key": {"S": "k"}, "hits": {"N": "1"}}},
    "delete_item": {"TableName": "ImpacterAGI_RateLimits", "Key": {"key": {"S": "k"}}},
    "transact_write_items": {
        "TransactItems": [
            {"ConditionCheck": {"TableName": TABLE, "Key": KEY, "ConditionExpression": "attribute_exists(email)"}}
        ],
        "ClientRequestToken": "one-token-for-all-tries",
    },
}
REFUSED = {"ConditionExpression": "attribute_not_exists(email)", "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
ROLE = Credentials("AKIDEXAMPLE", "a-secret", "the-token-of-a-role")
LASTING = Credentials("AKIDEXAMPLE", "a-secret")


def plain_client(url: str):
    return boto3.client("dynamodb", region_name="us-east-1", endpoint_url=url)


@pytest.fixture
def both(config, store):
    """The client of the app and botocore's own, on the same store."""
    make_account(store, credits=100)
    return make_client(config, endpoint_url=config.dynamodb_endpoint_url), plain_client(config.dynamodb_endpoint_url)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_same_answer_as_botocore(both, operation):
    ours, plain = both

    expected = getattr(plain, operation)(**REQUESTS[operation])
    expected.pop("ResponseMetadata")
    assert getattr(ours, operation)(**REQUESTS[operation]) == expected


@pytest.mark.parametrize(
    ("operation", "request_of_it"),
    [
        ("transact_write_items", {"TransactItems": [{"ConditionCheck": {"TableName": TABLE, "Key": KEY} | REFUSED}]}),
        ("put_item", {"TableName": TABLE, "Item": KEY} | REFUSED),
    ],
)
def test_same_error_as_botocore_when_a_condition_fails(both, operation, request_of_it):
    errors = []
    for client in both:
        with pytest.raises(ClientError) as caught:
            getattr(client, operation)(**request_of_it)
        errors.append(caught.value)

    ours, plain = errors
    assert type(ours).__name__ == type(plain).__name__
    assert ours.operation_name == plain.operation_name
    for part in ("CancellationReasons", "Item"):
        assert ours.response.get(part) == plain.response.get(part)
    assert ours.response["Error"]["Code"] == plain.response["Error"]["Code"]
    assert "100" in json.dumps(ours.response)  # the row as it is came with it


def test_other_errors_are_botocores(both):
    with pytest.raises(ClientError) as caught:
        both[0].get_item(TableName="ImpacterAGI_Missing", Key=KEY)

    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"


def test_no_call_takes_the_long_way_when_all_is_well(both):
    ours, _ = both

    with patch.object(ours._client, "_make_api_call", side_effect=AssertionError("went through botocore")):
        for operation, request in REQUESTS.items():
            getattr(ours, operation)(**request)


# What goes over the wire


NOTHING = {
    "Query": {"Count": 0, "Items": []},
    "Scan": {"Count": 0, "Items": []},
    "BatchGetItem": {"Responses": {}},
}


class Recorder:
    """A store in which there is nothing, which keeps what it was sent."""

    def __init__(self) -> None:
        self.seen: list[tuple[dict[str, str], bytes]] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None: ...

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                recorder.seen.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(200)
                operation = self.headers["X-Amz-Target"].rpartition(".")[2]
                answer = json.dumps(NOTHING.get(operation, {})).encode()
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.close()


@pytest.mark.parametrize("credentials", [LASTING, ROLE], ids=["lasting", "role"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_request_is_signed_as_botocore_signs_it(recorder, monkeypatch, operation, credentials):
    """No emulator checks a signature: what AWS would be sent is compared with what botocore sends it."""
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: datetime(2026, 11, 22, 12, tzinfo=UTC))
    key = {"aws_access_key_id": credentials.access_key, "aws_secret_access_key": credentials.secret_key}
    plain = boto3.client(
        "dynamodb",
        region_name="us-east-1",
        endpoint_url=recorder.url,
        aws_session_token=credentials.token,
        **key,
    )

    getattr(plain, operation)(**REQUESTS[operation])
    getattr(direct_client(plain, credentials, "impacteragi-dashboard"), operation)(**REQUESTS[operation])

    (theirs, their_body), (ours, our_body) = recorder.seen
    assert our_body == their_body
    for name in ("authorization", "x-amz-date", "x-amz-target", "content-type", "host", "x-amz-security-token"):
        assert ours.get(name) == theirs.get(name), name
    assert ours["user-agent"] == "impacteragi-dashboard"


def test_changed_credentials_of_a_role_are_used_at_once(recorder):
    class Rotating(Credentials):
        def get_frozen_credentials(self):
            return Credentials(f"AKID{len(recorder.seen)}", "secret", "token").get_frozen_credentials()

    client = direct_client(plain_client(recorder.url), Rotating("a", "b"), "agent")

    client.get_item(**REQUESTS["get_item"])
    client.get_item(**REQUESTS["get_item"])

    assert ["AKID0/" in seen["authorization"] for seen, _ in recorder.seen] == [True, False]


def test_botocore_keeps_the_calls_when_a_proxy_stands_between(monkeypatch):
    plain = plain_client("http://db.internal:8000")

    assert isinstance(direct_client(plain, LASTING, "agent"), DirectClient)
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.internal:3128")
    assert direct_client(plain, LASTING, "agent") is plain


def test_an_exception_from_proxies_is_no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")

    assert isinstance(direct_client(plain_client("http://db.internal:8000"), LASTING, "agent"), DirectClient)


def test_botocore_keeps_the_calls_when_the_endpoint_has_a_path():
    plain = plain_client("http://db.internal:8000/store")

    assert direct_client(plain, LASTING, "agent") is plain


def test_botocore_keeps_the_calls_of_endpoints_for_fips(monkeypatch):
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    client = boto3.Session().client("dynamodb", region_name="us-east-1")

    assert client.meta.endpoint_url == "https://dynamodb-fips.us-east-1.amazonaws.com"
    assert direct_client(client, LASTING, "agent") is client


def test_short_way_can_be_switched_off(config, proxy, store):
    """Then botocore makes all three tries, and takes nothing else for an answer."""
    make_account(store, credits=100)
    client = make_client(replace(config, store_short_way=False), endpoint_url=proxy.url)
    assert not isinstance(client, DirectClient)

    proxy.first(2, "garbage", "GetItem")
    with pytest.raises(ResponseParserError):
        client.get_item(**REQUESTS["get_item"])
    proxy.every("error")
    with pytest.raises(ClientError):
        client.get_item(**REQUESTS["get_item"])
    assert [fault for _, fault in proxy.calls] == ["garbage", "error", "error", "error"]


def test_own_bundle_of_authorities_is_used(monkeypatch, tmp_path):
    authority = Authority(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.bundle))

    with HttpsServer(authority.context(), {"Item": KEY}) as server:
        client = boto3.Session().client("dynamodb", region_name="us-east-1", endpoint_url=server.url)
        with patch.object(client, "_make_api_call", side_effect=AssertionError("went through botocore")):
            assert direct_client(client, LASTING, "agent").get_item(**REQUESTS["get_item"]) == {"Item": KEY}


def test_bundle_that_cannot_be_read_is_botocores_to_tell(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "not-there.pem"))
    client = boto3.Session().client("dynamodb", region_name="us-east-1", endpoint_url="https://127.0.0.1:1")

    with pytest.raises((BotoCoreError, OSError)):
        direct_client(client, LASTING, "agent").get_item(**REQUESTS["get_item"])


# What goes wrong


@pytest.fixture
def shaky(config, store, proxy):
    make_account(store, credits=100)
    return make_client(config, endpoint_url=proxy.url)


@pytest.mark.threat(14)
@pytest.mark.parametrize("fault", ["throttle", "error", "cut", "lost", "garbage"])
def test_call_is_asked_again_when_the_first_try_fails(shaky, proxy, fault):
    proxy.first(1, fault, "GetItem")

    assert shaky.get_item(**REQUESTS["get_item"])["Item"]["credits_balance"] == {"N": "100"}
    assert [seen for _, seen in proxy.calls] == [fault, "pass"]


@pytest.mark.threat(14)
@pytest.mark.parametrize("fault", ["throttle", "error", "cut"])
def test_three_tries_are_made_in_all(shaky, proxy, fault):
    proxy.every(fault)

    with pytest.raises(Exception, match=r"."):
        shaky.get_item(**REQUESTS["get_item"])

    assert len(proxy.calls) == 3


def test_damaged_answer_is_asked_for_again(shaky, proxy):
    found = {"Item": KEY}
    never = patch("app.data.answers.zlib.crc32", lambda data: 1)  # what arrives never has the checksum it states
    with never, patch.object(shaky._client, "get_item", return_value=found) as again:
        assert shaky.get_item(**REQUESTS["get_item"]) == found

    again.assert_called_once()


@pytest.mark.threat(14)
def test_answer_of_somebody_else_is_never_an_empty_one(shaky, proxy):
    proxy.every("garbage")

    with pytest.raises(ResponseParserError):
        shaky.get_item(**REQUESTS["get_item"])


@pytest.mark.threat(10)
def test_transaction_happens_once_when_its_answer_is_lost(shaky, proxy, store):
    """All tries carry one token, so the store knows the second as the first."""
    proxy.first(1, "lost", "TransactWriteItems")
    write = {
        "TableName": TABLE,
        "Key": KEY,
        "UpdateExpression": "ADD version :one",
        "ExpressionAttributeValues": {":one": {"N": "1"}},
    }
    before = store.accounts.get("ada@example.com").version

    shaky.transact_write_items(TransactItems=[{"Update": write}])

    assert [seen for _, seen in proxy.calls] == ["lost", "pass"]
    assert store.accounts.get("ada@example.com").version == before + 1


@pytest.mark.threat(15)
@pytest.mark.parametrize("tries", ["lost throttle throttle", "error throttle throttle", "throttle lost throttle"])
def test_refusal_after_a_lost_answer_does_not_say_that_nothing_happened(shaky, proxy, tries):
    faults = iter(tries.split())
    proxy.rule = lambda _operation, _number: next(faults)

    with pytest.raises(ConnectionClosedError):
        shaky.transact_write_items(**REQUESTS["transact_write_items"])


@pytest.mark.threat(13)
def test_refusal_of_every_try_stays_a_refusal(shaky, proxy):
    proxy.every("throttle")

    with pytest.raises(ClientError) as caught:
        shaky.transact_write_items(**REQUESTS["transact_write_items"])

    assert caught.value.response["Error"]["Code"] == "ProvisionedThroughputExceededException"
