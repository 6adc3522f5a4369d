"""Access patterns of the tables WebhookEndpoints and WebhookDeliveries: where events go, and what waits for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

from app.domain.clock import to_iso
from app.domain.errors import NotFound
from app.domain.paging import Page, each
from app.domain.webhooks import KEPT_FOR, SHARDS, Delivery, Endpoint, Event, Try, delivery_of, due_shard

from .base import Base, fits_a_key, in_parts
from .client import Stale
from .codec import decode_item
from .records import Codec
from .tables import (
    DELIVERY_DUE_INDEX,
    DELIVERY_LOG_INDEX,
    DELIVERY_WAITING_INDEX,
    ENDPOINT_INDEX,
    ENDPOINT_PAUSED_INDEX,
    WEBHOOK_DELIVERIES,
    WEBHOOK_ENDPOINTS,
)
from .threads import SHARDS as POOL
from .threads import side_by_side
from .transaction import Writes

ENDPOINTS, DELIVERIES = WEBHOOK_ENDPOINTS.suffix, WEBHOOK_DELIVERIES.suffix
TRY = Codec(Try)
ENDPOINT = Codec(Endpoint)
DELIVERY = Codec(Delivery, inner=(TRY,), always={"attempts"})
WAITS = "attribute_exists(#waiting)"


class WebhookReads(Base):
    def find_endpoints(self, endpoint_ids: Iterable[str]) -> list[Endpoint]:
        """Those that are there, in the order asked for."""
        ids = list(endpoint_ids)
        rows = self._get_many([(ENDPOINTS, {"endpoint_id": one}) for one in ids]) if ids else []
        return [ENDPOINT.record(row) for row in rows if row]

    def find_endpoint(self, endpoint_id: str) -> Endpoint | None:
        row = self._get(ENDPOINTS, {"endpoint_id": endpoint_id})
        return ENDPOINT.record(row) if row else None

    def ids_of(self, account_id: str) -> Iterator[str]:
        """Of every endpoint that has a row, also of those that the account names no more; one may be missing that was
        made this moment.
        """
        return each(
            lambda cursor: self._page(
                ENDPOINTS,
                ENDPOINT_INDEX,
                ("account_id", account_id),
                key_names=("endpoint_id",),
                make=lambda row: str(row["endpoint_id"]),
                limit=100,
                cursor=cursor,
            )
        )

    def find(self, lane: str, place: str) -> Delivery | None:
        if not (fits_a_key(lane) and fits_a_key(place)):
            return None
        row = self._get(DELIVERIES, {"lane": lane, "place": place})
        return DELIVERY.record(row) if row else None

    def page(self, endpoint_id: str, *, limit: int, cursor: str | None = None) -> Page[Delivery]:
        """Of one endpoint, newest first: the index says which, the rows what they are now. Raises BadCursor."""
        page = self._page(
            DELIVERIES,
            DELIVERY_LOG_INDEX,
            ("endpoint_id", endpoint_id),
            key_names=("created_at", "lane", "place"),
            make=_key,
            limit=limit,
            cursor=cursor,
        )
        return Page(self._rows(page.items), page.next_cursor)

    def list_due(self, now: datetime, *, limit: int = 50) -> list[Delivery]:
        """Of each shard the oldest, as they are now, by when they are due."""
        reads = [partial(self._due_of, f"due#{number}", to_iso(now), limit) for number in range(SHARDS)]
        keys = [key for found in side_by_side(POOL, reads) for key in found]
        until = to_iso(now)
        due = [one for one in self._rows(keys) if one.waiting and one.due_shard and one.due_at]
        return sorted(
            (one for one in due if one.due_at and to_iso(one.due_at) <= until), key=lambda one: one.due_at or now
        )

    def _due_of(self, shard: str, until: str, limit: int) -> list[tuple[str, str]]:
        between = ("due_at", "0", until)
        query = self._query(
            DELIVERIES, DELIVERY_DUE_INDEX, ("due_shard", shard), limit, None, between, newest_first=False
        )
        return [_key(row) for row in self._found(query)]

    def count_due(self, now: datetime, *, most: int) -> int:
        """How many are due, counted up to `most` in each shard."""
        between = ("due_at", "0", to_iso(now))

        def count(number: int) -> int:
            return self._count(DELIVERIES, DELIVERY_DUE_INDEX, ("due_shard", f"due#{number}"), most, between)

        return sum(side_by_side(POOL, [partial(count, number) for number in range(SHARDS)]))

    def count_paused(self, by: str, *, most: int) -> int:
        """How many endpoints are paused for this reason, counted up to `most`."""
        return self._count(ENDPOINTS, ENDPOINT_PAUSED_INDEX, ("paused_by", by), most)

    def _count(
        self,
        table: str,
        index: str,
        hash_key: tuple[str, str],
        most: int,
        between: tuple[str, str, str] | None = None,
    ) -> int:
        query = self._query(table, index, hash_key, most, None, between, newest_first=False)
        return int(self._query_from({**query, "Select": "COUNT"}, theirs=False)["Count"])

    def list_lane(self, lane: str) -> list[Delivery]:
        """What waits in a lane, in its order: the table itself, so that nothing is missed."""
        return sorted((one for one in self._of_lane(lane) if one.waiting), key=lambda one: one.place)

    def _of_lane(self, lane: str) -> Iterator[Delivery]:
        query = self._query(DELIVERIES, "", ("lane", lane), 100, None, None, newest_first=False)
        query["ConsistentRead"] = True
        while True:
            answer = self._query_from(query, theirs=False)
            yield from (DELIVERY.record(decode_item(item)) for item in answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return
            query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def list_waiting(self, endpoint_id: str, *, limit: int) -> list[Delivery]:
        """The oldest that wait for an endpoint, due or held."""
        query = self._query(
            DELIVERIES, DELIVERY_WAITING_INDEX, ("waiting", endpoint_id), limit, None, None, newest_first=False
        )
        return [one for one in self._rows([_key(row) for row in self._found(query)]) if one.waiting]

    def _found(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        return [decode_item(item) for item in self._query_from(query, theirs=False)["Items"]]

    def _rows(self, keys: list[tuple[str, str]]) -> list[Delivery]:
        found = []
        for some in in_parts("\n".join(key) for key in keys):
            parts = [one.split("\n", 1) for one in some]
            rows = self._get_many([(DELIVERIES, {"lane": lane, "place": place}) for lane, place in parts])
            found += [DELIVERY.record(row) for row in rows if row]
        return found


class WebhookUpdates(Base):
    def lease(self, delivery: Delivery, until: datetime) -> bool:
        """Take a due delivery for this sender until then; False if another one has it."""
        return self._while_seen(delivery, set={"due_at": to_iso(until)}, add={"attempts": 1})

    def put_off(self, delivery: Delivery, due_at: datetime) -> None:
        """Without a try of it. Somebody else may have taken it meanwhile."""
        self._while_seen(delivery, set={"due_at": to_iso(due_at)})

    def park(self, delivery: Delivery) -> None:
        """It waits for its endpoint to go on, and is not looked at before."""
        self._while_seen(delivery, set={"due_shard": None})

    def _while_seen(self, delivery: Delivery, **write: Any) -> bool:
        try:
            self._update(
                DELIVERIES,
                _key_of(delivery),
                condition=f"#due_at = :seen AND {WAITS}",
                seen=to_iso(delivery.due_at) if delivery.due_at else "",
                **write,
            )
        except Stale:
            return False
        return True

    def make_due(self, delivery: Delivery, now: datetime) -> bool:
        """Now. False where it does not wait any more as it was read."""
        return self._while_seen(delivery, set={"due_at": to_iso(now), "due_shard": due_shard(delivery.lane)})

    def note(self, tried: Delivery, *, due_at: datetime | None) -> None:
        """What came of a try; without `due_at` it waits no more. What has gone since (by its TTL) is not made anew."""
        values = DELIVERY.as_set(replace(tried, due_at=due_at) if due_at else tried)
        kept = ("tries", "headers", "answer", "answer_headers", "sent_at", "failed_at", "dropped", "attempts")
        ended: dict[str, Any] = {"waiting": None, "due_shard": None} if due_at is None else {"due_at": to_iso(due_at)}
        with suppress(Stale):
            self._update(
                DELIVERIES,
                _key_of(tried),
                set={name: values[name] for name in kept} | ended,
                condition="attribute_exists(lane)",
            )

    def change_endpoint(
        self, endpoint: Endpoint, *, add: Mapping[str, int] | None = None, **changes: Any
    ) -> Endpoint | None:
        """None where it is gone."""
        try:
            row = self._update(
                ENDPOINTS,
                {"endpoint_id": endpoint.endpoint_id},
                set=ENDPOINT.attributes(changes),
                add=dict(add or {}),
                condition="attribute_exists(endpoint_id)",
            )
        except Stale:
            return None
        return ENDPOINT.record(row)

    def remove_endpoint(self, endpoint_id: str) -> None:
        """Of one that no account names any more. Safe to repeat."""
        writes = Writes(self.client, self.prefix)
        writes.delete(ENDPOINTS, {"endpoint_id": endpoint_id}, condition=None, failure=Stale)
        writes.commit()

    def remove_deliveries(self, endpoint_id: str, *, limit: int) -> int:
        """What was sent to an endpoint, and what waits, up to `limit`: how many. Safe to repeat."""
        reads = WebhookReads(self.client, self.prefix)
        removed = 0
        for one in list(islice(each(lambda cursor: reads.page(endpoint_id, limit=100, cursor=cursor)), limit)):
            writes = Writes(self.client, self.prefix)
            writes.delete(DELIVERIES, _key_of(one), condition=None, failure=Stale)
            writes.commit()
            removed += 1
        return removed


class WebhookWrites(Writes):
    def promise(self, event: Event, endpoint_id: str) -> None:
        """Beside the fact that the event tells of, which happens once by a condition of its own."""
        self.put(DELIVERIES, DELIVERY.row(delivery_of(event, endpoint_id)), condition=None, failure=Stale)

    def add_endpoint(self, endpoint: Endpoint) -> None:
        condition = "attribute_not_exists(endpoint_id)"
        self.put(ENDPOINTS, ENDPOINT.row(endpoint), condition=condition, failure=Stale)

    def change_endpoint(self, endpoint: Endpoint, **changes: Any) -> None:
        """What its owner changes, on what was read. Raises Stale."""
        self.update(
            ENDPOINTS,
            {"endpoint_id": endpoint.endpoint_id},
            set=ENDPOINT.attributes(changes),
            add={"version": 1},
            condition="#version = :version" if endpoint.version else "attribute_not_exists(version)",
            **({"version": endpoint.version} if endpoint.version else {}),
        )

    def pause_endpoint(self, endpoint: Endpoint, by: str, now: datetime) -> None:
        """Raises Stale where it is paused already, or gone."""
        self.update(
            ENDPOINTS,
            {"endpoint_id": endpoint.endpoint_id},
            set={"paused_at": to_iso(now), "paused_by": by, "parked": True},
            add={"version": 1},
            condition="attribute_exists(endpoint_id) AND attribute_not_exists(paused_at)",
        )

    def end_endpoint(self, endpoint_id: str, now: datetime) -> None:
        """Its account names it no more; the row goes by itself, after the last of its deliveries."""
        expires_at = int((now + KEPT_FOR + timedelta(days=2)).timestamp())
        going = {"expires_at": expires_at, "paused_at": None, "paused_by": None}  # nobody counts it among the paused
        self.update(ENDPOINTS, {"endpoint_id": endpoint_id}, set=going)

    def send_again(self, delivery: Delivery, now: datetime) -> None:
        """As new: its tries begin again. Raises NotFound where its time is over."""
        self.update(
            DELIVERIES,
            _key_of(delivery),
            set={
                "due_at": to_iso(now),
                "queued_at": to_iso(now),
                "waiting": delivery.endpoint_id,
                "due_shard": due_shard(delivery.lane),
                "attempts": 0,
                "expires_at": int((now + KEPT_FOR + timedelta(days=1)).timestamp()),
            },
            remove=["sent_at", "failed_at", "dropped"],
            condition="attribute_exists(lane)",
            failure=NotFound("There is no such delivery."),
        )


def _key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["lane"], row["place"]


def _key_of(delivery: Delivery) -> dict[str, str]:
    return {"lane": delivery.lane, "place": delivery.place}
