"""One definition for an answer and its description: what it reads, what it is given, and which mistakes it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pytest

from app.web.shape import MOMENT, TEXT, WHOLE, Part, Shape, given
from tests.support import NOW


@dataclass(frozen=True, slots=True)
class Parcel:
    to: str
    sent_at: datetime | None = None
    note: str = ""

    @property
    def labelled(self) -> str:
        return f"To {self.to}"


PARCEL = Shape(
    "Parcel",
    Parcel,
    to=TEXT,
    sent_at=MOMENT,
    labelled=TEXT,
    letters=Part(WHOLE, lambda parcel: len(parcel.to)),
    **given(weight=WHOLE),
)


def test_a_field_is_read_off_the_thing_worked_out_or_given():
    assert PARCEL(Parcel("Ada", NOW), weight=5) == {
        "to": "Ada",
        "sent_at": "2026-11-22T12:00:00.000000Z",
        "labelled": "To Ada",
        "letters": 3,
        "weight": 5,
    }


def test_its_description_names_the_same_fields():
    assert PARCEL.schema["required"] == list(PARCEL.schema["properties"]) == list(PARCEL(Parcel("Ada"), weight=5))


@pytest.mark.parametrize("values", [{}, {"weight": 5, "width": 1}])
def test_what_is_given_is_what_was_described(values):
    with pytest.raises(TypeError, match="wants"):
        PARCEL(Parcel("Ada"), **values)


def test_what_the_thing_does_not_have_is_a_mistake_of_ours():
    with pytest.raises(TypeError, match="Parcel has no address"):
        Shape("", Parcel, address=TEXT)
