"""A program by somebody who has read /docs and nothing else, with nothing but Python's standard library.

    newcomer.py ADDRESS E-MAIL PASSWORD PORT CERTIFICATE

Makes a key and an endpoint, submits thirty tasks and waits until webhooks have told of each, submits thirty more and
waits for them by `wait=`, and adds up the statement. Prints what it has seen as JSON. tests/http/test_newcomer.py runs
it, and holds what it uses to what the page tells.
"""

import base64
import hashlib
import hmac
import json
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

ADDRESS, EMAIL, PASSWORD, PORT, CERTIFICATE = sys.argv[1:]
OPEN = ("pending", "in-progress")
MINUTES = 3


def call(path: str, body: Any = None, secret: str = "", idempotency_key: str = "") -> Any:
    """The answer of a call. Tried again where the page says so, with the same key."""
    headers = {"Content-Type": "application/json"}
    if secret:
        headers["Authorization"] = f"Bearer {secret}"
    if idempotency_key:
        headers["Idempotency-Key"] = idempotency_key
    data = json.dumps(body).encode() if body is not None else None
    until = time.monotonic() + MINUTES * 60
    while True:
        try:
            with urlopen(Request(ADDRESS + path, data, headers), timeout=60) as answer:
                return json.load(answer)
        except HTTPError as refused:
            if refused.code not in (429, 502, 503, 504) or time.monotonic() > until:
                sys.exit(f"{path}: {refused.code} {refused.read().decode()}")
            pause = int(refused.headers.get("Retry-After", "1"))
        except URLError:
            if time.monotonic() > until:
                raise
            pause = 1
        time.sleep(pause)


def is_ours(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """`secret` as it was shown, whsec_…; `headers` by small letters; `body` as it came, in bytes."""
    event_id, at = headers["webhook-id"], headers["webhook-timestamp"]
    if not at.isascii() or not at.isdigit() or abs(time.time() - int(at)) > 300:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    made = hmac.new(key, f"{event_id}.{at}.".encode() + body, hashlib.sha256).digest()
    wanted = b"v1," + base64.b64encode(made)
    given = headers["webhook-signature"].encode().split(b" ")
    return any(hmac.compare_digest(wanted, one) for one in given)


class Told:
    """What webhooks have told, each event once, on an address with TLS."""

    def __init__(self) -> None:
        self.events: dict[str, Any] = {}
        self.refused, self.secret = 0, ""
        self.news = threading.Condition()
        told = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                taken = told.take(headers, body)
                self.send_response(204 if taken else 401)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", int(PORT)), Handler)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(CERTIFICATE)
        self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, headers: dict[str, str], body: bytes) -> bool:
        with self.news:
            if not is_ours(self.secret, headers, body):
                self.refused += 1
                return False
            self.events.setdefault(headers["webhook-id"], json.loads(body))
            self.news.notify_all()
            return True

    def completed(self) -> set[str]:
        with self.news:
            return {one["data"]["task_id"] for one in self.events.values() if one["type"] == "task.completed"}

    def wait_for(self, task_ids: set[str]) -> None:
        with self.news:
            if not self.news.wait_for(lambda: self.completed() >= task_ids, MINUTES * 60):
                sys.exit(f"Webhooks have told of {len(self.completed())} tasks in {MINUTES} minutes.")


def submit(name: str, key: str) -> Any:
    tasks = [{"description": f"{name}, page {number}"} for number in range(1, 31)]
    return call("/api/tasks/batch", {"tasks": tasks}, key, idempotency_key=f"newcomer-{name}")["tasks"]


def results(tasks: list[Any], key: str) -> list[str]:
    found = []
    for task in tasks:
        while task["status"] in OPEN:
            task = call(f"/api/tasks/{task['task_id']}?wait=30", secret=key)
        found.append(task["result"])
    return found


def added_up(month: str, key: str) -> tuple[dict[str, int], int]:
    """Credits that the month has moved, by the type of its rows. Each balance must follow from the one before."""
    statement = call(f"/api/statement?month={month}", secret=key)
    balance, moved = statement["opening"], dict[str, int]()
    for row in statement["transactions"]:
        balance += row["amount"]
        if balance != row["balance_after"]:
            sys.exit(f"After {row['transaction_id']} there are {row['balance_after']} credits, and not {balance}.")
        moved[row["type"]] = moved.get(row["type"], 0) + row["amount"]
    if balance != statement["closing"]:
        sys.exit(f"The month closes with {statement['closing']} credits, and not with {balance}.")
    return moved, balance


def main() -> None:
    token = call("/api/auth/login", {"email": EMAIL, "password": PASSWORD})["token"]
    scopes = ["tasks:read", "tasks:write", "billing:read"]
    key = call("/api/keys", {"name": "Newcomer", "scopes": scopes, "password": PASSWORD}, token)["key"]
    told = Told()
    wanted = {"url": f"https://receiver.test:{PORT}/", "types": ["task.completed"], "password": PASSWORD}
    told.secret = call("/api/webhooks", wanted, token)["secret"]

    first = submit("Letters", key)
    told.wait_for({task["task_id"] for task in first})
    second = submit("Reports", key)
    read = results(second, key)
    again = results([call(f"/api/tasks/{task['task_id']}", secret=key) for task in first], key)

    sums, balance = dict[str, int](), 0
    for month in sorted({task["created_at"][:7] for task in first + second}):
        moved, balance = added_up(month, key)
        sums = {kind: sums.get(kind, 0) + moved.get(kind, 0) for kind in sums | moved}
    seen = {
        "told": sorted(told.completed()),
        "refused": told.refused,
        "read": again + read,
        "spent": sums.get("spend"),
        "balance": balance,
        "credits": call("/api/user", secret=key)["credits"],
    }
    sys.stdout.write(json.dumps(seen))


main()
