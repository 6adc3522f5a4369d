"""Delivery of events: signed as Stripe signs them, tried again until the endpoint says 2xx, every attempt recorded."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from .business import Business
from .objects import API_VERSION
from .options import Options
from .store import Store

TIMEOUT_SECONDS = 20.0
MAX_ATTEMPTS = 24  # with the waits below: about four hours
LONGEST_WAIT_SECONDS = 900.0
PARALLEL = 8
ANSWER_LIMIT = 2000


def signature_header(payload: bytes, secret: str, timestamp: int) -> str:
    """https://docs.stripe.com/webhooks#verify-manually"""
    mac = hmac.new(secret.encode(), f"{timestamp}.".encode() + payload, hashlib.sha256)
    return f"t={timestamp},v1={mac.hexdigest()}"


def registered_endpoint(store: Store, options: Options) -> dict[str, Any] | None:
    """The one webhook endpoint of this account as the API shows it; the control API changes what it says."""
    if options.webhook_url is None:
        return None
    said: dict[str, Any] = store.setting("endpoint", {})
    return {
        "id": "we_standin",
        "object": "webhook_endpoint",
        "api_version": API_VERSION,
        "application": None,
        "created": 0,
        "enabled_events": ["*"],
        "livemode": False,
        "metadata": {},
        "status": "enabled",
        "url": options.webhook_url,
    } | said


class Deliverer:
    """A thread that runs what is due: the bank's later answers, and the deliveries in the queue."""

    def __init__(self, store: Store, business: Business, options: Options) -> None:
        self._store = store
        self._business = business
        self._options = options
        self._wake = threading.Event()
        self._stopping = False
        self.rounds = 0  # how often it looked for what is due; a test counts them
        self._attempted = threading.Condition()
        self._ready: SimpleQueue[int] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="deliverer", daemon=True)
        store.on_commit = self._wake.set

    def start(self) -> None:
        # What was under way when the process ended was perhaps delivered: Stripe, too, would send it again.
        self._store.write("UPDATE deliveries SET state = 'queued' WHERE state = 'sending'")
        self._thread.start()
        # Daemons: an endpoint that hangs must not keep the process from ending.
        for number in range(PARALLEL):
            threading.Thread(target=self._send_for_ever, name=f"webhook-{number}", daemon=True).start()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        self._thread.join(5)

    def wait_for_first_attempt(self, event_ids: list[str], seconds: float) -> None:
        """As Checkout does: hold the redirect until the endpoint has answered once, but not for ever."""
        self._wait(lambda: all(self._attempted_or_held(event_id) for event_id in event_ids), seconds)

    def wait_until_idle(self, seconds: float) -> bool:
        """Whether everything that is due by itself has happened; withheld deliveries do not count."""
        return self._wait(self._is_idle, seconds)

    def release(self, order: str = "made") -> int:
        """Send what was withheld: in the order it was made, reversed, or shuffled."""
        ordering = {"made": "id", "reversed": "id DESC", "shuffled": "random()"}[order]
        with self._store.transaction():
            held = self._store.rows(f"SELECT id FROM deliveries WHERE state = 'withheld' ORDER BY {ordering}")  # noqa: S608
            for place, row in enumerate(held):
                # Parallel senders would blur the order that was asked for.
                due = time.time() + place * 0.05 if order != "made" else time.time()
                self._store.write(
                    "UPDATE deliveries SET state = 'queued', forced = 1, due = ? WHERE id = ?", due, row["id"]
                )
        return len(held)

    def discard(self) -> int:
        """Lose what was withheld, as after three days of failing."""
        with self._store.transaction():
            held = self._store.count("SELECT count(*) FROM deliveries WHERE state = 'withheld'")
            self._store.write("UPDATE deliveries SET state = 'lost' WHERE state = 'withheld'")
        return held

    def _wait(self, done: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        with self._attempted:
            while not done():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._attempted.wait(min(left, 0.1))
        return True

    def _attempted_or_held(self, event_id: str) -> bool:
        # A delivery that is delayed on purpose is not waited for either.
        waiting = self._store.count(
            "SELECT count(*) FROM deliveries WHERE event = ? AND attempts = 0 AND state IN ('queued', 'sending') "
            "AND due <= ?",
            event_id,
            time.time(),
        )
        return waiting == 0

    def _is_idle(self) -> bool:
        blocked = " AND forced = 1" if self._mode() == "withhold" else ""
        deliveries = self._store.count(
            f"SELECT count(*) FROM deliveries WHERE state = 'sending' OR (state = 'queued'{blocked})"  # noqa: S608
        )
        return deliveries == 0 and self._store.count("SELECT count(*) FROM jobs WHERE kind != 'expire'") == 0

    def _mode(self) -> str:
        return str(self._store.setting("webhooks", {"mode": "deliver"})["mode"])

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            self.rounds += 1
            self._run_jobs()
            self._send_due()
            upcoming = self._store.row(
                "SELECT min(due) FROM (SELECT min(due) AS due FROM jobs UNION ALL "
                "SELECT min(due) FROM deliveries WHERE state = 'queued')"
            )
            due = upcoming[0] if upcoming and upcoming[0] is not None else time.time() + 3600
            # A retry that the "withhold" switch keeps back is due all the while: do not spin on it.
            self._wake.wait(min(60.0, max(0.05 if due > time.time() else 0.5, due - time.time())))

    def _run_jobs(self) -> None:
        for job in self._store.rows("SELECT * FROM jobs WHERE due <= ? ORDER BY due", time.time()):
            with self._store.transaction():
                self._store.write("DELETE FROM jobs WHERE id = ?", job["id"])
                self._business.run_job(job["kind"], job["ref"])

    def _send_due(self) -> None:
        blocked = "AND forced = 1" if self._mode() == "withhold" else ""
        due_now = f"SELECT id FROM deliveries WHERE state = 'queued' AND due <= ? {blocked} ORDER BY due, id"  # noqa: S608
        if not self._store.rows(due_now, time.time()):
            return
        with self._store.transaction():
            due = self._store.rows(due_now, time.time())
            for row in due:
                self._store.write("UPDATE deliveries SET state = 'sending' WHERE id = ?", row["id"])
        for row in due:
            self._ready.put(row["id"])

    def _send_for_ever(self) -> None:
        while True:
            self._attempt(self._ready.get())

    def _attempt(self, delivery_id: int) -> None:
        row = self._store.row("SELECT * FROM deliveries WHERE id = ?", delivery_id)
        event = self._store.get("event", row["event"]) if row else None
        if row is None or event is None:  # a reset emptied the store meanwhile
            return
        started, body = time.time(), event.body
        endpoint = registered_endpoint(self._store, self._options)
        told = endpoint is not None and endpoint["status"] == "enabled"
        told = told and bool({"*", body["type"]} & set(endpoint["enabled_events"] if endpoint else ()))
        if endpoint is None or not told:
            status, answer = None, "There is no webhook endpoint that is told of this."
        else:
            status, answer = self._post(endpoint["url"], {**body, "api_version": endpoint["api_version"]})
        delivered = status is not None and 200 <= status < 300
        attempts = row["attempts"] + 1
        wait = min(LONGEST_WAIT_SECONDS, self._options.retry_seconds * 2 ** (attempts - 1))
        state = "delivered" if delivered else "queued" if attempts < MAX_ATTEMPTS else "lost"
        if not told:
            state = "lost"
        with self._store.transaction():
            self._store.write(
                "UPDATE deliveries SET state = ?, attempts = ?, due = ? WHERE id = ?",
                state,
                attempts,
                time.time() + wait,
                delivery_id,
            )
            self._store.write(
                "INSERT INTO attempts (delivery, at, milliseconds, status, answer) VALUES (?, ?, ?, ?, ?)",
                delivery_id,
                started,
                round((time.time() - started) * 1000),
                status,
                answer,
            )
        with self._attempted:
            self._attempted.notify_all()

    def _post(self, url: str, event: dict[str, Any]) -> tuple[int | None, str]:
        parts = urlsplit(url)
        payload = json.dumps(event, indent=2, ensure_ascii=False).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Accept": "*/*; q=0.5, application/xml",
            "Stripe-Signature": signature_header(payload, self._options.webhook_secret, int(time.time())),
        }
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("POST", parts.path + (f"?{parts.query}" if parts.query else "") or "/", payload, headers)
            response = connection.getresponse()
            return response.status, response.read(ANSWER_LIMIT).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            return None, f"{type(error).__name__}: {error}"
        finally:
            connection.close()
