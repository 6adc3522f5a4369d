"""Tasks to begin with, for somebody who has none yet: each can be submitted as it stands."""

from __future__ import annotations

from dataclasses import dataclass

from .tasks import Brief


@dataclass(frozen=True, slots=True)
class Example:
    title: str
    brief: Brief


EXAMPLES = (
    Example(
        "Compare offers",
        Brief(
            description="Which of these offers for 40 chairs is the best value, and why? We need them within two "
            "weeks. Alder: $4,180, 3 weeks, 1 year of warranty. Birch: $4,420, 5 days, 5 years. Cedar: "
            "$3,990, 8 weeks, none."
        ),
    ),
    Example(
        "Shorten a text",
        Brief(
            description="Make three sentences of this for our customers, in plain words: Owing to scheduled "
            "maintenance of the primary storage system, access to archived documents will be limited on "
            "Saturday between 06:00 and 10:00 UTC. Documents uploaded during that period are processed "
            "with a delay of up to one hour. No data is affected, and all other functions remain "
            "available."
        ),
    ),
    Example(
        "Write a letter",
        Brief(
            description="Write a friendly reminder for an invoice of $1,250 that was due two weeks ago. The customer "
            "has always paid in time before. Ask whether something is wrong, and offer to send the "
            "invoice again."
        ),
    ),
)


def example(number: str | None) -> Example | None:
    """By its number, from 1; None where there is none of that number."""
    known = {str(place): found for place, found in enumerate(EXAMPLES, start=1)}
    return known.get(number or "")
