"""The record of what happened, the queue of its deliveries, and lookups that answer as the API does."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import Any

from . import objects
from .refusals import missing_object
from .store import Store, Stored

Request = Mapping[str, Any]
NO_REQUEST: Request = {}


class Events:
    """Events are stored in the transaction of the change they tell of."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def emit(
        self,
        kind: str,
        thing: Mapping[str, Any],
        request: Request = NO_REQUEST,
        previous: Mapping[str, Any] | None = None,
    ) -> str:
        """Record an event with a snapshot of its object, and put its delivery in the queue."""
        body = objects.event(kind, copy.deepcopy(dict(thing)), previous or {}, request)
        with self.store.transaction():
            self.store.add("event", body)
            self.deliver(body["id"])
        return str(body["id"])

    def deliver(self, event_id: str, *, forced: bool = False) -> int:
        """Queue one delivery; a forced one goes out whatever the switches say. Its id."""
        mode = self.store.setting("webhooks", {"mode": "deliver", "seconds": 0})
        state, due = "queued", time.time()
        if not forced and mode["mode"] == "withhold":
            state = "withheld"
        elif not forced and mode["mode"] == "delay":
            due += mode["seconds"]
        return self.store.write(
            "INSERT INTO deliveries (event, state, due, forced, created) VALUES (?, ?, ?, ?, ?)",
            event_id,
            state,
            due,
            int(forced),
            time.time(),
        )

    def repeat(self, event_id: str, *, times: int = 1, as_new: bool = False) -> list[str]:
        """Send an event again, or its fact once more under a new event id."""
        with self.store.transaction():
            stored = self.required("event", event_id)
            if not as_new:
                for _ in range(times):
                    self.deliver(event_id, forced=True)
                return [event_id]
            made = []
            for _ in range(times):
                twin = {**stored.body, "id": objects.new_id("evt")}  # told twice of one moment, as Stripe may
                self.store.add("event", twin)
                self.deliver(twin["id"], forced=True)
                made.append(str(twin["id"]))
            return made

    def required(self, kind: str, object_id: str) -> Stored:
        stored = self.store.get(kind, object_id)
        if stored is None:
            raise missing_object({"session": "checkout.session"}.get(kind, kind), object_id)
        return stored
