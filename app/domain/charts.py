"""Charts as numbers: an axis, columns as SVG paths, and each column in words."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from statistics import median
from typing import NamedTuple

HEIGHT = 800
LEAST = HEIGHT // 50  # of a column: what is not nothing shows
WIDE = 10  # a column with the gap behind it
STEPS = (2, 4, 8, 12, 16, 20, 40, 60, 80)  # where an axis may end, times a power of ten: half and quarter are whole
FLATTENED = 8  # times the median: from there on a straight axis would show one peak and nothing else


class Axis(NamedTuple):
    """From 0 to `top`. `rooted`: by the square root, so that half the height is a quarter of the value."""

    top: int
    rooted: bool

    @property
    def middle(self) -> int:
        """The value at half the height."""
        return self.top // (4 if self.rooted else 2)

    def height(self, value: int) -> int:
        return isqrt(HEIGHT * HEIGHT * value // self.top) if self.rooted else HEIGHT * value // self.top


class Chart(NamedTuple):
    axis: Axis | None  # None where there is nothing to show
    paths: list[str]  # for each part
    values: list[str]  # each column in words, "" for an empty one


def axis_of(sums: Sequence[int]) -> Axis | None:
    shown = [number for number in sums if number > 0]
    if not shown:
        return None
    power, highest = 1, max(shown)
    while highest > STEPS[-1] * power:
        power *= 10
    top = next(step * power for step in STEPS if step * power >= highest)
    return Axis(top, highest >= FLATTENED * median(shown))


def columns(values: Sequence[int], words: Sequence[str]) -> Chart:
    """A column for each value; what is below zero is left out."""
    axis = axis_of(values)
    if axis is None:
        return Chart(None, [""] if values else [], [""] * len(values))
    path, shown, height = [], [], axis.height
    for left, value, text in zip(range(0, WIDE * len(values), WIDE), values, words, strict=True):
        if value > 0:
            high = height(value)
            path.append(f"M{left} {HEIGHT}h9v-{high if high > LEAST else LEAST}h-9z")
        shown.append(text if value > 0 else "")
    return Chart(axis, ["".join(path)], shown)


def stacked(rows: Sequence[Sequence[int]], words: Sequence[str]) -> Chart:
    """A column for each row, its parts on top of one another; what is below zero is left out."""
    rows = [[value if value > 0 else 0 for value in row] for row in rows]
    sums = [sum(row) for row in rows]
    axis = axis_of(sums)
    drawn: list[list[str]] = [[] for _ in range(max(map(len, rows), default=0))]
    for place, (row, total) in enumerate(zip(rows, sums, strict=True)):
        if axis and total:
            whole, below = max(axis.height(total), LEAST), 0
            for part, value in zip(drawn, row, strict=False):
                if value:
                    high = whole * value // total
                    part.append(f"M{place * WIDE} {HEIGHT - below}h9v-{high}h-9z")
                    below += high
    shown = [text if total else "" for text, total in zip(words, sums, strict=True)]
    return Chart(axis, ["".join(part) for part in drawn], shown)
