"""The sender of webhooks: takes deliveries that are due, signs them and posts them, at least once each.

It works beside the sender of mails, in the same process and by the same means (a due index in shards, leases), with
threads of its own: no receiver holds up a mail, and none another receiver.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Lock

from app.data import Store
from app.data.client import Stale
from app.domain import webhooks as rules
from app.domain.accounts import Account
from app.domain.clock import to_iso, utcnow
from app.domain.errors import DomainError, InvalidInput
from app.domain.mails import Mail
from app.domain.receivers import target_of
from app.domain.webhooks import (
    BY_FAILURE,
    BY_GONE,
    BY_SECRET,
    MAX_TRIES_SHOWN,
    PATIENCE,
    SLOW_MS,
    WHY_PAUSED,
    Delivery,
    Endpoint,
    Try,
)
from app.gateways.receivers import Answer, Receivers
from app.telemetry.instruments import WEBHOOKS_SENT

from .sealing import Sealer

log = logging.getLogger(__name__)

PLACES = 24  # requests at once, of one sender
OF_ONE_ACCOUNT = 2
SLOW_PLACES = 6  # of those, for endpoints whose last answer took long
TRIES_TO_WAKE = 5  # each that fails was overtaken by somebody else's write; then it waits for its own time
LEASE = timedelta(seconds=60)  # one request takes 10 s at most
PULLED = 10  # deliveries that were held, each time that one of their endpoint is done
LOOKED_AT = 100
OF_A_SHARD = 50  # deliveries that one look takes from each
LONGEST_ASIDE = 60.0  # seconds
GONE = 410
USER_AGENT = "ImpacterAGI-Webhooks/1.0"


@dataclass(slots=True)
class Done:
    """Of one look, once everything that it began has ended."""

    sent: int = 0
    put_off: int = 0


class WebhookSender:
    """One a process. `look` may be called again while requests of an earlier look are still out."""

    def __init__(
        self, store: Store, sealer: Sealer, receivers: Receivers, now: Callable[[], datetime] = utcnow
    ) -> None:
        self._store, self._sealer, self._receivers, self._now = store, sealer, receivers, now
        self._pool = ThreadPoolExecutor(PLACES, thread_name_prefix="webhook")
        self._lock = Lock()
        self._out: Counter[str] = Counter()  # requests at this moment, by account
        self._slow = 0
        self._lanes: set[str] = set()
        self._begun: set[Future[None]] = set()
        self.done = Done()

    def look(self) -> int:
        """Begin with what is due; returns how many were begun. Raises StoreUnavailable."""
        due = self._store.webhooks.list_due(self._now(), limit=OF_A_SHARD)
        found: dict[str, tuple[Endpoint | None, Account | None]] = {}
        begun = left = 0
        for delivery in due:
            went = self._begin(delivery, found)
            begun += went is True
            if went is None and len(due) >= OF_A_SHARD:  # it must not hide what stands behind it in its shard
                left += 1
                later = self._now() + timedelta(seconds=min(LONGEST_ASIDE, 0.25 * left))
                self._store.updates.webhooks.put_off(delivery, later)
        return begun

    def finish(self, seconds: float | None = None) -> Done:
        """Wait for what is out."""
        with self._lock:
            begun = set(self._begun)
        wait(begun, seconds)
        return self.done

    def _begin(self, delivery: Delivery, found: dict[str, tuple[Endpoint | None, Account | None]]) -> bool | None:
        """None where no place is free for it now: it stays due, and the next look finds it."""
        try:
            endpoint = self._ready(delivery, found)
        except DomainError as error:
            log.error("a webhook cannot be looked at: %s", error.code, extra=_about(delivery))
            return False
        if endpoint is None:
            return False
        slow = endpoint.slow
        with self._lock:
            full = sum(self._out.values()) >= PLACES or self._out[endpoint.account_id] >= OF_ONE_ACCOUNT
            if full or delivery.lane in self._lanes or (slow and self._slow >= SLOW_PLACES):
                return None
            self._out[endpoint.account_id] += 1
            self._slow += slow
            self._lanes.add(delivery.lane)
        if not self._store.updates.webhooks.lease(delivery, self._now() + LEASE):
            self._leave(delivery, endpoint, slow)
            return False
        future = self._pool.submit(self._send, delivery, endpoint, slow)
        with self._lock:
            self._begun.add(future)
        future.add_done_callback(self._begun.discard)
        return True

    def _ready(self, delivery: Delivery, found: dict[str, tuple[Endpoint | None, Account | None]]) -> Endpoint | None:
        """Its endpoint, where it may be sent now; else it was put off, held, or dropped. `found`: read in this look."""
        store, now, key = self._store, self._now(), delivery.endpoint_id
        if key not in found:
            read = store.webhooks.find_endpoint(key)
            found[key] = read, store.accounts.find(read.user_email) if read else None
        endpoint, account = found[key]
        if endpoint is None or account is None or not _names(account, endpoint):
            store.updates.webhooks.note(replace(delivery, dropped="Its endpoint was removed."), due_at=None)
            WEBHOOKS_SENT.add(outcome="dropped")
        elif endpoint.paused:
            if not endpoint.parked:
                store.updates.webhooks.change_endpoint(endpoint, parked=True)
            store.updates.webhooks.park(delivery)
            again = store.webhooks.find_endpoint(key)
            if again and not again.paused:  # resumed in between: nobody would look for what is held
                store.updates.webhooks.make_due(delivery, now)
        elif endpoint.rest_until and now < endpoint.rest_until:
            store.updates.webhooks.put_off(delivery, endpoint.rest_until + timedelta(seconds=delivery.attempts % 7))
        elif ahead := self._ahead(delivery):
            self._follow(delivery, ahead, now)
        else:
            return endpoint
        return None

    def _ahead(self, delivery: Delivery) -> Delivery | None:
        """What waits before it in its lane."""
        first = next(iter(self._store.webhooks.list_lane(delivery.lane)), None)
        return first if first and first.place < delivery.place else None

    def _follow(self, delivery: Delivery, ahead: Delivery, now: datetime) -> None:
        """Due after the one before it; that makes it due at once when it is done."""
        if ahead.due_shard and ahead.due_at and ahead.due_at > now:
            self._store.updates.webhooks.put_off(delivery, ahead.due_at + timedelta(seconds=1))
        elif not ahead.due_shard:
            self._store.updates.webhooks.make_due(ahead, now)

    def _send(self, delivery: Delivery, endpoint: Endpoint, slow: bool) -> None:
        try:
            tried = replace(delivery, attempts=delivery.attempts + 1)
            secrets = [self._sealer.open(sealed) for sealed in endpoint.signers(self._now())]
            if secrets[0] is None:
                self._pause(endpoint, BY_SECRET)
                self._store.updates.webhooks.note(delivery, due_at=self._now())
                return
            stamp = int(self._now().timestamp())
            headers = {
                "Content-Type": "application/json; charset=utf-8",
                "User-Agent": USER_AGENT,
                "webhook-id": delivery.event_id,
                "webhook-timestamp": str(stamp),
            }
            signed = [rules.sign(one, delivery.event_id, stamp, delivery.body) for one in secrets if one]
            answer = self._post(endpoint, delivery, {**headers, "webhook-signature": " ".join(signed)})
            self._note(tried, endpoint, headers, answer)
        except DomainError as error:  # it stays leased, and is sent again when the lease is over: the same event
            log.error("what came of a webhook could not be noted: %s", error.code, extra=_about(delivery))
        except Exception:
            log.exception("a webhook could not be sent", extra=_about(delivery))
            self._put_off(delivery)
        finally:
            self._leave(delivery, endpoint, slow)

    def _put_off(self, delivery: Delivery) -> None:
        """After a fault of ours: it waits as after a failure, and no endpoint is blamed."""
        now, attempts = self._now(), delivery.attempts + 1
        one = Try(now, 0, error="A fault on our side.")
        tried = replace(delivery, attempts=attempts, tries=(*delivery.tries, one)[-MAX_TRIES_SHOWN:])
        try:
            self._store.updates.webhooks.note(tried, due_at=now + timedelta(seconds=rules.next_wait(attempts)))
        except DomainError as error:
            log.error("what came of a webhook could not be noted: %s", error.code, extra=_about(delivery))

    def _post(self, endpoint: Endpoint, delivery: Delivery, headers: dict[str, str]) -> Answer:
        try:
            target = target_of(endpoint.url)  # anew each time: what may be sent to can become less
        except InvalidInput as error:
            return Answer(0, error=error.message)
        return self._receivers.post(target, delivery.body.encode(), headers)

    def _note(self, tried: Delivery, endpoint: Endpoint, headers: dict[str, str], answer: Answer) -> None:
        now = self._now()
        one = Try(now, answer.took_ms, answer.status, answer.error)
        tried = replace(
            tried,
            tries=(*tried.tries, one)[-MAX_TRIES_SHOWN:],
            headers=headers,
            answer=answer.body.decode("utf-8", "replace").replace("\x00", "\ufffd"),
            answer_headers=answer.headers,
        )
        if 200 <= answer.status < 300:
            self._succeeded(tried, endpoint, answer, now)
        else:
            self._failed(tried, endpoint, answer, now)

    def _succeeded(self, tried: Delivery, endpoint: Endpoint, answer: Answer, now: datetime) -> None:
        slow = answer.took_ms >= SLOW_MS
        if endpoint.failing_since or endpoint.rest_until or slow != endpoint.slow:
            self._store.updates.webhooks.change_endpoint(
                endpoint, failing_since=None, failures=None, rest_until=None, slow=slow or None
            )
        if endpoint.parked:
            self._pull(endpoint, now)
        self._store.updates.webhooks.note(replace(tried, sent_at=now), due_at=None)
        self._wake(tried, now)
        self._count("sent", tried)

    def _failed(self, tried: Delivery, endpoint: Endpoint, answer: Answer, now: datetime) -> None:
        since, failures = endpoint.failing_since or now, endpoint.failures + 1
        rests = now + timedelta(seconds=rules.rest(failures))
        slow = True if answer.took_ms >= SLOW_MS else None
        self._store.updates.webhooks.change_endpoint(
            endpoint, failing_since=since, failures=failures, rest_until=rests, slow=slow
        )
        if answer.status == GONE or now - since >= PATIENCE:
            self._pause(endpoint, BY_GONE if answer.status == GONE else BY_FAILURE)
            self._store.updates.webhooks.note(tried, due_at=now)  # the next look holds it
            self._count("put off", tried)
        elif now - max(tried.waiting_since, endpoint.resumed_at or tried.waiting_since) >= PATIENCE:
            self._store.updates.webhooks.note(replace(tried, failed_at=now), due_at=None)
            self._wake(tried, now)
            self._count("given up", tried)
        else:
            due_at = now + timedelta(seconds=rules.next_wait(tried.attempts))
            self._store.updates.webhooks.note(tried, due_at=due_at)
            self._count("put off", tried)

    def _pause(self, endpoint: Endpoint, why: str) -> None:
        """With the mail that says so, one a day; nothing of what waits is lost by it."""
        now = self._now()
        account = self._store.accounts.find(endpoint.user_email)
        if account is None:
            return
        context = {
            "name": endpoint.name,
            "place": endpoint.url.removeprefix("https://"),  # a mail links to our own pages alone
            "why": WHY_PAUSED[why],
            "since": to_iso(endpoint.failing_since or now),
        }
        mail_id = f"webhook_paused#{endpoint.endpoint_id}#{now.date()}"  # a day: who resumes it knows that it fails
        told = self._store.mails.find(mail_id)
        try:
            with self._store.transaction() as tx:
                tx.webhooks.pause_endpoint(endpoint, why, now)
                if not told:
                    tx.mails.enqueue(Mail(mail_id, "webhook_paused", account.address, now, context))
        except Stale:  # another sender was quicker, or its owner
            return
        WEBHOOKS_SENT.add(outcome="paused")
        log.warning("webhook endpoint paused", extra={"endpoint_id": endpoint.endpoint_id, "why": why})

    def _pull(self, endpoint: Endpoint, now: datetime) -> None:
        """What was held while the endpoint was paused, some at a time: as fast as it takes them."""
        waiting = self._store.webhooks.list_waiting(endpoint.endpoint_id, limit=LOOKED_AT)
        held = [one for one in waiting if not one.due_shard]
        for one in held[:PULLED]:
            self._store.updates.webhooks.make_due(one, now)
        if not held and len(waiting) < LOOKED_AT:
            self._store.updates.webhooks.change_endpoint(endpoint, parked=None)

    def _wake(self, done: Delivery, now: datetime) -> None:
        """The next in its lane need not wait for its own time, also where a look puts it off in this very moment."""
        for _ in range(TRIES_TO_WAKE):
            following = self._store.webhooks.list_lane(done.lane)
            if not following or self._store.updates.webhooks.make_due(following[0], now):
                return

    def _count(self, outcome: str, tried: Delivery) -> None:
        with self._lock:
            self.done.sent += outcome == "sent"
            self.done.put_off += outcome != "sent"
        WEBHOOKS_SENT.add(outcome=outcome)
        last = tried.last
        about = {"attempts": tried.attempts, "status": last.status if last else 0, "error": last.error if last else ""}
        level = logging.INFO if outcome == "sent" else logging.WARNING
        log.log(level, "webhook %s", outcome, extra=_about(tried) | about)

    def _leave(self, delivery: Delivery, endpoint: Endpoint, slow: bool) -> None:
        with self._lock:
            self._out[endpoint.account_id] -= 1
            if not self._out[endpoint.account_id]:
                del self._out[endpoint.account_id]
            self._slow -= slow
            self._lanes.discard(delivery.lane)


def _names(account: Account, endpoint: Endpoint) -> bool:
    """Whether the account has this endpoint still: its row is the one place that says so."""
    open_ = not account.disabled and account.deleted_at is None
    return open_ and account.account_id == endpoint.account_id and endpoint.endpoint_id in account.webhooks


def _about(delivery: Delivery) -> dict[str, str]:
    return {"endpoint_id": delivery.endpoint_id, "event_id": delivery.event_id, "type": delivery.type}
