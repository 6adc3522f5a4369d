"""Finance's figures as rows of the Figures table: one for each month and shard of accounts."""

from __future__ import annotations

from typing import Any

from app.domain.ledger_figures import LedgerFigures, Place

from .records import Codec

FIGURES_OF_LEDGER = Codec(LedgerFigures)


def place_key(place: Place) -> dict[str, str]:
    return {"place": f"{place[0]}#{place[1]:02}"}


def place_of(row: dict[str, Any]) -> Place:
    month, _, shard = row["place"].partition("#")
    return month, int(shard)


def grown(figures: LedgerFigures) -> dict[str, int]:
    """What to add to a row; what has not grown is left out."""
    return FIGURES_OF_LEDGER.row(figures)
