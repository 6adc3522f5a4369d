"""Plain values as DynamoDB's typed attributes, and back."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.data.codec import decode_item, encode, encode_item

VALUES = st.recursive(
    st.text() | st.integers(-(10**37), 10**37) | st.booleans(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(min_size=1), VALUES, max_size=5))
def test_values_come_back_as_they_were(values):
    assert decode_item(encode_item(values)) == values


def test_types_are_dynamodbs():
    row = encode_item({"s": "x", "n": -5, "b": True, "l": ["x", 1], "m": {"k": False}, "t": ("x",)})

    assert row == {
        "s": {"S": "x"},
        "n": {"N": "-5"},
        "b": {"BOOL": True},
        "l": {"L": [{"S": "x"}, {"N": "1"}]},
        "m": {"M": {"k": {"BOOL": False}}},
        "t": {"L": [{"S": "x"}]},
    }


def test_none_is_left_out():
    assert encode_item({"a": None, "b": 1}) == {"b": {"N": "1"}}


def test_null_that_somebody_else_stored_reads_as_none():
    assert decode_item({"a": {"NULL": True}}) == {"a": None}


@pytest.mark.parametrize("value", [1.5, Decimal("1"), b"x", object(), {1}])
def test_refused_when_a_value_has_no_exact_form(value):
    with pytest.raises(TypeError):
        encode(value)


@pytest.mark.parametrize("attribute", [{"SS": ["x"]}, {"B": b"x"}])
def test_refused_when_an_attribute_is_of_a_type_that_we_never_write(attribute):
    with pytest.raises(TypeError):
        decode_item({"a": attribute})
