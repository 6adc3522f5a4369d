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
