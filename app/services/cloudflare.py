"""Where a zone at Cloudflare differs from the table, and putting it right, which can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from app.domain.cloudflare import (
    SETTINGS,
    WORKER,
    Difference,
    Rules,
    Setting,
    fits,
    merged,
    rules_fit,
    rules_of,
)
from app.gateways.cloudflare import NotThere

DEPLOY = "npx wrangler deploy in deploy/cloudflare/worker"


class Api(Protocol):
    """app/gateways/cloudflare.py."""

    def plan(self) -> str: ...

    def get(self, path: str) -> Any: ...

    def set(self, method: str, path: str, body: Mapping[str, Any]) -> None: ...


class Step:
    """One thing to look at and to put right. Each raises what the API does."""

    def __init__(self, name: str, look: Callable[[], Difference | None], mend: Callable[[], None] | None) -> None:
        self.name = name
        self.look = look
        self._mend = mend

    def mend(self) -> None:
        """Only after a look that found a difference without `by_hand`."""
        assert self._mend is not None  # nosec B101
        self._mend()


def settings(api: Api) -> Iterator[Step]:
    for setting in SETTINGS:
        yield _setting(api, setting)


def rules(api: Api, host: str) -> Iterator[Step]:
    """Asks for the plan first, since what can be said depends on it."""
    for each in rules_of(host, api.plan()):
        yield _rules(api, each)


def way(api: Api, host: str, origin: str = "") -> Iterator[Step]:
    """How a visitor gets here: the record, which leads to `origin` where that is said, and the Worker's route."""
    yield _record(api, host, origin.rstrip("."))
    yield Step("Worker route", lambda: _route(api, host), None)


def _setting(api: Api, setting: Setting) -> Step:
    def look() -> Difference | None:
        try:
            found = api.get(setting.path)
        except NotThere:
            found = {}  # no such setting on this plan, or no more: it is off
            if not fits(found, setting.wanted):
                raise
        if any(fits(found, wanted) for wanted in (setting.wanted, *setting.also)):
            return None
        by_hand = ""
        if isinstance(found, Mapping) and found.get("editable") is False:
            by_hand = "Cloudflare lets nobody change it on this plan"
        return Difference(setting.name, _shown(found, setting.wanted), _words(setting.wanted), setting.why, by_hand)

    return Step(setting.name, look, lambda: api.set(setting.method, setting.path, setting.wanted))


def _rules(api: Api, rules: Rules) -> Step:
    def found() -> list[Mapping[str, Any]]:
        try:
            return (api.get(rules.path) or {}).get("rules") or []
        except NotThere:
            return []  # nobody has made one in this phase yet

    def look() -> Difference | None:
        there = found()
        if rules_fit(rules, there):
            return None
        names = ", ".join(str(rule.get("description") or rule.get("ref")) for rule in there) or "none"
        wanted = ", ".join(str(rule["description"]) for rule in rules.rules)
        place = "last" if rules.last else "first"
        return Difference(rules.name, names, f"{wanted}, whole and {place}", rules.why)

    return Step(rules.name, look, lambda: api.set("PUT", rules.path, {"rules": merged(rules, found())}))


def _record(api: Api, host: str, origin: str) -> Step:
    def records() -> list[Mapping[str, Any]]:
        found = api.get(f"/dns_records?name={host}")
        return [record for record in found if record.get("type") in ("A", "AAAA", "CNAME")]

    def leads_there(record: Mapping[str, Any]) -> bool:
        return not origin or str(record.get("content", "")).rstrip(".").lower() == origin.lower()

    def look() -> Difference | None:
        there = records()
        if there and all(record.get("proxied") and leads_there(record) for record in there):
            return None
        is_ = ", ".join(
            f"{record['type']} {record.get('content')}{'' if record.get('proxied') else ', not proxied'}"
            for record in there
        )
        by_hand = ""
        if not there and not origin:
            by_hand = "say where it leads: --origin <the output Origin of the service stack>"
        elif origin and (len(there) > 1 or (there and there[0]["type"] != "CNAME")):
            by_hand = f"replace these records by one CNAME to {origin}, proxied"
        wanted = f"CNAME {origin}, proxied" if origin else "proxied"
        return Difference("DNS record", is_ or "none", wanted, "nobody learns the load balancer's address", by_hand)

    def mend() -> None:
        there = records()
        leads = {"content": origin} if origin else {}
        for record in there:
            api.set("PATCH", f"/dns_records/{record['id']}", {"proxied": True, **leads})
        if not there:
            made = {"type": "CNAME", "name": host, "content": origin, "proxied": True, "ttl": 1}
            api.set("POST", "/dns_records", made)

    return Step("DNS record", look, mend)


def _route(api: Api, host: str) -> Difference | None:
    routes = {route.get("pattern"): route.get("script") or "no Worker" for route in api.get("/workers/routes") or []}
    pattern = f"{host}/*"
    if routes.get(pattern) == WORKER:
        return None
    why = "the Worker signs whose a request is, and says in words when the app is away"
    return Difference("Worker route", routes.get(pattern, "none"), f"{pattern} to {WORKER}", why, DEPLOY)


def _shown(found: Any, wanted: Any) -> str:
    """Only what is asked about: the whole would hold ids and times."""
    return _words(_picked(found, wanted))


def _picked(found: Any, wanted: Any) -> Any:
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return {key: _picked(found.get(key), value) for key, value in wanted.items()}
    if isinstance(wanted, list) and isinstance(found, list):
        names = {each.get("id") for each in wanted if isinstance(each, Mapping)}
        return [each for each in found if isinstance(each, Mapping) and each.get("id") in names]
    return found


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        if set(value) == {"value"}:
            return _words(value["value"])
        return ", ".join(f"{key} {_words(each)}" for key, each in value.items() if key != "id")
    if isinstance(value, list):
        return "; ".join(map(_words, value))
    return WORDS.get(value, str(value)) if isinstance(value, bool) or value is None else str(value)


WORDS = {True: "on", False: "off", None: "nothing"}
