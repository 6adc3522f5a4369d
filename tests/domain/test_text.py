"""Text that can be kept exactly, and text that cannot."""

import pytest

from app.domain.errors import InvalidInput
from app.domain.text import storable


@pytest.mark.parametrize("text", ["", "plain", "emoji 👩‍🚀", "\u202eright to left", "\u2028", "\x1b[31m", "e\u0301"])
def test_kept_exactly(text):
    assert storable(text, "description") == text


@pytest.mark.parametrize("text", ["a\x00b", "\ud800", "\udfff tail", None, 5, b"bytes", ["x"], {}])
def test_refused_by_the_name_of_its_field(text):
    with pytest.raises(InvalidInput) as refusal:
        storable(text, "description")

    assert refusal.value.field == "description"


@pytest.mark.parametrize(
    ("text", "words"),
    [(5, r"^Description must be text\.$"), ("\x00", r"^The text holds characters that cannot be stored\.$")],
)
def test_the_reason_is_told_when_text_is_refused(text, words):
    with pytest.raises(InvalidInput, match=words):
        storable(text, "description")


@pytest.mark.parametrize("char", ["\ud7ff", "\ue000"])
def test_kept_exactly_when_a_character_is_next_to_the_surrogates(char):
    assert storable(char, "description") == char
