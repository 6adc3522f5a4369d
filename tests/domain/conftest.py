"""Every refusal of a rule is shown to a person as it stands: the tests of the rules hold all of them to that."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.domain.errors import DomainError


@pytest.fixture(autouse=True)
def refusals_are_sentences(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    said = []
    plain = DomainError.__init__

    def heard(self: DomainError, message: str | None = None) -> None:
        plain(self, message)
        said.append(str(self))

    monkeypatch.setattr(DomainError, "__init__", heard)
    yield
    assert [words for words in said if not is_sentence(words)] == []


def is_sentence(words: str) -> bool:
    """It begins as sentences do (or with somebody's address), ends with a full stop, and does not shout."""
    first = words.split()[0]
    return (first[0].isupper() or "@" in first) and words.endswith(".") and words != words.upper()
