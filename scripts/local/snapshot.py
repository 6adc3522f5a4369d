"""Put DynamoDB back to a kept state in one call: what each test begins with, instead of making its tables anew.

POST /_local/keep notes all tables as they are, POST /_local/back puts them back, whatever was made, changed or removed
since; with a name (/_local/keep/furnished) beside other states. Only a local AWS that keeps nothing on disk has these.
"""

import copy
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ministack.services import dynamodb

Message = MutableMapping[str, Any]
Application = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]
# What a table is; the rest of the module's state (streams, exports, backups) is not used here.
STATE = (dynamodb._tables, dynamodb._tags, dynamodb._ttl_settings, dynamodb._pitr_settings, dynamodb._txn_idempotency)


class Snapshot:
    """The kept states, and the two addresses in front of the application."""

    def __init__(self) -> None:
        self._kept: dict[str, list[dict[Any, Any]]] = {}

    def around(self, application: Application) -> Application:
        async def answer(scope: Message, receive: Any, send: Any) -> None:
            _, area, verb, name = [*scope.get("path", "").split("/", 3), "", "", ""][:4]
            act = {"keep": self._keep, "back": self._put_back}.get(verb)
            if act is None or area != "_local":
                await application(scope, receive, send)
                return
            status = 200 if act(name) else 409
            await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

        return answer

    def _keep(self, name: str) -> bool:
        with dynamodb._lock:  # keeps ministack's own expiry of items away
            self._kept[name] = [copy.deepcopy(store._data) for store in STATE]
        return True

    def _put_back(self, name: str) -> bool:
        if name not in self._kept:
            return False
        with dynamodb._lock:
            for store, kept in zip(STATE, self._kept[name], strict=True):
                store._data.clear()
                store._data.update(copy.deepcopy(kept))
        return True
