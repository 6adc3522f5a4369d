"""The short way to DynamoDB for the calls of every request: botocore's signature, without its layers (signing.py) and
without urllib3's (wire.py).

botocore spends half of a call's CPU on hooks, endpoint rules and models that say nothing about these few operations.
Only the first try of a call goes the short way. Whatever is neither an answer nor a refusal of the write - throttling,
a 500, a cut connection, a time-out - is asked again through botocore, which retries as it was configured to.
"""

from __future__ import annotations

import json
import uuid
from functools import partial
from threading import local
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError, ConnectionClosedError
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies

from app.telemetry.switch import switch

from .answers import REFUSALS, Answers
from .measuring import ask_for_units, note_try
from .signing import Signer
from .wire import NOT_SENT, Wire

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html
OPERATIONS = {
    "batch_get_item": "BatchGetItem",
    "delete_item": "DeleteItem",
    "get_item": "GetItem",
    "put_item": "PutItem",
    "query": "Query",
    "scan": "Scan",
    "transact_write_items": "TransactWriteItems",
    "update_item": "UpdateItem",
}


def direct_client(client: Any, credentials: Any, user_agent: str, *, checksums: bool | None = None) -> Any:
    """`client` with a short way for OPERATIONS; `client` itself where only botocore knows the way.

    Both ways take the same for an answer; `checksums` says whether one must be stated (None: where AWS is asked).

    That is with a proxy between, with an endpoint that is not the root of its host, with one of FIPS or of two stacks,
    or without a key to sign with.
    """
    answers = Answers(client, checksums=checksums)
    endpoint, config = client.meta.endpoint_url, client.meta.config
    # With NO_PROXY alone the environment names "no" as if it were a scheme of its own.
    proxies = get_environ_proxies(endpoint).keys() - {"no"}
    of_its_own = config.use_fips_endpoint or config.use_dualstack_endpoint
    if credentials is None or proxies or of_its_own or urlsplit(endpoint).path.strip("/"):
        return client
    return DirectClient(client, credentials, user_agent, answers)


class DirectClient:
    """A low-level DynamoDB client: the same calls, answers (without ResponseMetadata) and errors as botocore's own."""

    def __init__(self, client: Any, credentials: Any, user_agent: str, answers: Answers) -> None:
        config = client.meta.config
        self._client = client
        self._credentials = credentials
        self._url = client.meta.endpoint_url.rstrip("/") + "/"
        self._answers = answers
        self._signer = Signer(self._url, client.meta.region_name, user_agent)
        verify = getattr(client._endpoint.http_session, "_verify", True)  # a bundle of one's own, as botocore found it
        self._wire = Wire(
            self._url,
            connect_seconds=config.connect_timeout,
            answer_seconds=config.read_timeout,
            most=config.max_pool_connections,
            bundle=get_cert_path(verify) if self._url.startswith("https:") else None,
        )
        self._tries = local()
        client.meta.events.register("needs-retry.dynamodb", self._note_lost)
        for name, operation in OPERATIONS.items():
            setattr(self, name, partial(self._ask, name, operation))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    @property
    def usual_wait(self) -> float | None:
        """Seconds that an answer of the store lets one wait, of late; None as long as nobody knows."""
        return self._wire.usual_wait

    def _ask(self, name: str, operation: str, **request: Any) -> dict[str, Any]:
        if name == "transact_write_items":  # one token for all tries: a repeat of a write that happened changes nothing
            request.setdefault("ClientRequestToken", str(uuid.uuid4()))
        if switch.on:
            ask_for_units(request)
        body = json.dumps(request).encode()
        self._tries.lost = True
        status = found = None
        # Signed anew for each call: the credentials of a role change while the process lives.
        head = self._signer.head(operation, body, self._credentials.get_frozen_credentials())
        try:
            status, headers, data = self._wire.post(head, body)
        except NOT_SENT:
            pass
        else:
            found = self._answers.read(operation, status, headers, data)
            if status == 200 and found is not None:
                return found
            if status == 400 and found is not None and _code(found):
                if _code(found) in REFUSALS:
                    raise self._refusal(found, operation)
                self._tries.lost = False
        finally:
            if switch.on:
                note_try(operation, request, found, status, _code(found or {}))
        try:
            answered: dict[str, Any] = getattr(self._client, name)(**request)
            return answered
        except ClientError as error:
            if not self._tries.lost or error.response["Error"]["Code"] in REFUSALS:
                raise
            # Turned away at last, which says nothing of a try whose answer was lost.
            raise ConnectionClosedError(endpoint_url=self._url) from error

    def _note_lost(self, response: tuple[Any, Any] | None, **_: Any) -> None:
        """Called by botocore after each of its tries, in the thread that makes it."""
        if response is None or not 400 <= response[0].status_code < 500:
            self._tries.lost = True

    def _refusal(self, found: dict[str, Any], operation: str) -> ClientError:
        code = _code(found)
        message = found.get("message") or found.get("Message") or ""
        more = {name: found[name] for name in ("CancellationReasons", "Item") if name in found}
        kind = self._client.exceptions.from_code(code)
        return kind({"Error": {"Code": code, "Message": message}} | more, operation)


def _code(found: dict[str, Any]) -> str:
    """ "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException" without the name of the service."""
    return str(found.get("__type", "")).rpartition("#")[2]
