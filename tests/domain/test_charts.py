"""The axis of a chart and its columns: one peak does not flatten the rest, and each column can be told in words."""

import re

import pytest

from app.domain.charts import HEIGHT, axis_of, columns, stacked


@pytest.mark.parametrize(
    ("sums", "top", "middle"),
    [([1], 2, 1), ([3, 0, 4], 4, 2), ([30, 20], 40, 20), ([10, 10, 10, 7750], 8000, 2000), ([81], 120, 60)],
)
def test_an_axis_ends_at_a_round_number_and_its_middle_is_whole(sums, top, middle):
    axis = axis_of(sums)

    assert (axis.top, axis.middle) == (top, middle)
    assert axis.height(middle) == HEIGHT / 2


def test_one_peak_does_not_flatten_the_rest():
    flat, peak = axis_of([10, 10, 20]), axis_of([10, 10, 10, 1000])

    assert not flat.rooted
    assert peak.rooted
    assert peak.height(10) >= HEIGHT / 12  # a hundredth of it on a straight axis


def test_parts_stand_on_one_another_and_what_is_below_zero_is_left_out():
    chart = stacked([[1, 1], [0, 0], [-5, 2]], ["one each", "none", "two"])

    first, second = chart.paths
    assert re.findall(r"v-(\d+)", first) == ["400"]
    assert re.findall(r"M(\d+) (\d+)", second) == [("0", "400"), ("20", "800")]
    assert chart.values == ["one each", "", "two"]


def test_nothing_has_no_axis():
    assert stacked([[0]] * 30, [""] * 30).axis is None


@pytest.mark.parametrize("values", [[], [0, -3], [10, 0, -5, 20], [1, 1, 2, 100_000], list(range(-5, 300, 7))])
def test_columns_are_a_stack_of_one_part(values):
    words = [f"{value} credits" for value in values]

    assert columns(values, words) == stacked([[value] for value in values], words)
