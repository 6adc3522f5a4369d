"""How it stands with a limit: what programs are told of it, with an answer or a refusal."""

from __future__ import annotations

from dataclasses import dataclass

REQUESTS, AT_ONE_TIME = "requests", "concurrent-requests"  # what a limit counts


@dataclass(frozen=True, slots=True)
class Standing:
    """A limit by its name: `quota` in `window` seconds, of which so many are `left` for `resets_in` more.

    `left` is None where nobody is told: it would say how often others have tried.
    """

    name: str
    quota: int
    window: int | None = None  # of those at once there is none
    left: int | None = None
    resets_in: int | None = None
    unit: str = REQUESTS
