"""A process that does what it is told in a file, and says what each act cost it: seconds of CPU, or instructions.

It takes the app from the tree that `PYTHONPATH` names and nothing else from this one, so that two trees are measured by
the same means. Instructions are counted by callgrind, under which it is then started: it dumps its count whenever
`drand48` of the C library is called, which nothing else here calls.

https://valgrind.org/docs/manual/cl-manual.html
"""

from __future__ import annotations

import ctypes
import hmac
import io
import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

Action = Callable[[], None]
SECONDS, INSTRUCTIONS = "seconds", "instructions"
NEXT = b"the-next-number"  # in a body: each time another one


class Answer:
    """The status, size and text of one request to a WSGI app in this process."""

    def __init__(self, app: Any, environ: dict[str, Any]) -> None:
        given: list[str] = []
        request = environ | {"wsgi.input": io.BytesIO(environ["body"])}
        chunks: Iterable[bytes] = app(request, lambda status, headers, exc_info=None: given.append(status))
        self.body = b"".join(chunks)
        if hasattr(chunks, "close"):
            chunks.close()
        self.status = int(given[0][:3])


def signed(environ: dict[str, Any]) -> dict[str, Any]:
    """An event of Stripe's under a signature of this moment, which is good for five minutes; others as they are.

    https://docs.stripe.com/webhooks#verify-manually
    """
    if "signed_by" not in environ:
        return environ
    moment = int(time.time())
    proof = hmac.digest(environ["signed_by"].encode(), b"%d." % moment + environ["body"], "sha256").hex()
    return environ | {"HTTP_STRIPE_SIGNATURE": f"t={moment},v1={proof}"}


def measure(actions: dict[str, Action], *, rounds: int, batch: int) -> dict[str, list[float]]:
    """Seconds of CPU for one action, by round. The order turns from round to round."""
    found: dict[str, list[float]] = {name: [] for name in actions}
    for name in _in_turns(actions, rounds):
        start = time.process_time()
        for _ in range(batch):
            actions[name]()
        found[name].append((time.process_time() - start) / batch)
    return found


def mark(actions: dict[str, Action], *, rounds: int, batch: int) -> list[str]:
    """The same under callgrind: a dump before each batch and one behind it. Returns whose batches they were."""
    dump = ctypes.CDLL(None).drand48
    order = list(_in_turns(actions, rounds))
    for name in order:
        dump()
        for _ in range(batch):
            actions[name]()
        dump()
    return order


def _in_turns(actions: dict[str, Action], rounds: int) -> Iterable[str]:
    for action in actions.values():
        for _ in range(3):
            action()
    names = list(actions)
    for number in range(rounds):
        yield from names[number % len(names) :] + names[: number % len(names)]


def actions_of(told: dict[str, Any]) -> dict[str, Action]:
    """The floor and the raw transaction by a default client of boto3, and the app's answers to what was recorded."""
    import boto3
    from flask import Flask

    from app import create_app

    app, hello = create_app(), Flask("hello")
    hello.add_url_rule("/", view_func=lambda: "hello")
    plain = boto3.client("dynamodb", endpoint_url=os.environ["DYNAMODB_ENDPOINT_URL"])
    numbers = count()

    def floor() -> None:
        Answer(hello, told["hello"])
        plain.get_item(**told["floor"]["get_item"])
        plain.query(**told["floor"]["query"])

    def transaction() -> None:
        plain.transact_write_items(**told["transaction"])

    def asks(requests: list[tuple[dict[str, Any], int]]) -> Action:
        requests = [(signed(environ), status) for environ, status in requests]

        def ask() -> None:
            for environ, status in requests:
                body = environ["body"]
                if NEXT in body:
                    body = body.replace(NEXT, b"%0*d" % (len(NEXT), next(numbers)))
                answer = Answer(app, environ | {"body": body})
                if answer.status != status:
                    raise RuntimeError(f"{environ['PATH_INFO']} answered {answer.status}: {answer.body[:300]!r}")

        return ask

    raw: dict[str, Action] = {"floor": floor, "transaction": transaction}
    return raw | {name: asks(requests) for name, requests in told["requests"].items()}


def _count_from_now_on() -> None:
    """Callgrind asks this very process, which must not sleep meanwhile: where it may not be traced it has to look."""
    asking = subprocess.Popen(["vgdb", f"--pid={os.getpid()}", "instrumentation", "on"], stdout=subprocess.DEVNULL)
    while asking.poll() is None:
        pass
    if asking.returncode:
        sys.exit("callgrind does not begin to count")


def main() -> None:
    with open(sys.argv[1], "rb") as file:
        told = pickle.load(file)  # nosec B301 # noqa: S301 - written by the process that starts this one
    said = os.dup(1)
    os.dup2(2, 1)
    actions = actions_of(told)
    many = {"rounds": told["rounds"], "batch": told["batch"]}
    if told["unit"] == INSTRUCTIONS:
        for action in actions.values():
            action()
        _count_from_now_on()
        found: Any = mark(actions, **many)
    else:
        found = measure(actions, **many)
    os.write(said, json.dumps(found).encode())
    os.close(said)


if __name__ == "__main__":
    main()
