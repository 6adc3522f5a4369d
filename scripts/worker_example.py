"""A worker for the queue, as an example: claims tasks, works on each while its lease is renewed, and completes it.

    API_URL=http://127.0.0.1:8000 API_KEY=imp_live_… python scripts/worker_example.py [--once]

The key has the scope queue:work; an operator makes it under Account, API keys. It runs unattended: what passes (429,
503, a line that broke) is waited out and asked again, a task that was lost (409) is left, and a key that opens nothing
any more ends the program with a sentence. Replace `work` by what your program does.

A claim whose answer was lost has leased a task that this program never heard of: it is free again when the lease ends.
"""

import http.client
import json
import os
import random
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

API = os.environ.get("API_URL", "http://127.0.0.1:8000").rstrip("/") + "/api/admin"
MINUTES = 5  # a lease; if this program dies, the task is free again after them
HEARTBEAT_SECONDS = float(os.environ.get("HEARTBEAT_SECONDS", MINUTES * 60 / 3))
LONGEST_PAUSE_SECONDS = 60.0
PASSING = {408, 429, 500, 502, 503, 504}


class Refused(Exception):
    """Said no for good: to this call, or with 401 and 403 to this program."""

    def __init__(self, status: int, said: str):
        super().__init__(said)
        self.ends_it = status in (401, 403)


def call(path: str, body: dict[str, object] | None = None, *, patient: bool = True) -> Any:
    """POST as JSON and return the answer; ask again for as long as it takes, unless told not to.

    Raises Refused; when not `patient`, OSError for what passes.
    """
    failed = 0
    while True:
        try:
            return _ask(path, body)
        except urllib.error.HTTPError as error:
            said = _said(error)
            if error.code not in PASSING:
                raise Refused(error.code, said) from None
            why, after = f"{error.code}: {said}", error.headers.get("Retry-After") or ""
        except (OSError, http.client.HTTPException) as error:  # no answer came, or only a part of one
            why, after = f"no answer ({error})", ""
        if not patient:
            raise OSError(why)
        pause = float(after) if after.isdigit() else min(2.0**failed, LONGEST_PAUSE_SECONDS)
        failed = min(failed + 1, 10)
        pause *= random.uniform(1, 1.5)  # noqa: S311 - so that many workers do not come back together
        print(f"{path}: {why} Asking again in {pause:.0f} s.", file=sys.stderr, flush=True)
        time.sleep(pause)


def _ask(path: str, body: dict[str, object] | None) -> Any:
    headers = {"Authorization": f"Bearer {os.environ['API_KEY']}", "Content-Type": "application/json"}
    request = urllib.request.Request(API + path, json.dumps(body or {}).encode(), headers, method="POST")  # noqa: S310 - our own address
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


def _said(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return "(no sentence came with it)"  # of something in front of the app


@contextmanager
def kept_lease(task_id: str) -> Iterator[None]:
    """Renew the lease now and then while the block runs."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            try:
                call(f"/tasks/{task_id}/renew", {"minutes": MINUTES}, patient=False)
            except (OSError, Refused) as error:  # the next beat may get through; the completion tells if it was lost
                print(f"heartbeat of {task_id} failed: {error}", file=sys.stderr, flush=True)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def work(description: str) -> str:
    """The work itself: here, it counts words."""
    return f"# Result\n\nYour task has **{len(description.split())}** words."


def main() -> None:
    if not os.environ.get("API_KEY"):
        sys.exit("API_KEY is not set: make a key with the scope queue:work under Account, API keys.")
    once = "--once" in sys.argv
    while True:
        task = call("/tasks/claim", {"minutes": MINUTES})["task"]
        if task is None:
            if once:
                return
            time.sleep(5)
            continue
        try:
            with kept_lease(task["task_id"]):
                result = work(task["description"])
            call(f"/tasks/{task['task_id']}/complete", {"result": result})  # the same again is safe
            print(f"completed {task['task_id']}", flush=True)
        except Refused as refused:
            if refused.ends_it:
                raise
            print(f"{task['task_id']} was refused: {refused}", file=sys.stderr, flush=True)  # the lease was lost


if __name__ == "__main__":
    try:
        main()
    except Refused as refused:
        sys.exit(f"This worker stops: {refused}")
    except KeyboardInterrupt:
        sys.exit("Stopped. A task that it held is free again when its lease ends.")
