"""One DynamoDB client for a process, and what each of its failures means to the rest of the app."""

from __future__ import annotations

import logging
import re
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config as BotoConfig
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from app.domain.errors import DomainError, OutcomeUnknown, StoreUnavailable
from app.telemetry.switch import switch

from .answers import TURNED_AWAY, Answers
from .connections import bound_answers
from .direct import direct_client
from .measuring import measured, watch

if TYPE_CHECKING:
    from app.config import Config

log = logging.getLogger(__name__)

MAIL_SECONDS = 5  # for a whole answer of SES

CONFLICTS = frozenset({"TransactionConflictException", "TransactionInProgressException"})
# Wrong requests of our own making: these must show as a 500, not as "try again".
OUR_FAULT = frozenset({"ValidationException", "SerializationException", "IdempotentParameterMismatchException"})
# What DynamoDB says of an index that is not there, or not filled: no code of its own tells the two from our faults.
# The last is what the local one says.
NO_INDEX = re.compile(
    "does not have the specified index|backfilling global secondary index|^Invalid index:", re.IGNORECASE
)
USER_AGENT = "impacteragi-dashboard"
Refused, OutOfReach = ClientError, BotoCoreError  # for the command line, whose scans do not go through `call`


class Stale(DomainError):
    """What was read has changed before it was written: read again and decide again. `item` is the row as it is now."""

    code = "stale"

    def __init__(self, item: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.item = item


class IndexNotReady(StoreUnavailable):
    """An index has not been made, or is still being filled: what it has by now would look like the whole."""

    message = "This list is being made ready and is not whole yet. Nothing is lost. Try again in a few minutes."
    retry_after_seconds = 60


class TableMissing(StoreUnavailable):
    """The table has not been made: `scripts/setup_db.py` does."""


def make_client(
    config: Config, service: str = "dynamodb", endpoint_url: str | None = None, *, patient: bool = False
) -> Any:
    """A low-level client: connect 1 s, a whole answer 2 s, three attempts, a warm pool, a fixed user agent (17 % of a
    call).

    DynamoDB's first attempt goes the short way (app/data/direct.py) unless that is switched off, the others through
    botocore. A mail has one
    attempt in all: the outbox repeats, and a slow answer must not hold up the mails behind it. `patient` is for set-up,
    where nobody waits at a page: 30 s a try, five of them.
    """
    if patient:
        return _patient_client(config, service, endpoint_url)
    store = service == "dynamodb"
    short_way = store and config.store_short_way
    attempts = 2 if short_way else 3 if store else 1
    client = _session().client(
        service,
        region_name=config.aws_region,
        endpoint_url=endpoint_url or None,
        config=BotoConfig(
            connect_timeout=1,
            read_timeout=config.store_timeout_seconds if store else MAIL_SECONDS,
            retries={"mode": "standard", "total_max_attempts": attempts},
            max_pool_connections=32,
            user_agent=USER_AGENT,
            parameter_validation=False,
            tcp_keepalive=True,
        ),
    )
    bound_answers(client)
    if not store:
        return client
    watch(client)
    if short_way:
        return direct_client(client, _session().get_credentials(), USER_AGENT)
    Answers(client)
    return client


def _patient_client(config: Config, service: str, endpoint_url: str | None) -> Any:
    client = _session().client(
        service,
        region_name=config.aws_region,
        endpoint_url=endpoint_url or None,
        config=BotoConfig(
            connect_timeout=10,
            read_timeout=30,
            retries={"mode": "standard", "total_max_attempts": 5},
            user_agent=USER_AGENT,
        ),
    )
    if service == "dynamodb":
        Answers(client)
        watch(client)
    return bound_answers(client)


@cache
def _session() -> boto3.Session:
    return boto3.Session()


def read_descriptions() -> None:
    """Read what botocore knows of DynamoDB before workers are forked: they share it, and none reads it again.

    Files alone: no client is made, no credentials are looked for, no connection is opened.
    """
    loader: Any = _session()._session.get_component("data_loader")
    loader.load_service_model("dynamodb", "service-2")
    loader.load_service_model("dynamodb", "endpoint-rule-set-1")
    for data in ("partitions", "endpoints", "_retry", "sdk-default-configuration"):
        loader.load_data(data)


def call(client: Any, operation: str, **request: Any) -> dict[str, Any]:
    """Make one call. Raises Stale on a write conflict, StoreUnavailable when the store cannot answer.

    OutcomeUnknown is the StoreUnavailable of a transaction that may have happened all the same.

    ConditionalCheckFailedException and TransactionCanceledException pass through: only the writer knows what they mean.
    """
    try:
        ask = getattr(client, operation)
        answer: dict[str, Any] = measured(ask, operation, request) if switch.on else ask(**request)
        return answer
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if NO_INDEX.search(error.response.get("Error", {}).get("Message", "")):
            log.error("store refused %s: an index is not ready", operation)
            raise IndexNotReady from error
        if code in ("ConditionalCheckFailedException", "TransactionCanceledException") or code in OUR_FAULT:
            raise
        if code in CONFLICTS:
            raise Stale from error
        log.error("store refused %s: %s", operation, code)
        if code == "ResourceNotFoundException":
            raise TableMissing from error
        raise (StoreUnavailable() if code in TURNED_AWAY else _failed(operation)) from error
    except (BotoCoreError, ResponseParserError, ValueError) as error:  # the last two: somebody else answered
        log.error("store unreachable for %s: %s", operation, type(error).__name__)
        raise _failed(operation) from error


def _failed(operation: str) -> StoreUnavailable:
    """A transaction whose answer was lost may have happened; a read or a write of one item charges nobody."""
    return OutcomeUnknown() if operation == "transact_write_items" else StoreUnavailable()
