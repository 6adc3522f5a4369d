"""Which error of the store becomes which of ours: the table of docs/data-model.md."""

from __future__ import annotations

from dataclasses import replace

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)

from app.data import Store
from app.data.base import UPDATE_ATTEMPTS
from app.data.client import Stale, TableMissing, call, make_client
from app.domain.errors import BadCursor, OutcomeUnknown, StoreBusy, StoreUnavailable, WrongState


class Raises:
    """A client whose every call raises; it counts them."""

    def __init__(self, error: Exception):
        self.error = error
        self.calls = 0

    def __getattr__(self, name: str):
        def fail(**_):
            self.calls += 1
            raise self.error

        return fail


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "m"}}, "Any")


UNREACHABLE = [
    EndpointConnectionError(endpoint_url="http://db"),
    ConnectTimeoutError(endpoint_url="http://db"),
    ReadTimeoutError(endpoint_url="http://db"),
    ConnectionClosedError(endpoint_url="http://db"),
    NoCredentialsError(),
]


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("ProvisionedThroughputExceededException", StoreUnavailable),
        ("ThrottlingException", StoreUnavailable),
        ("RequestLimitExceeded", StoreUnavailable),
        ("InternalServerError", StoreUnavailable),
        ("ServiceUnavailable", StoreUnavailable),
        ("AccessDeniedException", StoreUnavailable),
        ("UnrecognizedClientException", StoreUnavailable),
        ("ResourceNotFoundException", TableMissing),
        ("TransactionConflictException", Stale),
        ("TransactionInProgressException", Stale),
    ],
)
def test_refusal_of_a_read_is_translated(code, meaning):
    with pytest.raises(meaning) as error:
        call(Raises(refusal(code)), "get_item")

    assert type(error.value) is meaning


@pytest.mark.parametrize(
    "code",
    [
        "ConditionalCheckFailedException",
        "TransactionCanceledException",
        "ValidationException",
        "SerializationException",
        "IdempotentParameterMismatchException",
    ],
)
def test_what_only_the_writer_understands_and_our_own_faults_pass_through(code):
    with pytest.raises(ClientError):
        call(Raises(refusal(code)), "update_item")


@pytest.mark.parametrize("error", UNREACHABLE, ids=lambda error: type(error).__name__)
def test_unreachable_is_unavailable(error):
    with pytest.raises(StoreUnavailable) as raised:
        call(Raises(error), "get_item")

    assert type(raised.value) is StoreUnavailable
    assert raised.value.retry_after_seconds > 0


@pytest.mark.parametrize("error", [*UNREACHABLE, refusal("InternalServerError")], ids=lambda e: type(e).__name__)
def test_a_transaction_whose_answer_was_lost_does_not_claim_that_nothing_was_charged(error):
    with pytest.raises(OutcomeUnknown) as raised:
        call(Raises(error), "transact_write_items")

    assert "history" in raised.value.message
    assert "Nothing was charged" not in raised.value.message


def test_a_throttled_transaction_did_not_happen():
    with pytest.raises(StoreUnavailable) as raised:
        call(Raises(refusal("ThrottlingException")), "transact_write_items")

    assert "Nothing was charged" in raised.value.message


def test_single_write_waits_for_a_transaction_that_holds_its_item(monkeypatch):
    monkeypatch.setattr("app.data.base.time.sleep", lambda seconds: None)

    class Held(Raises):
        def update_item(self, **_):
            self.calls += 1
            if self.calls < 3:
                raise self.error
            return {"Attributes": {"email": {"S": "ada"}}}

    client = Held(refusal("TransactionConflictException"))

    assert Store(client, "T_")._update_row("Users", {"email": "ada"}, set={"theme": "dark"}) == {"email": "ada"}
    assert client.calls == 3


def test_single_write_gives_up_when_the_item_stays_held(monkeypatch):
    monkeypatch.setattr("app.data.base.time.sleep", lambda seconds: None)
    client = Raises(refusal("TransactionConflictException"))

    with pytest.raises(StoreBusy):
        Store(client, "T_")._update_row("Users", {"email": "ada"}, set={"theme": "dark"}, failure=WrongState)

    assert client.calls == UPDATE_ATTEMPTS


def test_single_write_raises_its_own_failure_when_its_condition_fails():
    client = Raises(refusal("ConditionalCheckFailedException"))

    with pytest.raises(WrongState):
        Store(client, "T_")._update_row("Users", {"email": "ada"}, set={"theme": "dark"}, failure=WrongState)

    assert client.calls == 1


def test_cursor_that_does_not_fit_its_list_is_the_clients_fault():
    """DynamoDB refuses a start key outside the range that is asked for; the emulators do not."""
    store = Store(Raises(refusal("ValidationException")), "T_")
    cursor = "WyIyMDI2LTExLTIyVDEyOjAwOjAwLjAwMDAwMFoiLCJ0YXNrX3giXQ"

    with pytest.raises(BadCursor):
        store.ledger.page("ada@example.com", limit=10, cursor=cursor, month="2026-01")
    with pytest.raises(ClientError):
        store.ledger.page("ada@example.com", limit=10, month="2026-01")


def test_health_reports_what_cannot_be_reached():
    with pytest.raises(StoreUnavailable):
        Store(Raises(UNREACHABLE[0]), "T_").table_differences()


def test_client_is_impatient_and_keeps_its_connections(config):
    settings = make_client(replace(config, store_timeout_seconds=2), endpoint_url="http://127.0.0.1:9").meta.config

    assert (settings.connect_timeout, settings.read_timeout) == (1, 2)
    assert settings.retries == {"mode": "standard", "total_max_attempts": 2}  # and the short way before them
    assert settings.max_pool_connections >= 16
