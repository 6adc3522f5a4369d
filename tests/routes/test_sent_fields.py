"""Fields of an address or a form are read as Werkzeug reads them, and one that is not there without an exception."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from flask import request
from werkzeug import exceptions


@pytest.mark.parametrize("place", ["args", "form"])
def test_a_field_that_is_not_there_is_no_exception(app, place):
    with app.test_request_context("/?n=1", method="POST", data={"n": "1"}):
        fields = getattr(request, place)

        with patch.object(exceptions, "BadRequestKeyError", side_effect=AssertionError("made an exception")):
            found = fields.get("m"), fields.get("m", ""), fields.get("m", 7, type=int)

    assert found == (None, "", 7)


@pytest.mark.parametrize("place", ["args", "form"])
def test_a_field_that_is_there_is_read_as_ever(app, place):
    with app.test_request_context(
        "/?n=1&n=2&word=x&empty=", method="POST", data={"n": ["1", "2"], "word": "x", "empty": ""}
    ):
        fields = getattr(request, place)

        assert (fields.get("n"), fields.get("n", type=int), fields.get("word", 7, type=int)) == ("1", 1, 7)
        assert fields.get("empty", "else") == ""
        assert fields.getlist("n") == ["1", "2"]
        with pytest.raises(exceptions.BadRequestKeyError):
            fields["m"]
