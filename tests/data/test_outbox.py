"""The outbox: promised once, leased by one sender at a time, tried again until it is sent."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from app.data.codec import encode_item
from app.data.migrations import MAILS_OF_BEFORE, Migrations
from app.data.outbox import MAIL, SOURCES, one_key
from app.domain.errors import BadCursor
from app.domain.mails import DUE_SHARDS, Mail, due_shard
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


# Shards


@pytest.fixture(params=[True, False], ids=["one key, too", "shards alone"])
def either(request, monkeypatch) -> bool:
    """Beside the release before, and once none of it runs any more."""
    monkeypatch.setattr(one_key, "kept", request.param)
    return request.param


def of_before(store, mail_id: str, **more) -> None:
    """A mail as the release before promises it."""
    row = MAIL.row(Mail(mail_id, "confirm", "ada@example.com", NOW, due_at=NOW)) | {"queue": "due"} | more
    row.pop("due_shard")
    store.client.put_item(TableName=store.prefix + "Outbox", Item=encode_item(row))


def stored(store, mail_id: str) -> dict:
    return store._get("Outbox", {"mail_id": mail_id})


def test_mails_stand_in_all_shards_and_each_under_its_own(moto_store, either):
    for number in range(60):
        promise(moto_store, f"m-{number}")

    apart = [{mail.mail_id for mail in due.mails} for due in moto_store.mails.list_due_apart(NOW, limit=60)]

    shards, under_one_key = apart[:DUE_SHARDS], apart[DUE_SHARDS]
    assert all(shards), "one is hot if another has none"
    for (_, _, name), found in zip(SOURCES, shards, strict=False):
        assert found == {f"m-{number}" for number in range(60) if due_shard(f"m-{number}") == name}
    assert len(under_one_key) == (60 if either else 0)
    assert len(moto_store.mails.list_due(NOW, limit=100)) == 60


def test_a_mail_goes_its_whole_way_in_its_shard(any_store, either):
    mail = promise(any_store)
    assert stored(any_store, "m-1").get("queue") == ("due" if either else None)
    assert any_store.updates.mails.lease(mail, NOW + timedelta(minutes=1))
    assert not any_store.updates.mails.lease(mail, NOW + timedelta(minutes=1))
    any_store.updates.mails.mark_unsent(mail, "no", NOW + timedelta(minutes=2), give_up=False)
    assert [due.mail_id for due in any_store.mails.list_due(NOW + timedelta(minutes=2))] == ["m-1"]

    any_store.updates.mails.mark_unsent(mail, "no", NOW, give_up=True)
    assert any_store.mails.list_due(NOW + timedelta(days=1)) == []
    with any_store.transaction() as tx:
        tx.mails.requeue("m-1", NOW, if_failed=True)
    (again,) = any_store.mails.list_due(NOW)
    any_store.updates.mails.mark_sent(again, NOW)

    assert any_store.mails.list_due(NOW + timedelta(days=1)) == []
    assert not {"queue", "due_shard"} & stored(any_store, "m-1").keys()
    assert not any_store.updates.mails.lease(again, NOW + timedelta(minutes=1)), "it is sent"


def test_a_mail_of_the_release_before_is_found_and_has_a_shard_from_its_lease_on(any_store, either):
    of_before(any_store, "m-1")

    (mail,) = any_store.mails.list_due(NOW)
    assert any_store.updates.mails.lease(mail, NOW + timedelta(minutes=1))

    assert stored(any_store, "m-1")["due_shard"] == due_shard("m-1")
    assert [waits.mail_id for waits in any_store.mails.list_waiting(limit=5).items] == ["m-1"]


@pytest.mark.parametrize(
    "ended",
    [
        {"sent_at": "2026-11-22T12:00:00.000000Z", "expires_at": 1_800_000_000, "queue": None},
        {"last_error": "Not sent: a newer mail has the same link.", "expires_at": 1_800_000_000, "queue": None},
        {"last_error": "refused", "queue": "failed"},
    ],
    ids=["sent", "dropped", "given up"],
)
def test_what_the_release_before_ends_is_not_sent_again_and_leaves_its_shard(any_store, ended):
    """It knows of no shard, so it leaves the mail in it."""
    mail = promise(any_store)
    any_store._update("Outbox", {"mail_id": "m-1"}, set=ended)

    apart = any_store.mails.list_due_apart(NOW)
    assert [mail for due in apart for mail in due.mails] == []
    assert [left for due in apart for left in due.left] == ["m-1"]
    assert not any_store.updates.mails.lease(mail, NOW + timedelta(minutes=1))
    assert any_store.mails.list_waiting(limit=5).items == []

    any_store.updates.mails.leave_shard("m-1")

    assert [left for due in any_store.mails.list_due_apart(NOW) for left in due.left] == []
    assert "due_shard" not in stored(any_store, "m-1")


def test_a_mail_that_is_due_does_not_leave_its_shard(any_store, either):
    promise(any_store)

    any_store.updates.mails.leave_shard("m-1")

    assert [mail.mail_id for mail in any_store.mails.list_due(NOW)] == ["m-1"]


def test_many_that_were_left_in_a_shard_stand_in_nobodys_way(moto_store):
    shard = due_shard("m-0")
    ids = [mail_id for number in range(400) if due_shard(mail_id := f"m-{number}") == shard]
    for mail_id in ids:
        promise(moto_store, mail_id)
    for mail_id in ids[:-1]:
        moto_store._update("Outbox", {"mail_id": mail_id}, set={"queue": "failed"})

    assert [mail.mail_id for mail in moto_store.mails.list_due(NOW, limit=5)] == ids[-1:]


def test_what_waits_is_listed_page_by_page_across_shards(moto_store, either):
    """Also where many are due at the same moment: each once, none left out."""
    for number in range(40):
        promise(moto_store, f"m-{number:02}", due_at=NOW + timedelta(minutes=number // 15))
    of_before(moto_store, "old")
    found, cursor = [], None
    while True:
        page = moto_store.mails.list_waiting(limit=7, cursor=cursor)
        found += page.items
        if (cursor := page.next_cursor) is None:
            break

    assert sorted(mail.mail_id for mail in found) == [f"m-{number:02}" for number in range(40)] + ["old"]
    assert [mail.due_at for mail in found] == sorted(mail.due_at for mail in found)
    with pytest.raises(BadCursor):
        moto_store.mails.list_waiting(limit=7, cursor="WzEsMl0")


def test_mails_of_before_get_their_shard_by_a_migration(any_store):
    migrations = Migrations(any_store.client, any_store.prefix)
    of_before(any_store, "waits")
    of_before(any_store, "failed", queue="failed")
    promise(any_store, "new")

    assert migrations.count(MAILS_OF_BEFORE) == 1
    assert migrations.run(MAILS_OF_BEFORE, NOW).changed == 1

    assert migrations.count(MAILS_OF_BEFORE) == 0
    assert stored(any_store, "waits")["due_shard"] == due_shard("waits")
    assert "due_shard" not in stored(any_store, "failed")
