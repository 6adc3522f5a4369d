"""Webhooks out: promised with their fact, signed, sent in order and at least once, ended with what they belong to."""

from __future__ import annotations

import json
import threading
from collections import deque
from datetime import timedelta

import pytest
from standardwebhooks import Webhook

from app.data.webhooks import WebhookReads
from app.domain import webhooks as rules
from app.domain.accounts import BROWSER, Session
from app.domain.api_keys import TASKS_READ, KeyWishes
from app.domain.clock import from_iso, utcnow
from app.domain.errors import AddressUnconfirmed, InvalidInput, NotFound, StoreUnavailable, WrongState
from app.domain.webhooks import MAX_ENDPOINTS, TYPES
from app.gateways.receivers import NOT_PUBLIC, Answer, NoWay, Receivers, Trial
from app.services import accounts, api_keys, customers, queue, tasks, webhooks
from app.services.sealing import Sealer
from app.services.waiting import overdue_webhook
from app.services.webhook_sender import WebhookSender
from app.services.webhooks import Wishes
from app.web.manual import RECEIVER
from tests.receiver import Receiver, say
from tests.support import NOW, all_mails, make_account, make_operators

OP = "op@example.com"
SEALER = Sealer(("a secret of the tests",))
URL = "https://receiver.example/hooks"


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self):
        return self.now


class FakeReceivers:
    """Answers 200 or what is next in `answers`, and keeps what it was sent."""

    def __init__(self) -> None:
        self.got, self.answers, self.lock = [], deque(), threading.Lock()

    def find(self, target):
        if target.host.startswith("inside."):
            raise NoWay(NOT_PUBLIC)
        return "93.184.215.14"

    def post(self, target, body, headers):
        with self.lock:
            self.got.append((target.url, body.decode(), dict(headers)))
            answer = self.answers.popleft() if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Answer) else Answer(12, answer, body=b"said")

    @property
    def told(self):
        return [json.loads(body)["type"] for _, body, _ in self.got]

    @property
    def ids(self):
        return [headers["webhook-id"] for _, _, headers in self.got]


@pytest.fixture
def there():
    return FakeReceivers()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sender(store, there, clock):
    return WebhookSender(store, SEALER, there, clock)


@pytest.fixture
def account(store):
    make_operators(store, OP)
    return make_account(store, credits=200, confirmed_at=NOW)


def make(store, there, account, url=URL, types=TYPES):
    current = store.accounts.get(account.email)
    return webhooks.make(store, SEALER, there, current, Wishes(url, types), now=NOW)


def run(sender):
    while sender.look():
        sender.finish()
    sender.finish()


def waiting(store):
    return sorted((row for row in store._scan("WebhookDeliveries") if "waiting" in row), key=lambda row: row["due_at"])


def pass_time(store, clock, sender):
    """Until whatever waits is due; the sender takes it."""
    if due := waiting(store):
        clock.now = max(clock.now, from_iso(due[0]["due_at"]))
    run(sender)


def finished(store, account, minutes=0):
    task = tasks.submit(store, store.accounts.get(account.email), "Find a venue", now=NOW).task
    queue.claim(store, OP, task.task_id, now=NOW + timedelta(minutes=minutes))
    queue.complete(store, OP, task.task_id, "Done", now=NOW + timedelta(minutes=minutes + 1))
    return task


def test_each_event_is_told_once_and_its_signature_is_that_of_the_reference_library(
    store, account, there, sender, clock
):
    _, secret = make(store, there, account)
    task = finished(store, account)
    clock.now = NOW + timedelta(minutes=2)
    run(sender)
    run(sender)

    assert there.told == ["task.started", "task.completed"]
    for url, body, headers in there.got:
        at = clock.now.fromtimestamp(int(headers["webhook-timestamp"]), clock.now.tzinfo)
        assert url == URL
        assert headers["webhook-signature"] == Webhook(secret).sign(headers["webhook-id"], at, body)
    told = json.loads(there.got[1][1])
    assert told["data"]["task_id"] == task.task_id
    assert told["data"]["status"] == "completed"
    assert "Find a venue" not in there.got[1][1]


def test_what_is_put_off_in_the_moment_in_which_it_is_woken_is_sent_at_once(
    store, account, there, sender, clock, monkeypatch
):
    """A look reads the first as out, and writes when the first is done and its lane has been read."""
    make(store, there, account)
    finished(store, account)
    clock.now = NOW + timedelta(minutes=2)
    real, put_off = WebhookReads.list_lane, []

    def list_lane(self, lane):
        found = real(self, lane)
        if threading.current_thread().name.startswith("webhook") and found and not put_off:
            put_off.append(found[0])
            store.updates.webhooks.put_off(found[0], clock.now + timedelta(seconds=90))
        return found

    monkeypatch.setattr(WebhookReads, "list_lane", list_lane)
    run(sender)
    run(sender)

    assert len(put_off) == 1
    assert there.told == ["task.started", "task.completed"]


def test_who_has_no_endpoint_costs_no_write_and_who_wants_others_neither(store, account, there):
    finished(store, account)
    make(store, there, account, types=("credits.added",))
    finished(store, account)

    assert list(store._scan("WebhookDeliveries")) == []


def test_low_and_added_credits_are_told(store, there, sender, clock):
    account = make_account(store, credits=50, confirmed_at=NOW)
    make_operators(store, OP)
    make(store, there, account)
    tasks.submit(store, store.accounts.get(account.email), "One", now=NOW, idempotency_key="k")
    tasks.submit(store, store.accounts.get(account.email), "One", now=NOW, idempotency_key="k")
    tasks.submit(store, store.accounts.get(account.email), "Two", now=NOW)
    customers.adjust(store, OP, account.email, 500, "A gift", limit=5_000, idempotency_key="a", now=NOW)
    run(sender)

    assert sorted(there.told) == ["credits.added", "credits.low"]
    by_type = {json.loads(body)["type"]: json.loads(body)["data"] for _, body, _ in there.got}
    assert by_type["credits.low"] == {"credits": 40, "low_balance_threshold": 50}
    assert by_type["credits.added"]["credits_added"] == 500


def test_five_failures_then_an_answer_is_each_event_once_and_in_order(store, account, there, sender, clock):
    make(store, there, account)
    finished(store, account)
    there.answers.extend([500, Answer(9, error="refused"), 302, 404, 503])
    clock.now = NOW + timedelta(minutes=2)
    for _ in range(60):
        pass_time(store, clock, sender)
        if not waiting(store):
            break

    assert there.told == ["task.started"] * 6 + ["task.completed"]
    assert len(set(there.ids)) == 2
    assert clock.now - NOW < timedelta(hours=1)


def test_a_failing_event_of_one_task_holds_up_no_other_task(store, account, there, sender, clock):
    make(store, there, account)
    first, second = finished(store, account), finished(store, account, minutes=5)
    clock.now = NOW + timedelta(minutes=10)
    there.answers.append(500)
    for _ in range(6):
        pass_time(store, clock, sender)

    per_task = {task.task_id: [] for task in (first, second)}
    for _, body, _ in there.got:
        per_task[json.loads(body)["data"]["task_id"]].append(json.loads(body)["type"])
    failed_one = max(per_task.values(), key=len)
    assert failed_one == ["task.started", "task.started", "task.completed"]
    assert min(per_task.values(), key=len) == ["task.started", "task.completed"]


@pytest.mark.threat(162)
def test_two_senders_send_each_event_once(store, account, there, clock):
    make(store, there, account)
    for minutes in range(6):
        finished(store, account, minutes=minutes)
    clock.now = NOW + timedelta(minutes=20)
    both = [WebhookSender(store, SEALER, there, clock) for _ in range(2)]
    threads = [threading.Thread(target=lambda s=s: [run(s) for _ in range(5)]) for s in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(20):
        pass_time(store, clock, both[0])

    assert len(there.ids) == len(set(there.ids)) == 12
    order = {}
    for _, body, _ in there.got:
        order.setdefault(json.loads(body)["data"]["task_id"], []).append(json.loads(body)["type"])
    assert set(map(tuple, order.values())) == {("task.started", "task.completed")}


@pytest.mark.threat(162)
def test_a_killed_sender_loses_nothing_and_the_repeat_has_the_same_id(store, account, there, sender, clock):
    make(store, there, account)
    finished(store, account)
    clock.now = NOW + timedelta(minutes=2)
    there.answers.append(StoreUnavailable())  # as if the process had ended after its lease
    run(sender)
    assert there.told == ["task.started"]

    other = WebhookSender(store, SEALER, there, clock)
    run(other)
    assert there.told == ["task.started"]  # the lease stands
    for _ in range(4):
        pass_time(store, clock, other)

    assert there.told == ["task.started", "task.started", "task.completed"]
    assert there.ids[0] == there.ids[1]


def test_an_endpoint_that_fails_for_three_days_is_paused_with_a_mail_and_goes_on_when_it_is_resumed(
    store, account, there, sender, clock
):
    endpoint, _ = make(store, there, account)
    finished(store, account)
    there.answers.extend([500] * 1_000)
    clock.now = NOW + timedelta(minutes=2)
    for _ in range(400):
        pass_time(store, clock, sender)
        if store.webhooks.find_endpoint(endpoint.endpoint_id).paused:
            break
    run(sender)
    paused = store.webhooks.find_endpoint(endpoint.endpoint_id)
    tried = len(there.got)
    clock.now += timedelta(days=5)
    finished(store, account, minutes=60)
    run(sender)

    assert paused.paused_by == "failing"
    assert timedelta(days=3) <= paused.paused_at - NOW < timedelta(days=4)
    assert 15 < tried < 60
    assert len(there.got) == tried
    assert [mail.kind for mail in all_mails(store)].count("webhook_paused") == 1

    there.answers.clear()
    webhooks.resume(store, store.accounts.get(account.email), endpoint.endpoint_id, now=clock.now)
    for _ in range(10):
        pass_time(store, clock, sender)
    assert sorted(there.told[tried:]) == ["task.completed"] * 2 + ["task.started"] * 2
    assert waiting(store) == []


def test_what_was_held_is_sent_to_its_end_however_much_it_is(store, account, there, sender, clock, monkeypatch):
    monkeypatch.setattr(webhooks, "RESUMED_AT_ONCE", 2)
    monkeypatch.setattr("app.services.webhook_sender.PULLED", 2)
    endpoint, _ = make(store, there, account, types=("task.completed",))
    webhooks.pause(store, store.accounts.get(account.email), endpoint.endpoint_id, now=NOW)
    for minutes in range(8):
        finished(store, account, minutes=minutes)
    clock.now = NOW + timedelta(hours=1)
    run(sender)
    assert there.got == []
    assert all("due_shard" not in row for row in waiting(store))

    webhooks.resume(store, store.accounts.get(account.email), endpoint.endpoint_id, now=clock.now)
    for _ in range(10):
        pass_time(store, clock, sender)

    assert len(set(there.ids)) == len(there.ids) == 8
    assert not store.webhooks.find_endpoint(endpoint.endpoint_id).parked


def test_gone_pauses_at_once(store, account, there, sender, clock):
    endpoint, _ = make(store, there, account)
    there.answers.append(410)
    webhooks.test(store, store.accounts.get(account.email), endpoint.endpoint_id, now=NOW)
    run(sender)

    assert store.webhooks.find_endpoint(endpoint.endpoint_id).paused_by == "gone"


def test_both_secrets_sign_for_a_day(store, account, there, sender, clock):
    endpoint, old = make(store, there, account)
    owner = store.accounts.get(account.email)
    _, new = webhooks.rotate(store, SEALER, owner, endpoint.endpoint_id, now=NOW)
    for hours in (1, 25):
        clock.now = NOW + timedelta(hours=hours)
        webhooks.test(store, owner, endpoint.endpoint_id, now=clock.now)
        run(sender)

    signed = []
    for _, body, headers in there.got:
        at = NOW.fromtimestamp(int(headers["webhook-timestamp"]), NOW.tzinfo)
        by = [Webhook(secret).sign(headers["webhook-id"], at, body) for secret in (new, old)]
        signed.append([one in by for one in headers["webhook-signature"].split(" ")])
        assert by[0] in headers["webhook-signature"]
    assert signed == [[True, True], [True]]
    assert webhooks.reveal(store, SEALER, owner, endpoint.endpoint_id) == new
    rows = json.dumps(list(store._scan("WebhookEndpoints")) + list(store._scan("WebhookDeliveries")), default=str)
    assert old not in rows
    assert new not in rows
    assert "webhook-signature" not in rows


def test_a_delivery_is_shown_with_request_and_answer_and_sent_again_with_its_id(store, account, there, sender, clock):
    endpoint, _ = make(store, there, account)
    owner = store.accounts.get(account.email)
    there.answers.append(Answer(1500, 500, headers={"X-Why": "broken"}, body="ä\x00".encode()))
    sent = webhooks.test(store, owner, endpoint.endpoint_id, now=NOW)
    run(sender)
    _, first = webhooks.find_delivery(store, owner, endpoint.endpoint_id, sent.delivery_id)
    with pytest.raises(WrongState):
        webhooks.send_again(store, owner, endpoint.endpoint_id, sent.delivery_id, now=NOW)
    for _ in range(3):
        pass_time(store, clock, sender)
    webhooks.send_again(store, owner, endpoint.endpoint_id, sent.delivery_id, now=clock.now)
    run(sender)

    assert (first.state, first.answer, first.answer_headers) == ("waiting", "ä\ufffd", {"X-Why": "broken"})
    assert (first.last.status, first.last.took_ms) == (500, 1500)
    assert set(there.ids) == {sent.event_id}
    assert len(there.ids) == 3
    listed = webhooks.deliveries(store, owner, endpoint.endpoint_id, limit=10).items
    assert [(one.state, len(one.tries)) for one in listed] == [("delivered", 3)]
    bob = make_account(store, "bob@example.com", confirmed_at=NOW)
    with pytest.raises(NotFound):
        webhooks.find_delivery(store, bob, endpoint.endpoint_id, sent.delivery_id)
    for broken in ("", "x", "W10", "ü"):
        with pytest.raises(NotFound):
            webhooks.find_delivery(store, owner, endpoint.endpoint_id, broken)


@pytest.mark.threat(163)
def test_who_makes_an_endpoint_is_held_to_the_rules(store, account, there):
    with pytest.raises(InvalidInput, match="public internet"):
        make(store, there, account, url="https://inside.example/")
    with pytest.raises(InvalidInput):
        make(store, there, account, types=())
    with pytest.raises(InvalidInput):
        make(store, there, account, types=("task.invented",))
    make(store, there, account)
    with pytest.raises(InvalidInput, match="already"):
        make(store, there, account)
    for number in range(1, MAX_ENDPOINTS):
        make(store, there, account, url=f"{URL}/{number}")
    with pytest.raises(WrongState):
        make(store, there, account, url=f"{URL}/more")
    with pytest.raises(AddressUnconfirmed):
        make(store, there, make_account(store, "bob@example.com", confirmed_at=None))


@pytest.mark.threat(163)
def test_of_many_endpoints_made_at_once_no_more_than_ten_are(store, account, there):
    refused = []

    def one(number):
        try:
            make(store, there, account, url=f"{URL}/{number}")
        except WrongState:
            refused.append(number)

    for number in range(8):
        one(number)
    threads = [threading.Thread(target=one, args=(number,)) for number in range(8, 14)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(store.accounts.get(account.email).webhooks) == MAX_ENDPOINTS
    assert len(refused) == 4


@pytest.mark.threat(163)
@pytest.mark.parametrize("end", ["disable", "end_sessions", "remove"])
def test_an_endpoint_ends_and_what_waits_is_sent_no_more(store, account, there, sender, clock, end):
    endpoint, _ = make(store, there, account)
    finished(store, account)
    if end == "disable":
        customers.disable(store, OP, account.email, "Fraud", now=NOW)
    elif end == "end_sessions":
        customers.end_sessions(store, OP, account.email, now=NOW)
    else:
        webhooks.remove(store, store.accounts.get(account.email), endpoint.endpoint_id, now=NOW)
    clock.now = NOW + timedelta(minutes=2)
    for _ in range(3):
        pass_time(store, clock, sender)

    assert there.got == []
    assert waiting(store) == []
    with pytest.raises(NotFound):
        webhooks.find_own(store, store.accounts.get(account.email), endpoint.endpoint_id)


@pytest.mark.threat(163)
def test_another_password_by_mail_ends_them_and_a_deletion_erases_them(store, account, there, sender):
    from app.services.links import RESET, Links
    from app.services.passwords import Passwords

    links, passwords = Links(("key",), "http://dashboard.test"), Passwords(4)
    make(store, there, account)
    accounts.ask_for_link(store, account.email, now=NOW)
    with_link = store.accounts.get(account.email)
    purpose = RESET if "reset" in with_link.link_nonces else "set_password"
    token = links.url(with_link, purpose).rpartition("/")[2]
    accounts.set_password(store, passwords, links, token, "a long new word", purpose=purpose, now=NOW)
    assert store.accounts.get(account.email).webhooks == {}

    endpoint, _ = make(store, there, account)
    webhooks.test(store, store.accounts.get(account.email), endpoint.endpoint_id, now=NOW)
    run(sender)
    accounts.delete(store, passwords, store.accounts.get(account.email), "a long new word", now=NOW)
    assert store.accounts.get(account.email).webhooks == {}
    assert list(store._scan("WebhookEndpoints")) == []
    assert list(store._scan("WebhookDeliveries")) == []


def test_a_revoked_key_is_told(store, account, there, sender):
    make(store, there, account)
    owner = store.accounts.get(account.email)
    wishes = KeyWishes("Shop", frozenset({TASKS_READ}))
    key, _ = api_keys.make(store, owner, wishes, Session("a" * 32, BROWSER, NOW, NOW), now=NOW)
    for _ in range(2):
        api_keys.revoke(store, store.accounts.get(account.email), key.key_id, now=NOW)
    run(sender)

    assert [json.loads(body)["data"] for _, body, _ in there.got] == [{"key_id": key.key_id, "name": "Shop"}]


@pytest.mark.threat(164)
def test_a_crowd_of_one_account_hides_nobody_elses_events(store, account, there, sender, clock, monkeypatch):
    monkeypatch.setattr("app.services.webhook_sender.OF_A_SHARD", 3)
    crowded, _ = make(store, there, account)
    bob = make_account(store, "bob@example.com", confirmed_at=NOW)
    bobs, _ = make(store, there, bob, url="https://bob.example/")
    with store.transaction() as tx:
        for _ in range(60):
            tx.webhooks.promise(rules.test_event(NOW), crowded.endpoint_id)
    webhooks.test(store, store.accounts.get(bob.email), bobs.endpoint_id, now=NOW + timedelta(seconds=1))
    clock.now = NOW + timedelta(seconds=2)
    stuck, over = [], threading.Event()
    plain = there.post

    def slow(target, body, headers):
        if "bob" not in target.url:
            stuck.append(target.url)
            over.wait(20)
        return plain(target, body, headers)

    there.post = slow
    for _ in range(12):
        sender.look()
    for _ in range(100):
        if any("bob" in url for url, _, _ in there.got):
            break
        over.wait(0.05)
    bobs_came = [url for url, _, _ in there.got if "bob" in url]
    over.set()
    sender.finish()

    assert len(stuck) == 2
    assert bobs_came == ["https://bob.example/"]


def test_over_tls_to_a_real_receiver_what_fails_five_times_comes_once_and_verifies(store, account, clock):
    receiver = Receiver(answer=lambda handler, number: say(handler, 200 if number > 5 else 500, b"no"))
    trial = Receivers(Trial(frozenset({receiver.authority_name}), str(receiver.authority)))
    sender = WebhookSender(store, SEALER, trial, clock)
    _, secret = make(store, trial, account, url=receiver.url)
    finished(store, account)
    clock.now = NOW + timedelta(minutes=2)
    try:
        for _ in range(40):
            pass_time(store, clock, sender)
    finally:
        receiver.close()

    assert len(receiver.got) == 7
    assert [json.loads(body)["type"] for _, body in receiver.got[5:]] == ["task.started", "task.completed"]
    for headers, body in receiver.got:
        at = NOW.fromtimestamp(int(headers["webhook-timestamp"]), NOW.tzinfo)
        assert headers["webhook-signature"] == Webhook(secret).sign(headers["webhook-id"], at, body.decode())


@pytest.mark.threat(160)
def test_an_endpoint_that_was_public_when_it_was_made_is_asked_again_at_each_connect(store, account, there, clock):
    _, _ = make(store, there, account)
    finished(store, account)
    clock.now = NOW + timedelta(minutes=2)
    inside = WebhookSender(store, SEALER, Receivers(resolve=lambda host, port: ["169.254.169.254"]), clock)
    run(inside)

    tried = [row for row in store._scan("WebhookDeliveries") if row["attempts"]]
    assert [row["tries"][0]["error"] for row in tried] == [NOT_PUBLIC]


def test_the_code_of_the_docs_knows_what_is_ours(store, account, there, clock):
    """/docs: as it stands there."""
    made: dict = {}
    exec(RECEIVER, made)
    clock.now = utcnow()
    endpoint, secret = make(store, there, account)
    webhooks.test(store, store.accounts.get(account.email), endpoint.endpoint_id, now=clock.now)
    run(WebhookSender(store, SEALER, there, clock))
    _, body, headers = there.got[0]
    is_ours = made["is_ours"]

    assert is_ours(secret, headers, body.encode())
    assert not is_ours(secret, headers, body.encode() + b" ")
    assert not is_ours(rules.new_secret(), headers, body.encode())
    assert not is_ours(secret, headers | {"webhook-timestamp": "1"}, body.encode())
    assert not is_ours(secret, headers | {"webhook-timestamp": "²"}, body.encode())
    assert is_ours(secret, headers | {"webhook-signature": f"v1,ä {headers['webhook-signature']}"}, body.encode())
    assert Webhook(secret).verify(body, headers)["type"] == "webhook.test"


def test_what_nobody_takes_is_told_by_how_long_it_has_been_due(store, account, there, sender, clock):
    endpoint, _ = make(store, there, account)
    assert overdue_webhook(store, NOW) is None
    webhooks.test(store, store.accounts.get(account.email), endpoint.endpoint_id, now=NOW)
    clock.now = NOW + timedelta(hours=1)
    assert overdue_webhook(store, clock.now) == NOW
    there.answers.append(500)
    run(sender)

    assert overdue_webhook(store, clock.now) is None
