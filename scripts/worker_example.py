"""A worker for the queue, as an example: claims tasks, works on each while its lease is renewed, and completes it.

    API_URL=http://127.0.0.1:8000 OPERATOR_TOKEN=… python scripts/worker_example.py [--once]

The token is what POST /api/auth/login gives an operator. Replace `work` by what your program does.
"""

import json
import os
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


def call(path: str, body: dict[str, object] | None = None) -> Any:
    """POST as JSON and return the answer; an HTTPError tells what was refused."""
    headers = {"Authorization": f"Bearer {os.environ['OPERATOR_TOKEN']}", "Content-Type": "application/json"}
    request = urllib.request.Request(API + path, json.dumps(body or {}).encode(), headers, method="POST")  # noqa: S310 - our own address
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        return json.load(answer)


@contextmanager
def kept_lease(task_id: str) -> Iterator[None]:
    """Renew the lease now and then while the block runs."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            try:
                call(f"/tasks/{task_id}/renew", {"minutes": MINUTES})
            except OSError as error:  # the next beat may get through; the completion tells if the lease was lost
                print(f"heartbeat of {task_id} failed: {error}", file=sys.stderr)

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
            call(f"/tasks/{task['task_id']}/complete", {"result": result})
            print(f"completed {task['task_id']}")
        except urllib.error.HTTPError as error:  # 409: the lease was lost, or the task was closed meanwhile
            print(f"{task['task_id']} was refused: {json.load(error).get('error')}", file=sys.stderr)


if __name__ == "__main__":
    main()
