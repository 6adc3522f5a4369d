"""For pytest under mutmut: random tests always draw the same examples, and the quick tests come before them."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings

# What is found need not be made small: that a mutant was found is all that counts here.
settings.register_profile("mutation", derandomize=True, database=None, phases=(Phase.explicit, Phase.generate))
settings.load_profile("mutation")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: getattr(getattr(item, "obj", None), "is_hypothesis_test", False))
