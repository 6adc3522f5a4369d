"""The outbox: promised once, leased by one sender at a time, tried again until it is sent."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from app.domain.mails import Mail
from tests.support import NOW


def promise(store, mail_id: str = "m-1", **attributes) -> Mail:
    mail = Mail(mail_id, "confirm", "ada@example.com", NOW, **attributes)
    with store.transaction() as tx:
        tx.mails.enqueue(mail)
    return store.mails.find(mail_id)


def test_a_mail_whose_id_is_taken_stands_in_nobodys_way(any_store):
    promise(any_store)

    promise(any_store)

    assert len(any_store.mails.list_due(NOW, limit=10)) == 1


def test_due_mails_come_oldest_first_and_no_sooner(any_store):
    promise(any_store, "later", due_at=NOW + timedelta(minutes=5))
    promise(any_store, "second", due_at=NOW - timedelta(seconds=1))
    promise(any_store, "first", due_at=NOW - timedelta(minutes=1))

    assert [mail.mail_id for mail in any_store.mails.list_due(NOW)] == ["first", "second"]


def test_a_leased_mail_is_not_due_until_the_lease_ends(any_store):
    mail = promise(any_store)

    assert any_store.updates.mails.lease(mail, NOW + timedelta(minutes=1))

    assert any_store.mails.list_due(NOW) == []
    (again,) = any_store.mails.list_due(NOW + timedelta(minutes=1))
    assert again.attempts == 1


def test_only_one_sender_gets_the_lease(store):
    mail = promise(store)

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: store.updates.mails.lease(mail, NOW + timedelta(minutes=1)), range(8)))

    assert got.count(True) == 1


def test_a_sent_mail_leaves_the_queue_and_expires_one_day(any_store):
    mail = promise(any_store)
    any_store.updates.mails.lease(mail, NOW + timedelta(minutes=1))

    any_store.updates.mails.mark_sent(mail, NOW)

    assert any_store.mails.list_due(NOW + timedelta(days=1)) == []
    assert any_store.mails.find("m-1").sent_at == NOW
    row = any_store._get("Outbox", {"mail_id": "m-1"})
    assert row["expires_at"] == int((NOW + timedelta(days=90)).timestamp())
    assert "queue" not in row


def test_an_unsent_mail_is_due_again_and_given_up_at_the_end(any_store):
    mail = promise(any_store)

    any_store.updates.mails.mark_unsent(mail, "Throttled", NOW + timedelta(minutes=2), give_up=False)
    (due,) = any_store.mails.list_due(NOW + timedelta(minutes=2))
    any_store.updates.mails.mark_unsent(mail, "Throttled", NOW, give_up=True)

    assert due.last_error == "Throttled"
    assert any_store.mails.list_due(NOW + timedelta(days=1)) == []
    assert [failed.mail_id for failed in any_store.mails.list_failed(limit=5).items] == ["m-1"]
    with any_store.transaction() as tx:
        tx.mails.requeue("m-1", NOW)
    assert [due.mail_id for due in any_store.mails.list_due(NOW)] == ["m-1"]


def test_mails_of_a_person_are_listed_newest_first(any_store):
    promise(any_store, "m-1")
    with any_store.transaction() as tx:
        tx.mails.enqueue(Mail("m-2", "reset", "ada@example.com", NOW + timedelta(seconds=1), {"n": 1}))
        tx.mails.enqueue(Mail("m-3", "reset", "bob@example.com", NOW))

    assert [mail.mail_id for mail in any_store.mails.list_to("ada@example.com", limit=5).items] == ["m-2", "m-1"]
    assert dict(any_store.mails.find("m-2").context) == {"n": 1}
