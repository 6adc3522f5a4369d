"""What a call is asked with: read by its definition, refused by name, and all that is wrong told at once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

import pytest
from flask import Flask
from msgspec import Meta
from werkzeug.test import Client

from app.domain.errors import InvalidInput
from app.domain.tasks import check_description
from app.web import refusals
from app.web.asked import Keyed, Paging
from app.web.call import MOST_FAULTS, Body, Deprecated, call, checked, fitted, told
from app.web.guards import public


class Item(Body):
    description: Annotated[str, checked(check_description)]
    tags: Annotated[list[str], Meta(max_length=2)] = []
    words: list[Annotated[str, told("A word.")]] = []


class Order(Body):
    items: Annotated[list[Item], Meta(max_length=3)]
    pace: Literal["slow", "fast"] = "slow"
    copies: Annotated[int, Meta(ge=1, le=9)] = 1


class Copies(Body):
    copies: int = 1


class Looked(Paging, kw_only=True):
    pace: Literal["slow", "fast"] = "slow"
    whose: Annotated[str, Meta(description="Whose")]


@pytest.fixture
def client():
    app = Flask(__name__)
    refusals.register(app)

    @app.post("/api/order", endpoint="order")
    @public
    @call("order", "Order", tag="tasks", answers={200: {}})
    def order(body: Item, headers: Keyed):
        return {"description": body.description, "key": headers.idempotency_key}

    @app.post("/api/again", endpoint="again")
    @public
    @call("again", "Again", tag="tasks", answers={200: {}}, body_required=False)
    def again(body: Copies):
        return {"copies": body.copies}

    @app.get("/api/look", endpoint="look")
    @public
    @call("look", "Look", tag="tasks", answers={200: {}})
    def look(query: Looked):
        return {"limit": query.limit, "pace": query.pace, "whose": query.whose, "cursor": query.cursor}

    ending = Deprecated(datetime(2026, 12, 1, tzinfo=UTC), sunset=datetime(2027, 5, 1, tzinfo=UTC))

    @app.get("/api/old", endpoint="old")
    @public
    @call("old", "Old", tag="tasks", answers={200: {}}, deprecated=ending)
    def old():
        return {}, 200, {"Link": "</api/new>"}

    return Client(app)  # these calls are no calls of ours: tests/described.py would not know them


def faults_of(body: dict) -> dict[str, str]:
    with pytest.raises(InvalidInput) as refused:
        fitted(body, Order)
    return dict(refused.value.errors)


def test_a_body_that_fits_is_its_model():
    made = fitted({"items": [{"description": "One", "tags": ["a"]}], "pace": "fast"}, Order)

    assert (made.items[0].description, made.items[0].tags, made.pace, made.copies) == ("One", ["a"], "fast", 1)


def test_every_fault_of_a_body_is_told_at_once_under_its_name():
    items = [{"description": ""}, {"tags": ["a", "b", "c"], "sort": 1}, 5, {"description": "\ud800"}]

    assert faults_of({"items": items[:3], "pace": "brisk", "copies": 10, "colour": "red", "item": 1}) == {
        "items.0.description": "Describe the task first.",
        "items.1.description": "The field description is missing.",
        "items.1.sort": "There is no field sort here. This call takes description, tags, words.",
        "items.1.tags": "Tags must be a list of at most 2.",
        "items.2": "Items must be a list of objects.",
        "pace": "pace must be one of fast, slow.",
        "copies": "Copies must be a whole number from 1 to 9.",
        "colour": "There is no field colour here. This call takes items, pace, copies.",
        "item": "There is no field item here. Is items meant?",
    }
    assert faults_of({"items": items}) == {"items": "Items must be a list of at most 3."}


@pytest.mark.parametrize("value", [True, 5.0, 5.5, "5", None, [], {}])
def test_a_whole_number_is_one_and_nothing_that_looks_like_it(value):
    assert faults_of({"items": [], "copies": value}) == {"copies": "Copies must be a whole number from 1 to 9."}


@pytest.mark.parametrize("tag", ["a\x00b", "\ud800"])
def test_text_that_cannot_be_stored_is_refused_wherever_it_stands(tag):
    item = {"description": "One", "tags": [tag]}

    assert faults_of({"items": [item]}) == {"items.0.tags": "The text holds characters that cannot be stored."}
    item = {"description": "One", "words": [tag]}
    assert faults_of({"items": [item]}) == {"items.0.words": "The text holds characters that cannot be stored."}


def test_of_a_thousand_faults_as_many_are_told_as_somebody_reads():
    assert len(faults_of({"items": [], **{f"f{number}": 1 for number in range(1000)}})) == MOST_FAULTS


def test_a_name_that_somebody_made_up_is_told_in_part():
    (name,) = faults_of({"items": [], "x" * 5000: 1})

    assert len(name) == 100


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b'{"description": "One", "description": "Two"}', 400, "malformed"),
        (b'{"description": "One", "more": {"a": 1, "a": 2}}', 400, "malformed"),
        (b"[" * 100_000, 400, "malformed"),
        (b'{"a":' * 100_000, 400, "malformed"),
        (b"", 400, "malformed"),
    ],
)
def test_a_body_that_could_be_read_in_two_ways_is_refused(client, sent, status, code):
    answer = client.post("/api/order", data=sent, content_type="application/json")

    assert (answer.status_code, answer.json["code"]) == (status, code)


def test_a_body_that_need_not_be_there_may_be_left_out_whole(client):
    assert client.post("/api/again").json == {"copies": 1}
    assert client.post("/api/again", json={"copies": 2}).json == {"copies": 2}
    assert client.post("/api/again", data="copies=2").status_code == 415


def test_first_what_is_wrong_is_in_error_and_the_rest_in_errors(client):
    answer = client.post("/api/order", json={"descripton": "One", "tags": 5})

    assert answer.status_code == 422
    assert (answer.json["code"], answer.json["field"]) == ("invalid", "descripton")
    assert answer.json["error"].endswith("errors names all 3.")
    assert {error["field"] for error in answer.json["errors"]} == {"descripton", "description", "tags"}


def test_a_query_is_read_and_an_empty_parameter_is_as_good_as_left_out(client):
    assert client.get("/api/look?whose=ada&limit=500&cursor=&pace=").json == {
        "limit": 100,
        "pace": "slow",
        "whose": "ada",
        "cursor": None,
    }


def test_every_fault_of_a_query_is_told_at_once_and_is_a_400(client):
    answer = client.get("/api/look?limit=x&pace=brisk&state=1&cursor=a&cursor=b")

    assert (answer.status_code, answer.json["code"]) == (400, "malformed")
    assert {error["field"]: error["error"] for error in answer.json["errors"]} == {
        "state": "There is no parameter state here. This call takes limit, cursor, pace, whose.",
        "cursor": "The parameter cursor is given 2 times.",
        "limit": "limit must be a whole number from 1 to 100.",
        "pace": "pace must be one of fast, slow.",
        "whose": "The parameter whose is missing.",
    }


def test_a_call_without_parameters_refuses_each(client):
    answer = client.post("/api/order?dry_run=1", json={"description": "One"})

    assert (answer.status_code, answer.json["field"]) == (400, "dry_run")


def test_a_call_that_will_end_says_so_in_each_answer(client):
    answer = client.get("/api/old")

    assert answer.headers["Deprecation"] == "@1796083200"
    assert answer.headers["Sunset"] == "Sat, 01 May 2027 00:00:00 GMT"
    assert answer.headers["Link"] == "</api/new>"
