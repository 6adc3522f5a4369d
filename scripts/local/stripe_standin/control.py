"""The control panel's switches as JSON, for tests: POST /_control/…"""

from __future__ import annotations

import sqlite3
from typing import Any

from flask import Blueprint, Response, jsonify, request

from .business import Business, Outcome, Payer
from .options import BadOption, Options, check_webhook_url
from .refusals import ApiError
from .store import Store, dated
from .webhooks import Deliverer


def create_control(store: Store, business: Business, deliverer: Deliverer, options: Options) -> Blueprint:
    control = Blueprint("control", __name__, url_prefix="/_control")

    @control.errorhandler(ApiError)
    def refuse(error: ApiError) -> tuple[Response, int]:
        return jsonify(error.body()), error.status

    @control.get("/health")
    def health() -> Response:
        store.count("SELECT count(*) FROM settings")
        return jsonify(status="ok")

    @control.route("/webhooks", methods=["GET", "POST"])
    def webhooks() -> Response:
        if request.method == "POST":
            given = _given("mode", "seconds")
            set_webhooks(store, given.get("mode"), given.get("seconds", 0))
        counts = store.rows("SELECT state, count(*) AS n FROM deliveries GROUP BY state")
        mode = store.setting("webhooks", {"mode": "deliver", "seconds": 0})
        return jsonify(**mode, url=options.webhook_url, deliveries={row["state"]: row["n"] for row in counts})

    @control.post("/release")
    def release() -> Response:
        given = _given("order", "discard")
        if given.get("discard"):
            return jsonify(released=0, discarded=deliverer.discard())
        order = given.get("order", "made")
        if order not in ("made", "reversed", "shuffled"):
            raise ApiError("order must be made, reversed or shuffled.", param="order")
        return jsonify(released=deliverer.release(order), discarded=0)

    @control.post("/settings")
    def settings() -> Response:
        given = _given("webhook_url", "webhook_secret", "settle_seconds", "endpoint")
        if "webhook_url" in given:
            try:
                if given["webhook_url"] is not None:
                    check_webhook_url(str(given["webhook_url"]))
            except BadOption as error:
                raise ApiError(str(error), param="webhook_url") from error
            options.webhook_url = given["webhook_url"]
        if "webhook_secret" in given:
            options.webhook_secret = str(given["webhook_secret"])
        if "endpoint" in given:
            set_endpoint(store, given["endpoint"])
        if "settle_seconds" in given:
            with store.transaction():
                store.set_setting("settle_seconds", _number(given, "settle_seconds"))
        return jsonify(webhook_url=options.webhook_url, settle_seconds=store.setting("settle_seconds"))

    @control.post("/faults")
    def faults() -> Response:
        given = _given("status", "seconds", "count")
        set_fault(store, given.get("status"), _number(given, "seconds", 0), given.get("count"))
        return jsonify(fault=store.setting("fault"))

    @control.post("/pay")
    def pay() -> Response:
        given = _given("session", *Payer.__dataclass_fields__)
        session = _text(given, "session")
        payer = Payer(**{name: value for name, value in given.items() if name != "session"})
        return jsonify(outcome_body(business.pay(session, payer)))

    @control.post("/settle")
    def settle() -> Response:
        given = _given("session", "succeed")
        return jsonify(business.settle(_text(given, "session"), given.get("succeed")))

    @control.post("/expire")
    def expire() -> Response:
        return jsonify(business.expire_session(_text(_given("session"), "session")))

    @control.post("/payment_link")
    def payment_link() -> Response:
        given = _given(
            "email", "amount", "currency", "name", "product", "tax", "discount", "client_reference_id", "metadata",
            "override", "sells", "pay", "method", "card", "account", "created",
        )  # fmt: skip
        names = ("email", "name", "method", "card", "account")
        payer = Payer(**{name: given[name] for name in names if name in given})
        with dated(_moment(given)), store.transaction():  # paid before one of long ago is over
            session = business.payment_link(given)
            if given.get("pay", True) is False:
                return jsonify(session=session, outcome="open")
            return jsonify(outcome_body(business.pay(session["id"], payer)))

    @control.post("/refunds")
    def refunds() -> Response:
        given = _given("payment_intent", "amount", "reason", "fail_after", "refund", "status", "created")
        if "refund" in given:
            if given.get("status") != "failed":
                raise ApiError("A refund can only be moved on to failed.", param="status")
            return jsonify(business.reversals.fail_refund(_text(given, "refund")))
        names = ("payment_intent", "amount", "reason")
        wanted = {name: str(given[name]) for name in names if given.get(name) is not None}
        fail_after = _number(given, "fail_after") if given.get("fail_after") is not None else None
        with dated(_moment(given)):
            return jsonify(business.reversals.create_refund(wanted, fail_after=fail_after))

    @control.post("/disputes")
    def disputes() -> Response:
        given = _given("payment_intent", "status", "amount", "currency", "reason")
        return jsonify(
            business.reversals.set_dispute(
                _text(given, "payment_intent"),
                _text(given, "status"),
                amount=given.get("amount"),
                currency=given.get("currency"),
                reason=given.get("reason"),
            )
        )

    @control.post("/deliver")
    def deliver() -> Response:
        given = _given("event", "times", "as_new")
        times = given.get("times", 1)
        if not isinstance(times, int) or not 1 <= times <= 100:
            raise ApiError("times must be 1 to 100.", param="times")
        return jsonify(
            events=business.events.repeat(_text(given, "event"), times=times, as_new=bool(given.get("as_new")))
        )

    @control.get("/events")
    def events() -> Response:
        found, _ = store.page("event", limit=1000, types=request.args.getlist("type") or None)
        return jsonify(events=[stored.body for stored in reversed(found)])

    @control.get("/deliveries")
    def deliveries() -> Response:
        return jsonify(deliveries=delivery_log(store, request.args.get("event")))

    @control.get("/idle")
    def idle() -> Response:
        idle = deliverer.wait_until_idle(request.args.get("seconds", 10.0, float))
        return jsonify(idle=idle, rounds=deliverer.rounds)

    @control.post("/reset")
    def reset() -> Response:
        store.clear()
        return jsonify(reset=True)

    return control


def set_webhooks(store: Store, mode: object, seconds: object) -> None:
    if mode not in ("deliver", "withhold", "delay"):
        raise ApiError("mode must be deliver, withhold or delay.", param="mode")
    wait = _number({"seconds": seconds}, "seconds", 0)
    if wait > 3600:
        raise ApiError("seconds must be at most 3600.", param="seconds")
    with store.transaction():
        store.set_setting("webhooks", {"mode": mode, "seconds": wait})


def set_endpoint(store: Store, said: object) -> None:
    """What the endpoint is to say of itself otherwise than usual; `{}` ends it."""
    if not isinstance(said, dict) or not said.keys() <= {"status", "enabled_events", "api_version"}:
        raise ApiError("endpoint holds status, enabled_events and api_version.", param="endpoint")
    with store.transaction():
        store.set_setting("endpoint", said)


def set_fault(store: Store, status: object, seconds: float, count: object) -> None:
    """Let the API answer with this status (None: as usual), after this wait, so many times (None: until changed)."""
    if status is not None and (not isinstance(status, int) or not 400 <= status <= 599):
        raise ApiError("status must be an HTTP error status.", param="status")
    if count is not None and (not isinstance(count, int) or count < 1):
        raise ApiError("count must be a positive number.", param="count")
    fault = {"status": status, "seconds": min(seconds, 60.0), "count": count} if status or seconds else None
    with store.transaction():
        store.set_setting("fault", fault)


def outcome_body(outcome: Outcome) -> dict[str, Any]:
    return {"outcome": outcome.kind, "session": outcome.session, "message": outcome.message, "code": outcome.code}


def delivery_log(store: Store, event_id: str | None = None, limit: int = 500) -> list[dict[str, Any]]:
    """Deliveries, oldest first, each with the attempts made."""
    where, values = ("WHERE d.event = ?", [event_id]) if event_id else ("", [])
    rows = store.rows(
        "SELECT d.*, json_extract(o.body, '$.type') AS type FROM deliveries d LEFT JOIN objects o ON o.id = d.event "  # noqa: S608
        f"{where} ORDER BY d.id DESC LIMIT ?",
        *values,
        limit,
    )
    return [_delivery(store, row) for row in reversed(rows)]


def _delivery(store: Store, row: sqlite3.Row) -> dict[str, Any]:
    attempts = store.rows(
        "SELECT at, milliseconds, status, answer FROM attempts WHERE delivery = ? ORDER BY id", row["id"]
    )
    names = ("id", "event", "type", "state", "due", "created")
    return {**{name: row[name] for name in names}, "attempts": [dict(attempt) for attempt in attempts]}


def _given(*known: str) -> dict[str, Any]:
    body = request.get_json(silent=True) if request.data else {}
    if not isinstance(body, dict):
        raise ApiError("Send a JSON object.")
    for name in body:
        if name not in known:
            raise ApiError(f"Unknown field: {name}", code="parameter_unknown", param=name)
    return body


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise ApiError(f"{name} is missing.", code="parameter_missing", param=name)
    return value


def _moment(given: dict[str, Any]) -> int | None:
    created = given.get("created")
    if created is not None and (not isinstance(created, int) or isinstance(created, bool) or created < 0):
        raise ApiError("created must be a moment in Unix seconds.", param="created")
    return created


def _number(given: dict[str, Any], name: str, default: float | None = None) -> float:
    value = given.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1e9:
        raise ApiError(f"{name} must be a number, zero or more.", param=name)
    return float(value)
