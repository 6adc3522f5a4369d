"""API keys over JSON, by a session alone: no key makes, lists or ends another."""

from __future__ import annotations

from typing import Annotated

from flask import Blueprint, g
from flask.typing import ResponseReturnValue

from app.domain.api_keys import MAX_DAYS, MAX_MONTHLY, MAX_NAME, SCOPES, SESSION, ApiKey, wishes
from app.domain.clock import utcnow
from app.domain.errors import AddressUnconfirmed, BadCredentials, NotFound, OperatorNotProven, RateLimited, WrongState
from app.services import api_keys
from app.services.throttle import KEYS_BY_ACCOUNT
from app.web import deps
from app.web.call import Body, call, told
from app.web.csrf import csrf
from app.web.guards import token_required
from app.web.password_again import check_password
from app.web.shape import Json, one_of
from app.web.shapes import API_KEY, API_KEYS, NEW_API_KEY

bp = Blueprint("api_keys", __name__, url_prefix="/api")
csrf.exempt(bp)  # no cookie is read here, so there is nothing to forge

KEY_ID = told(examples=["key_fmg2xoq4bm7ky4l6d4xkzjm7py"], minLength=1)


class MakeKey(Body):
    name: Annotated[str, told(minLength=1, maxLength=MAX_NAME)]
    scopes: Annotated[list[Annotated[str, told(**one_of(SCOPES))]], told(minItems=1)]
    password: Annotated[str, told("That of the account, again.")]
    credits_a_month: Annotated[
        int | None,
        told("The most that it may spend in a UTC month; none unless given.", minimum=1, maximum=MAX_MONTHLY),
    ] = None
    days: Annotated[int | None, told("Until it runs out; never unless given.", minimum=1, maximum=MAX_DAYS)] = None


@bp.get("/keys")
@token_required(SESSION)
@call(
    "list_keys",
    "API keys: those that are alive, and the newest that have ended",
    tag="accounts",
    answers={200: API_KEYS},
)
def list_keys() -> ResponseReturnValue:
    alive, ended = api_keys.listed(deps.store(), g.account, now=utcnow())
    return API_KEYS(keys=[_shown(key) for key in (*alive, *ended)])


@bp.post("/keys")
@token_required(SESSION)
@call(
    "make_key",
    "Make an API key",
    tag="accounts",
    limits=["password-again", "keys"],
    answers={201: NEW_API_KEY},
    refusals=[BadCredentials, AddressUnconfirmed, OperatorNotProven, WrongState, RateLimited],
    description="The key is in this one answer and nowhere else. A name is taken by one key at a time, so a repeat of "
    "a request whose answer was lost makes no second one: revoke it, and make another. At most 50 are alive.",
)
def make_key(body: MakeKey) -> ResponseReturnValue:
    account = g.account
    wanted = wishes(body.name, body.scopes, body.credits_a_month, body.days, operator=account.is_operator)
    if not account.confirmed:
        raise AddressUnconfirmed
    check_password(body.password)
    deps.get().throttle.hit(KEYS_BY_ACCOUNT, "keys", account.email, said="You have made many keys.")
    key, secret = api_keys.make(deps.store(), account, wanted, g.session, now=utcnow())
    return NEW_API_KEY(key, alive=True, key=secret), 201


@bp.get("/keys/<key_id>")
@token_required(SESSION)
@call("get_key", "One API key, and what it has spent", tag="accounts", answers={200: API_KEY}, refusals=[NotFound])
def get_key(key_id: Annotated[str, KEY_ID]) -> ResponseReturnValue:
    return _shown(api_keys.find_own(deps.store(), g.account, key_id))


@bp.delete("/keys/<key_id>")
@token_required(SESSION)
@call(
    "revoke_key",
    "Revoke an API key: it is dead at its next request",
    tag="accounts",
    answers={200: API_KEY},
    refusals=[NotFound],
    description="Repeating it changes nothing.",
)
def revoke_key(key_id: Annotated[str, KEY_ID]) -> ResponseReturnValue:
    store = deps.store()
    api_keys.revoke(store, g.account, key_id, now=utcnow())
    ended = api_keys.find_own(store, g.account, key_id)
    return API_KEY(ended, alive=False)


def _shown(key: ApiKey) -> Json:
    return API_KEY(key, alive=key.is_alive(g.account, utcnow()))
