"""CPU time of this process for one action each, taken in turns so that a busy machine slows all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import count
from typing import Any
from unittest.mock import patch

import boto3
from flask import Flask

from app.data.tables import TASK_INDEX
from scripts.benchmarks.world import Answer, Visitor, World
from scripts.local.ports import HOST

Action = Callable[[], None]


def measure(actions: dict[str, Action], *, rounds: int, batch: int) -> dict[str, list[float]]:
    """Seconds of CPU for one action, by round. The order turns from round to round."""
    for action in actions.values():
        for _ in range(3):
            action()
    found: dict[str, list[float]] = {name: [] for name in actions}
    names = list(actions)
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            action = actions[name]
            start = time.process_time()
            for _ in range(batch):
                action()
            found[name].append((time.process_time() - start) / batch)
    return found


def ratio(found: dict[str, list[float]], name: str, to: str) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(one / other for one, other in zip(found[name], found[to], strict=True))


def actions(world: World, small: Visitor, large: Visitor) -> dict[str, Action]:
    """The floor, what the app does, and the raw transaction of what a submit writes."""
    port = world.start_replay()
    app = world.app(port)
    store = world.store
    table = store.prefix + "Tasks"
    plain = boto3.client("dynamodb", region_name="us-east-1", endpoint_url=f"http://{HOST}:{port}")
    hello = Flask("hello")
    hello.add_url_rule("/", view_func=lambda: "hello")
    account_key = {"email": {"S": small.account.email}}
    query = {
        "TableName": table,
        "IndexName": TASK_INDEX,
        "KeyConditionExpression": "user_email = :e",
        "ExpressionAttributeValues": {":e": {"S": small.account.email}},
        "ScanIndexForward": False,
        "Limit": 20,
    }

    def floor() -> None:
        Answer(hello, hello_request)
        plain.get_item(TableName=store.prefix + "Users", Key=account_key)
        plain.query(**query)

    hello_request = small.get("/")
    poll = small.get("/dashboard/live", HX_Request="true", HX_PTag=str(small.account.version))
    numbers = count()
    transaction = _writes_of(app, small.submit("recorded"))
    return {
        "floor": floor,
        "dashboard": _asks(app, small.get("/dashboard"), 200),
        "poll": _asks(app, poll, 304),
        "submit": lambda: _ask(app, small.submit(f"r-{next(numbers)}"), 200),
        "transaction": lambda: _send(plain, transaction),
        "small": _history(app, small),
        "large": _history(app, large),
    }


def _history(app: Flask, visitor: Visitor) -> Action:
    """The newest page of a history, and one that is deep in it."""
    first, deep = visitor.get("/dashboard"), visitor.get(f"/dashboard?cursor={_cursor_of_page(app, visitor, 5)}")
    asks = [_asks(app, first, 200), _asks(app, deep, 200)]

    def both() -> None:
        for ask in asks:
            ask()

    return both


def _cursor_of_page(app: Flask, visitor: Visitor, page: int) -> str:
    cursor = ""
    for _ in range(page):
        path = f"/dashboard?cursor={cursor}" if cursor else "/dashboard"
        environ = visitor.get(path, Accept_Encoding="identity")
        # The emulator itself reads a whole history for each page, longer than the app waits: ask until it is recorded.
        answers = (Answer(app, environ) for _ in range(5))
        text = next(answer.body.decode() for answer in answers if answer.status == 200)
        cursor = text.rpartition("cursor=")[2].partition('"')[0].partition("&")[0]
    return cursor


def _writes_of(app: Flask, environ: dict[str, Any]) -> dict[str, Any]:
    """The request that a submit sends to the store."""
    from app.web import deps

    with app.app_context():
        client = deps.store().client
    with patch.object(client, "transact_write_items", wraps=client.transact_write_items) as sent:
        _ask(app, environ, 200)
    return {"TransactItems": sent.call_args.kwargs["TransactItems"]}


def _send(client: Any, transaction: dict[str, Any]) -> None:
    client.transact_write_items(**transaction)


def _asks(app: Flask, environ: dict[str, Any], status: int) -> Action:
    return lambda: _ask(app, environ, status)


def _ask(app: Flask, environ: dict[str, Any], status: int) -> None:
    answer = Answer(app, environ)
    if answer.status != status:
        raise RuntimeError(f"{environ['PATH_INFO']} answered {answer.status}, not {status}: {answer.body[:300]!r}")
