"""Webhook endpoints over JSON, through the same services as the pages. A session asks these: no API key may."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from flask import Blueprint, g
from flask.typing import ResponseReturnValue

from app.domain.api_keys import SESSION
from app.domain.clock import utcnow
from app.domain.errors import AddressUnconfirmed, BadCredentials, BadCursor, NotFound, WrongState
from app.domain.receivers import MAX_URL
from app.domain.webhooks import MAX_ENDPOINTS, MAX_NAME, TYPES
from app.services import webhooks
from app.services.webhooks import Wishes
from app.web import deps
from app.web.asked import Paging
from app.web.call import Body, call, told
from app.web.csrf import csrf
from app.web.guards import token_required
from app.web.password_again import check_password
from app.web.shape import one_of
from app.web.shapes import (
    WEBHOOK_DELIVERIES,
    WEBHOOK_DELIVERY,
    WEBHOOK_ENDPOINT,
    WEBHOOK_ENDPOINT_AND_SECRET,
    WEBHOOK_ENDPOINTS,
    WEBHOOK_LISTED,
)
from app.web.webhook_limits import check_move, count

bp = Blueprint("api_webhooks", __name__, url_prefix="/api/webhooks")
csrf.exempt(bp)  # no cookie is read here, so there is nothing to forge

EndpointId: TypeAlias = Annotated[str, told(pattern="^[A-Za-z0-9_]{1,64}$", examples=["we_4fGhT2yQxB1kLmNp"])]
DeliveryId: TypeAlias = Annotated[str, told(pattern="^[A-Za-z0-9_-]{1,2000}$")]
URL = told("https, on the public internet.", maxLength=MAX_URL, examples=["https://example.com/webhooks"])
EventType: TypeAlias = Annotated[str, told(**one_of(TYPES))]
EVENTS = told("What it wants to be told.", minItems=1, examples=[["task.completed"]])
NAME = told("For one's own list.", maxLength=MAX_NAME)


class NewEndpoint(Body):
    url: Annotated[str, URL]
    types: Annotated[list[EventType], EVENTS]
    password: Annotated[str, told("That of the account, again.")]
    name: Annotated[str, NAME] = ""


class ChangedEndpoint(Body):
    url: Annotated[str | None, URL] = None
    types: Annotated[list[EventType] | None, EVENTS] = None
    name: Annotated[str | None, NAME] = None
    paused: Annotated[bool | None, told("What happens meanwhile waits; false goes on with it.")] = None
    password: Annotated[str, told("Needed for another url.")] = ""


class AskedSecret(Body):
    password: Annotated[str, told("That of the account, again.")]
    rotate: Annotated[bool, told("Make a new one; the old one signs beside it for 24 hours.")] = False


@bp.get("")
@token_required(SESSION)
@call("list_webhooks", "One's webhook endpoints", tag="webhooks", answers={200: WEBHOOK_ENDPOINTS})
def list_webhooks() -> ResponseReturnValue:
    found = webhooks.alive(deps.store(), g.account)
    return WEBHOOK_ENDPOINTS(endpoints=[WEBHOOK_ENDPOINT(one) for one in found])


@bp.post("")
@token_required(SESSION)
@call(
    "make_webhook",
    "Make a webhook endpoint",
    tag="webhooks",
    limits=["password-again", "webhooks"],
    answers={201: WEBHOOK_ENDPOINT_AND_SECRET},
    refusals=[AddressUnconfirmed, BadCredentials, WrongState],
    description=f"At most {MAX_ENDPOINTS}. Its events are signed after Standard Webhooks, by `secret`.",
)
def make_webhook(body: NewEndpoint) -> tuple[dict[str, Any], int]:
    check_password(body.password)
    count()
    found, wanted = deps.get(), Wishes(body.url, tuple(body.types), body.name)
    endpoint, secret = webhooks.make(found.store, found.sealer, found.receivers, g.account, wanted, now=utcnow())
    return WEBHOOK_ENDPOINT_AND_SECRET(endpoint, secret=secret), 201


@bp.get("/<endpoint_id>")
@token_required(SESSION)
@call("get_webhook", "A webhook endpoint", tag="webhooks", answers={200: WEBHOOK_ENDPOINT}, refusals=[NotFound])
def get_webhook(endpoint_id: EndpointId) -> ResponseReturnValue:
    return WEBHOOK_ENDPOINT(webhooks.find_own(deps.store(), g.account, endpoint_id))


@bp.patch("/<endpoint_id>")
@token_required(SESSION)
@call(
    "change_webhook",
    "Change, pause or resume a webhook endpoint",
    tag="webhooks",
    limits=["password-again", "webhooks"],
    answers={200: WEBHOOK_ENDPOINT},
    refusals=[NotFound, BadCredentials, AddressUnconfirmed],
    description="What is left out stays.",
)
def change_webhook(endpoint_id: EndpointId, body: ChangedEndpoint) -> ResponseReturnValue:
    store, now = deps.store(), utcnow()
    endpoint = webhooks.find_own(store, g.account, endpoint_id)
    given = (body.url, body.types, body.name)
    if any(one is not None for one in given):
        url = endpoint.url if body.url is None else body.url
        check_move(endpoint, url, body.password)
        types = endpoint.types if body.types is None else tuple(body.types)
        wanted = Wishes(url, types, endpoint.name if body.name is None else body.name)
        endpoint = webhooks.change(store, deps.get().receivers, g.account, endpoint_id, wanted, now=now)
    if body.paused is not None:
        act = webhooks.pause if body.paused else webhooks.resume
        endpoint = act(store, g.account, endpoint_id, now=now)
    return WEBHOOK_ENDPOINT(endpoint)


@bp.delete("/<endpoint_id>")
@token_required(SESSION)
@call(
    "remove_webhook",
    "Remove a webhook endpoint",
    tag="webhooks",
    answers={200: WEBHOOK_ENDPOINT},
    refusals=[NotFound],
    description="What waits is sent no more, and the log goes.",
)
def remove_webhook(endpoint_id: EndpointId) -> ResponseReturnValue:
    endpoint = webhooks.find_own(deps.store(), g.account, endpoint_id)
    webhooks.remove(deps.store(), g.account, endpoint_id, now=utcnow())
    return WEBHOOK_ENDPOINT(endpoint)


@bp.post("/<endpoint_id>/secret")
@token_required(SESSION)
@call(
    "webhook_secret",
    "The secret of a webhook endpoint, or a new one",
    tag="webhooks",
    limits=["password-again"],
    answers={200: WEBHOOK_ENDPOINT_AND_SECRET},
    refusals=[NotFound, BadCredentials, WrongState],
)
def webhook_secret(endpoint_id: EndpointId, body: AskedSecret) -> ResponseReturnValue:
    found = deps.get()
    endpoint = webhooks.find_own(found.store, g.account, endpoint_id)
    check_password(body.password)
    if body.rotate:
        endpoint, secret = webhooks.rotate(found.store, found.sealer, g.account, endpoint_id, now=utcnow())
    else:
        secret = webhooks.reveal(found.store, found.sealer, g.account, endpoint_id)
    return WEBHOOK_ENDPOINT_AND_SECRET(endpoint, secret=secret)


@bp.post("/<endpoint_id>/test")
@token_required(SESSION)
@call(
    "test_webhook",
    "Send a test event",
    tag="webhooks",
    limits=["webhooks"],
    answers={201: WEBHOOK_LISTED},
    refusals=[NotFound, WrongState],
)
def test_webhook(endpoint_id: EndpointId) -> tuple[dict[str, Any], int]:
    count()
    return WEBHOOK_LISTED(webhooks.test(deps.store(), g.account, endpoint_id, now=utcnow())), 201


@bp.get("/<endpoint_id>/deliveries")
@token_required(SESSION)
@call(
    "list_webhook_deliveries",
    "What was sent to a webhook endpoint, newest first",
    tag="webhooks",
    answers={200: WEBHOOK_DELIVERIES},
    refusals=[NotFound, BadCursor],
)
def list_webhook_deliveries(endpoint_id: EndpointId, query: Paging) -> ResponseReturnValue:
    return WEBHOOK_DELIVERIES(
        webhooks.deliveries(deps.store(), g.account, endpoint_id, limit=query.limit, cursor=query.cursor)
    )


@bp.get("/<endpoint_id>/deliveries/<delivery_id>")
@token_required(SESSION)
@call(
    "get_webhook_delivery",
    "One event with its request and the newest answer",
    tag="webhooks",
    answers={200: WEBHOOK_DELIVERY},
    refusals=[NotFound],
)
def get_webhook_delivery(endpoint_id: EndpointId, delivery_id: DeliveryId) -> ResponseReturnValue:
    return WEBHOOK_DELIVERY(webhooks.find_delivery(deps.store(), g.account, endpoint_id, delivery_id)[1])


@bp.post("/<endpoint_id>/deliveries/<delivery_id>/again")
@token_required(SESSION)
@call(
    "send_webhook_again",
    "Send an event again, with the same id",
    tag="webhooks",
    answers={200: WEBHOOK_DELIVERY},
    refusals=[NotFound, WrongState],
)
def send_webhook_again(endpoint_id: EndpointId, delivery_id: DeliveryId) -> ResponseReturnValue:
    return WEBHOOK_DELIVERY(webhooks.send_again(deps.store(), g.account, endpoint_id, delivery_id, now=utcnow()))
