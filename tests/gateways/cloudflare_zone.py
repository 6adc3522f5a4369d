"""A zone at Cloudflare on loopback: the shapes of its API, version 4, and whatever fault a test asks for."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from app.gateways.cloudflare import NotThere
from app.services.cloudflare import rules, settings, way

ZONE_ID = "023e105f4ecef8ad9ca31a8372d0c353"
TOKEN = "a-token-of-the-suite"
HOST = "dashboard.example.com"
# As a new zone has them, by Cloudflare's documentation; some are not what the dashboard wants.
NEW_ZONE = {
    "ssl": "full",
    "always_use_https": "off",
    "min_tls_version": "1.0",
    "tls_1_3": "on",
    "0rtt": "off",
    "security_header": {"strict_transport_security": {"enabled": False, "max_age": 0, "nosniff": False}},
    "http2": "on",
    "http3": "on",
    "brotli": "on",
    "always_online": "on",
    "browser_cache_ttl": 14400,
    "rocket_loader": "off",
    "email_obfuscation": "on",
    "speed_brain": "on",
    "pseudo_ipv4": "off",
    "security_level": "medium",
}
TRANSFORMS = ["add_visitor_location_headers", "remove_visitor_ip_headers", "add_true_client_ip_headers"]

Fault = Callable[[str, str], tuple[int, dict[str, str], Any] | None]


@dataclass
class Zone:
    plan: str = "pro"
    settings: dict[str, Any] = field(default_factory=lambda: deepcopy(NEW_ZONE))
    locked: set[str] = field(default_factory=set)  # settings that this plan cannot change
    bots: dict[str, Any] = field(
        default_factory=lambda: {"fight_mode": True, "enable_js": True, "using_latest_model": True}
    )
    transforms: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(TRANSFORMS, False))
    phases: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)
    routes: list[dict[str, Any]] = field(
        default_factory=lambda: [{"id": "r1", "pattern": f"{HOST}/*", "script": "dashboard-edge"}]
    )
    fault: Fault = lambda method, path: None
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def changes(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path in self.asked if method != "GET"]

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Any:
        """The result, or a pair of status and errors."""
        if path == "/zones":
            return [{"id": ZONE_ID, "name": "example.com"}] if query.get("name") == ["example.com"] else []
        if not path.startswith(f"/zones/{ZONE_ID}"):
            return 404, [error(7003, f"Could not route to {path}, perhaps your object identifier is invalid?")]
        path = path.removeprefix(f"/zones/{ZONE_ID}")
        if path == "":
            return {"id": ZONE_ID, "name": "example.com", "plan": {"legacy_id": self.plan}}
        if path.startswith("/settings/"):
            return self._setting(method, path.removeprefix("/settings/"), body)
        if path == "/bot_management":
            self.bots |= body if method == "PUT" else {}
            return self.bots
        if path == "/managed_headers":
            for each in (body or {}).get("managed_request_headers", []) if method == "PATCH" else []:
                self.transforms[each["id"]] = each["enabled"]
            listed = [{"id": name, "enabled": enabled} for name, enabled in self.transforms.items()]
            return {"managed_request_headers": listed, "managed_response_headers": []}
        if path.startswith("/rulesets/phases/"):
            return self._phase(method, path.split("/")[3], body)
        if path.startswith("/dns_records"):
            return self._records(method, path, query, body)
        if path == "/workers/routes":
            return self.routes
        return 404, [error(7000, "No route for that URI")]

    def _setting(self, method: str, key: str, body: Any) -> Any:
        if key not in self.settings:
            return 400, [error(1006, f"Undefined zone setting: {key}")]
        if method == "PATCH":
            if key in self.locked:
                return 400, [error(1015, f"Not allowed to edit setting for {key}")]
            self.settings[key] = body["value"]
        told = {"id": key, "value": self.settings[key], "editable": key not in self.locked}
        return told | {"modified_on": "2026-11-30T00:00:00.000000Z"}

    def _phase(self, method: str, phase: str, body: Any) -> Any:
        if method == "PUT":
            known = {rule["id"]: rule for rule in self.phases.get(phase, [])}
            for place, rule in enumerate(body["rules"]):
                if unknown := rule.keys() & {"version", "last_updated"}:
                    return 400, [error(20021, f"invalid JSON: unknown field {unknown}")]
                if rule.get("id") and rule["id"] not in known:
                    return 400, [error(20022, f"rule {rule['id']} is not of this ruleset")]
                rule.setdefault("id", f"rule-{phase}-{place}-{len(self.asked)}")
                rule.setdefault("ref", rule["id"])
                rule |= {"version": "1", "last_updated": "2026-11-30T00:00:00.000000Z"}
            self.phases[phase] = body["rules"]
        if phase not in self.phases:
            return 404, [error(10003, f"could not find entrypoint ruleset in the {phase} phase")]
        told = {"id": f"set-{phase}", "kind": "zone", "phase": phase, "version": "7", "name": "default"}
        return told | {"rules": deepcopy(self.phases[phase])}

    def _records(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> Any:
        if method == "GET":
            return [record for record in self.records if [record["name"]] == query.get("name")]
        if method == "POST":
            self.records.append({"id": f"d{len(self.records)}", **body})
            return self.records[-1]
        (record,) = [record for record in self.records if record["id"] == path.rpartition("/")[2]]
        record |= body
        return record


def error(code: int, message: str) -> dict[str, Any]:
    return {"code": code, "message": message}


class Api:
    """`with Api(zone) as api:` answers at `api.url` for the zone until the block ends."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone

    def __enter__(self) -> Self:
        zone = self.zone

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                url = urlsplit(self.path)
                path = url.path.removeprefix("/client/v4")
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                zone.asked.append((self.command, path.removeprefix(f"/zones/{ZONE_ID}")))
                if fault := zone.fault(self.command, path.removeprefix(f"/zones/{ZONE_ID}")):
                    return self._send(*fault)
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    return self._send(401, {}, told(None, [error(1000, "Invalid API Token")]))
                result = zone.answer(self.command, path, parse_qs(url.query), body)
                if isinstance(result, tuple):
                    return self._send(result[0], {}, told(None, result[1]))
                return self._send(200, {}, told(result, []))

            do_GET = do_PUT = do_PATCH = do_POST = _serve

            def _send(self, status: int, headers: dict[str, str], body: Any) -> None:
                content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/client/v4"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def told(result: Any, errors: list[dict[str, Any]]) -> dict[str, Any]:
    return {"success": not errors, "errors": errors, "messages": [], "result": result}


def times(count: int, status: int, headers: dict[str, str] | None = None, body: Any = None, at: str = "") -> Fault:
    """So often this answer, at the paths that begin so; then as it should be."""
    left: Iterator[None] = iter([None] * count)

    def fault(method: str, path: str) -> tuple[int, dict[str, str], Any] | None:
        if not path.startswith(at) or next(left, "none") == "none":
            return None
        return status, headers or {}, body if body is not None else told(None, [error(status, "a fault")])

    return fault


@dataclass
class InOrder:
    """The API without a server: for a zone that is as the table has it, until a test changes it."""

    zone: Zone = field(default_factory=Zone)
    fails: Exception | None = None

    def plan(self) -> str:
        return str(self._answer("GET", "")["plan"]["legacy_id"])

    def get(self, path: str) -> Any:
        return self._answer("GET", path)

    def set(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        self._answer(method, path, deepcopy(dict(body)))

    def _answer(self, method: str, path: str, body: Any = None) -> Any:
        if self.fails:
            raise self.fails
        url = urlsplit(path)
        found = self.zone.answer(method, f"/zones/{ZONE_ID}{url.path}", parse_qs(url.query), body)
        if isinstance(found, tuple):
            raise NotThere(found[1][0]["message"])
        return found


def in_order() -> InOrder:
    api = InOrder()
    for step in (*settings(api), *rules(api, HOST), *way(api, HOST, "dashboard-1234.us-east-1.elb.amazonaws.com")):
        if step.look():
            step.mend()
    return api
