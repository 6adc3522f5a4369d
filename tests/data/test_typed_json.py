"""Items as lines of DynamoDB JSON: what goes there comes back, whatever its types."""

from __future__ import annotations

import json
from decimal import Context, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.data.typed_json import digest, from_json, from_line, to_json, to_line

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)  # what UTF-8 can hold, and so DynamoDB
numbers = st.one_of(
    st.integers(-(10**38) + 1, 10**38 - 1).map(str),
    st.decimals(-(10**20), 10**20, places=18, allow_nan=False).map(lambda n: str(n.normalize(Context(prec=38)))),
    st.sampled_from(["1E-130", "9.9999999999999999999999999999999999999E+125", "0"]),
)
binaries = st.binary(max_size=20)


def sets(kind: str, values):
    return st.lists(values, min_size=1, max_size=4, unique=True).map(lambda found: {kind: found})


plain = st.one_of(
    texts.map(lambda value: {"S": value}),
    numbers.map(lambda value: {"N": value}),
    binaries.map(lambda value: {"B": value}),
    st.booleans().map(lambda value: {"BOOL": value}),
    st.just({"NULL": True}),
    sets("SS", texts.filter(bool)),
    sets("NS", st.integers(-(10**37), 10**37).map(str)),
    sets("BS", binaries.filter(bool)),
)
attributes = st.recursive(
    plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda found: {"L": found}),
        # names that are types, too
        st.dictionaries(texts | st.sampled_from(["B", "M", "L", "Item"]), inner, max_size=4).map(lambda v: {"M": v}),
    ),
    max_leaves=12,
)
items = st.dictionaries(texts.filter(bool) | st.sampled_from(["B", "BS"]), attributes, max_size=6)


@given(items)
def test_an_item_comes_back_as_it_went_and_is_one_line(item):
    line = to_line(item)

    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert from_line(line) == item
    assert from_json(json.loads(json.dumps(to_json(item)))) == item
    assert digest(from_line(line)) == digest(item)


def test_a_line_is_written_as_dynamodb_writes_it():
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html"""
    item = {
        "Id": {"N": "103"},
        "Authors": {"SS": ["Ada", "Βασίλης"]},
        "Cover": {"B": b"\x00\xff"},
        "Out": {"BOOL": False},
    }

    told = '{"Item":{"Id":{"N":"103"},"Authors":{"SS":["Ada","Βασίλης"]},"Cover":{"B":"AP8="},"Out":{"BOOL":false}}}\n'
    assert to_line(item) == told.encode()


def test_items_that_are_equal_to_dynamodb_have_one_digest_and_others_another():
    one = {"a": {"N": "100"}, "b": {"SS": ["x", "y"]}, "c": {"NS": ["1", "2.50"]}, "d": {"N": "0"}}
    same = {"d": {"N": "-0.0"}, "c": {"NS": ["2.5", "1"]}, "b": {"SS": ["y", "x"]}, "a": {"N": "1E+2"}}

    assert digest(one) == digest(same)
    others = [
        one | {"a": {"N": "101"}},
        one | {"a": {"S": "100"}},
        one | {"b": {"SS": ["x"]}},
        one | {"e": {"NULL": True}},
        one | {"a": {"N": "100." + "0" * 34 + "1"}},
    ]
    assert len({digest(item) for item in (one, *others)}) == 6
    assert digest({"n": {"N": "9" + "0" * 125}}) == digest({"n": {"N": "9E+125"}}) != digest({"n": {"N": "9E+124"}})
    assert digest({"a": {"N": str(Decimal("9" * 38))}}) != digest({"a": {"N": str(Decimal("9" * 37 + "8"))}})


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b'"Item"',
        b'{"Item": 3}',
        b'{"item": {}}',
        b'{"Item": {"a": {}}}',
        b'{"Item": {"a": {"S": "x", "N": "1"}}}',
        b'{"Item": {"a": {"X": "x"}}}',
        b'{"Item": {"a": {"B": "no base64"}}}',
        b'{"Item": {"a": {"M": []}}}',
        b'{"Item": {"a": {"S": "\xff"}}}',
        b'{"Item":' + b"[" * 100_000,
    ],
)
def test_what_is_no_item_is_refused(line):
    with pytest.raises(ValueError, match=r".*"):
        from_line(line)
