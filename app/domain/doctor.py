"""What the doctor finds: for each check what is right, or what is wrong and the command that mends it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .clock import from_iso

RIGHT, WRONG, UNKNOWN, NOT_ASKED = "right", "wrong", "unknown", "not asked"
STALE_LEEWAY = timedelta(minutes=10)


class CannotTell(Exception):
    """A check that cannot be made: the message says why, `mend` what would let it be made."""

    def __init__(self, why: str, mend: str = "") -> None:
        super().__init__(why)
        self.mend = mend


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: `name` is that of the check (`mail sandbox`), `state` one of the four words above.

    `mend` is a command, a setting with its value, or a place to go to; empty where nothing is to be mended.
    """

    state: str
    sentence: str
    mend: str = ""
    name: str = ""


def right(sentence: str) -> Finding:
    return Finding(RIGHT, sentence)


def wrong(sentence: str, mend: str) -> Finding:
    return Finding(WRONG, sentence, mend)


def unknown(sentence: str, mend: str = "") -> Finding:
    return Finding(UNKNOWN, sentence, mend)


def not_asked(sentence: str) -> Finding:
    return Finding(NOT_ASKED, sentence)


def names_of(findings: Iterable[Finding], state: str) -> list[str]:
    """The checks that found this, each once, in their order."""
    return list(dict.fromkeys(finding.name for finding in findings if finding.state == state))


def exit_status(findings: list[Finding]) -> int:
    """0: all is right, as far as it is asked; 1: something is wrong; 3: nothing is, and something cannot be told."""
    if names_of(findings, WRONG):
        return 1
    return 3 if names_of(findings, UNKNOWN) else 0


@dataclass(frozen=True, slots=True)
class Kept:
    """The last examination that was kept. `secrets`: since when (ISO) each secret in use is known, by fingerprint."""

    at: datetime
    findings: tuple[Finding, ...] = ()
    every_seconds: int = 3600  # until the next one
    secrets: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_red(self) -> bool:
        return bool(names_of(self.findings, WRONG))

    def is_stale(self, now: datetime) -> bool:
        """Two of its successors have not come."""
        return now - self.at > 2 * timedelta(seconds=self.every_seconds) + STALE_LEEWAY

    def secret_since(self, fingerprint: str) -> datetime | None:
        since = self.secrets.get(fingerprint)
        return from_iso(since) if since else None
