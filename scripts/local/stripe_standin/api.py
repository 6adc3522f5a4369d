"""Stripe's HTTP API, as far as a prepaid shop needs it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, current_app, g, request
from werkzeug.exceptions import HTTPException

from . import catalogue, params
from .business import Business
from .objects import API_VERSION
from .options import Options
from .refusals import ApiError, missing_object
from .store import Store, Stored
from .webhooks import registered_endpoint

IDEMPOTENCY_SECONDS = 24 * 3600
MAX_EXPAND_DEPTH = 4
# Fields that hold the id of another object.
EXPANDABLE = {
    "payment_intent": "payment_intent",
    "latest_charge": "charge",
    "charge": "charge",
    "customer": "customer",
    "invoice": "invoice",
}
NAMES = {"session": "checkout.session"}
# Path of a collection: kind, filters of its list.
COLLECTIONS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "customers": ("customer", ("email",)),
    "checkout/sessions": ("session", ("status", "payment_intent", "customer", "payment_link")),
    "payment_intents": ("payment_intent", ("customer",)),
    "charges": ("charge", ("payment_intent", "customer")),
    "refunds": ("refund", ("payment_intent", "charge")),
    "disputes": ("dispute", ("payment_intent", "charge")),
    "invoices": ("invoice", ("customer", "status")),
    "events": ("event", ("type",)),
}


def create_api(store: Store, business: Business, options: Options) -> Blueprint:
    api = Blueprint("api", __name__, url_prefix="/v1")

    @api.before_request
    def authenticate() -> None:
        g.request_id = "req_" + secrets.token_urlsafe(10).replace("-", "0").replace("_", "1")
        _meet_fault(store)
        key = _given_key()
        if not key:
            raise ApiError(
                "You did not provide an API key. You need to provide your API key in the Authorization header, "
                "using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
                status=401,
            )
        if not hmac.compare_digest(key.encode(), options.secret_key.encode()):
            shown = f"{key[:8]}{'*' * 8}{key[-4:]}" if len(key) > 16 else "****"
            raise ApiError(f"Invalid API Key provided: {shown}", status=401)

    @api.after_request
    def label(response: Response) -> Response:
        response.headers["Request-Id"] = g.get("request_id", "req_unknown")
        response.headers["Stripe-Version"] = request.headers.get("Stripe-Version", API_VERSION)
        if key := request.headers.get("Idempotency-Key"):
            response.headers["Idempotency-Key"] = key[:255]
        return response

    @api.errorhandler(ApiError)
    def refuse(error: ApiError) -> Response:
        return _json(error.body(), error.status)

    @api.errorhandler(HTTPException)
    def refuse_http(error: HTTPException) -> Response:
        return _json(ApiError(error.description or error.name).body(), error.code or 500)

    @api.get("/<path:path>")
    def read(path: str) -> Response:
        given = params.parse(request.args.items(multi=True))
        expand = _expand_paths(given)
        if path == "account":
            return _json({"id": "acct_standin", "object": "account", "charges_enabled": True})
        if path == "webhook_endpoints":
            found = registered_endpoint(store, options)
            return _json({"object": "list", "data": [found] if found else [], "has_more": False, "url": f"/v1/{path}"})
        if path in COLLECTIONS:
            return _json(_list(store, path, given, expand))
        parent, _, last = path.rpartition("/")
        if parent in COLLECTIONS:
            kind = COLLECTIONS[parent][0]
            return _json(_expanded(store, _required(store, kind, last), expand))
        if parent in catalogue.KINDS:
            return _json(catalogue.find(parent, last))
        session_path, _, last = path.rpartition("/")
        if last == "line_items" and session_path.startswith("checkout/sessions/"):
            stored = _required(store, "session", session_path.removeprefix("checkout/sessions/"))
            return _json(_line_items(stored))
        raise _unknown_url()

    @api.post("/<path:path>")
    def write(path: str) -> Response:
        if request.mimetype not in ("application/x-www-form-urlencoded", ""):
            raise ApiError("Send the parameters form-encoded.", status=400)
        given = params.parse(request.form.items(multi=True))
        expand = _expand_paths(given)
        about = {"id": g.request_id, "idempotency_key": request.headers.get("Idempotency-Key")}
        action = _action(business, path, given, about)

        def run() -> dict[str, Any]:
            body = action()
            stored = next(
                found for kind, _ in COLLECTIONS.values() if (found := store.get(kind, str(body["id"]))) is not None
            )
            return _expanded(store, stored, expand)

        return _once(store, path, given, expand, run)

    @api.delete("/<path:path>")
    def delete(path: str) -> Response:
        raise _unknown_url()

    return api


def _action(
    business: Business, path: str, given: dict[str, Any], about: Mapping[str, Any]
) -> Callable[[], dict[str, Any]]:
    if path == "customers":
        return lambda: business.create_customer(given, about)
    if path == "checkout/sessions":
        return lambda: business.create_session(given)
    if path == "refunds":
        return lambda: business.reversals.create_refund(given, about)
    parts = path.split("/")
    if len(parts) == 2 and parts[0] == "customers":
        return lambda: business.update_customer(parts[1], given, about)
    if len(parts) == 4 and parts[:2] == ["checkout", "sessions"] and parts[3] == "expire":
        return lambda: business.expire_session(parts[2], about)
    raise _unknown_url()


def _once(
    store: Store, path: str, given: Mapping[str, Any], expand: list[str], run: Callable[[], dict[str, Any]]
) -> Response:
    """Run a POST, or repeat the answer that its idempotency key got before."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return _json(run())
    if not key or len(key) > 255:
        raise ApiError("Idempotency keys must have 1 to 255 characters.", kind="idempotency_error")
    fingerprint = hashlib.sha256(json.dumps([path, given, sorted(expand)], sort_keys=True).encode()).hexdigest()
    with store.transaction():
        store.write("DELETE FROM idempotency WHERE created < ?", time.time() - IDEMPOTENCY_SECONDS)
        known = store.row("SELECT * FROM idempotency WHERE key = ?", key)
        if known is not None:
            if known["fingerprint"] != fingerprint:
                raise ApiError(
                    "Keys for idempotent requests can only be used with the same parameters they were first used "
                    f"with. Try using a key other than '{key}' if you meant to execute a different request.",
                    kind="idempotency_error",
                )
            response = _json(json.loads(known["body"]), known["status"])
            response.headers["Idempotent-Replayed"] = "true"
            response.headers["Original-Request"] = known["request"]
            return response
        # A refusal is not kept: Stripe keeps no result either when the parameters were at fault.
        body = run()
        store.write(
            "INSERT INTO idempotency (key, fingerprint, status, body, request, created) VALUES (?, ?, 200, ?, ?, ?)",
            key,
            fingerprint,
            json.dumps(body),
            g.request_id,
            time.time(),
        )
    return _json(body)


def _list(store: Store, path: str, given: Mapping[str, Any], expand: list[str]) -> dict[str, Any]:
    kind, filters = COLLECTIONS[path]
    of_events = ("delivery_success",) if kind == "event" else ()
    known = (*filters, "limit", "starting_after", "ending_before", "created", "types", *of_events)
    params.refuse_unknown(given, known)
    limit = params.integer(given, "limit")
    if limit is not None and not 1 <= limit <= 100:
        raise ApiError("This value must be between 1 and 100.", code="parameter_invalid_integer", param="limit")
    types = given.get("types") if kind == "event" else None
    if types is not None and not (isinstance(types, list) and all(isinstance(name, str) for name in types)):
        raise ApiError("Invalid array", param="types")
    neighbours = {}
    for name in ("starting_after", "ending_before"):
        if neighbour := params.text(given, name):
            neighbours[name] = _required(store, kind, neighbour, param=name).seq
    found, more = store.page(
        kind,
        limit=limit or 10,
        after=neighbours.get("starting_after"),
        before=neighbours.get("ending_before"),
        created=_created(given),
        types=types,
        delivered={"true": True, "false": False}.get(str(given.get("delivery_success"))),
        **{name: params.text(given, name) for name in filters},
    )
    inner = [path.removeprefix("data.") for path in expand if path.startswith("data.")]
    return {
        "object": "list",
        "data": [_expanded(store, stored, inner) for stored in found],
        "has_more": more,
        "url": f"/v1/{path}",
    }


def _created(given: Mapping[str, Any]) -> dict[str, int]:
    value = given.get("created")
    if isinstance(value, str) and value:
        exact = params.integer(given, "created")
        return {"gte": exact or 0, "lte": exact or 0}
    bounds = params.group(given, "created")
    params.refuse_unknown(bounds, ("gt", "gte", "lt", "lte"))
    return {name: params.integer(bounds, name, prefix="created") or 0 for name in bounds}


def _expand_paths(given: dict[str, Any]) -> list[str]:
    paths = given.pop("expand", [])
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise ApiError("Invalid array", param="expand")
    if any(path.count(".") >= MAX_EXPAND_DEPTH for path in paths):
        raise ApiError(f"You cannot expand more than {MAX_EXPAND_DEPTH} levels of a property.", param="expand")
    return paths


def _expanded(store: Store, stored: Stored, paths: list[str]) -> dict[str, Any]:
    """The object with the fields named by `paths` replaced by the objects they point to."""
    body = dict(stored.body)
    deeper: dict[str, list[str]] = {}
    for path in paths:
        first, _, rest = path.partition(".")
        deeper.setdefault(first, []).extend([rest] if rest else [])
    for name, inner in deeper.items():
        if name == "line_items" and body["object"] == "checkout.session":
            body[name] = _line_items(stored)
        elif name == "refunds" and body["object"] == "charge":
            found = store.find("refund", charge=stored.id)[::-1]
            data = [refund.body for refund in found]
            body[name] = {"object": "list", "data": data, "has_more": False, "url": f"/v1/charges/{stored.id}/refunds"}
        elif name in EXPANDABLE and name in body:
            target = store.get(EXPANDABLE[name], str(body[name])) if body[name] else None
            body[name] = _expanded(store, target, inner) if target else body[name]
        else:
            raise ApiError(f"This property cannot be expanded ({name}).", param="expand")
    return body


def _line_items(session: Stored) -> dict[str, Any]:
    data = [
        {
            "id": f"li_{session.id[-20:]}{index}",
            "object": "item",
            "amount_subtotal": line["quantity"] * line["unit_amount"],
            "amount_total": line["quantity"] * line["unit_amount"],
            "currency": session.body["currency"],
            "description": line["name"],
            "quantity": line["quantity"],
            "price": {
                "id": line.get("price") or f"price_{session.id[-24:]}{index}",
                "object": "price",
                "active": "price" in line,  # Stripe makes a price of `price_data` for this one sale, inactive
                "currency": session.body["currency"],
                "product": line.get("product") or f"prod_{session.id[-14:]}{index}",
                "recurring": None,
                "type": "one_time",
                "unit_amount": line["unit_amount"],
            },
        }
        for index, line in enumerate(session.private["lines"])
    ]
    url = f"/v1/checkout/sessions/{session.id}/line_items"
    return {"object": "list", "data": data, "has_more": False, "url": url}


def _required(store: Store, kind: str, object_id: str, param: str = "id") -> Stored:
    stored = store.get(kind, object_id)
    if stored is None:
        raise missing_object(NAMES.get(kind, kind), object_id, param=param, status=404 if param == "id" else 400)
    return stored


def _given_key() -> str:
    scheme, _, rest = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def _meet_fault(store: Store) -> None:
    """Answer as badly as the control API asked for, as often as it asked."""
    with store.transaction():
        fault = store.setting("fault")
        if not fault:
            return
        if fault["count"] is not None:
            fault["count"] -= 1
            store.set_setting("fault", fault if fault["count"] > 0 else None)
    time.sleep(fault["seconds"])
    status = fault["status"]
    if status == 429:
        raise ApiError("Request rate limit exceeded.", status=429, code="rate_limit")
    if status is not None:
        raise ApiError("An error was asked for on the control panel.", status=status, kind="api_error")


def _unknown_url() -> ApiError:
    where = f"{request.method}: {request.path}"
    return ApiError(f"Unrecognized request URL ({where}). The stand-in for Stripe does not offer it.", status=404)


def _json(body: Mapping[str, Any], status: int = 200) -> Response:
    return current_app.response_class(json.dumps(body, indent=2) + "\n", status, mimetype="application/json")
