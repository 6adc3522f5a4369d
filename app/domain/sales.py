"""Which sales are of credits: one Stripe account often sells other things too, and their payers get no credits here.

A Checkout Session is ours when this app opened it (its metadata says so, and only who holds the key can write that) or
when it sold nothing but what an operator or a setting names: a Payment Link, a product, a price.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

MARK = "impacteragi-credits"  # metadata `sold_by` of every session that this app opens
GUEST = "guest"  # metadata `buyer` of one that was opened for somebody without an account
NOT_OURS = "not ours"
ELSEWHERE = "checkout"  # sessions that another program opened, each with prices made for it alone
OURS, NEVER = "ours", "never"
MAX_LABEL = 120
# What sessions carried before they were marked; a stranger's metadata may well hold one of these, never all of them.
ACCOUNT_KEYS = ("account_id", "credits", "price_cents")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a sale. `standing`: a price of the catalogue, not one that was made for this session alone."""

    product: str
    price: str
    standing: bool = True
    label: str = ""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a session came from that this app did not open. `lines` is None while Stripe has not been asked."""

    link: str | None = None
    lines: tuple[Line, ...] | None = None

    @property
    def ids(self) -> tuple[str, ...]:
        """All that an operator may have decided about: link, products, prices."""
        found = [self.link, *(part for line in self.lines or () for part in (line.product, line.price))]
        return tuple(dict.fromkeys(part for part in found if part))


@dataclass(frozen=True, slots=True)
class Named:
    """What settings name as sales of credits. `unnamed_too`: development credits whatever comes while none is named."""

    payment_links: frozenset[str] = frozenset()
    prices: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()
    unnamed_too: bool = False

    @property
    def ids(self) -> frozenset[str]:
        return self.payment_links | self.prices | self.products

    @property
    def credits_all(self) -> bool:
        return self.unnamed_too and not self.ids


@dataclass(frozen=True, slots=True)
class Sale:
    """A row of the Sales table: a link, product or price that was seen and is not named by a setting.

    `decision` is what operators said of it for good: OURS, NEVER, or None while nobody has said anything.
    """

    source: str
    first_seen_at: datetime
    label: str = ""
    decision: str | None = None
    decided_at: datetime | None = None
    decided_by: str | None = None
    approved_by: str | None = None  # the second operator, where more waited than one credits alone in a day

    @property
    def deciders(self) -> tuple[str, ...]:
        return tuple(name for name in (self.decided_by, self.approved_by) if name)

    @property
    def can_be_named(self) -> bool:
        return self.source != ELSEWHERE  # what has no name of its own is adopted one by one


@dataclass(frozen=True, slots=True)
class Verdict:
    """`source` is where a session that is not ours is kept; None when it is ours. `blindly`: named by nobody."""

    source: str | None = None
    blindly: bool = False


def opened_here(metadata: Mapping[str, Any]) -> bool:
    """Whether the metadata is what this app writes: complete, so that nobody else's can pass by accident."""
    if metadata.get("sold_by") == MARK:
        return metadata.get("buyer") == GUEST or "account_id" in metadata
    return all(key in metadata for key in ACCOUNT_KEYS)


def origin_of(session: Mapping[str, Any]) -> Origin:
    """What a session says of where it came from. Its lines are known only where Stripe was asked to add them."""
    link = session.get("payment_link")
    link = link.get("id") if isinstance(link, dict) else link
    items = session.get("line_items")
    return Origin(_key(link), lines_of(items) if isinstance(items, dict) else None)


def lines_of(listing: Mapping[str, Any]) -> tuple[Line, ...]:
    """The lines of Stripe's list of line items. What of it cannot be read is a line that nobody can name."""
    items = listing.get("data")
    lines = [_line(item) for item in items] if isinstance(items, list) else []
    if listing.get("has_more"):
        lines.append(Line("", "", standing=False))
    return tuple(lines)


def judge(origin: Origin, named: Named, decided: Mapping[str, Sale]) -> Verdict:
    """Whether a session that this app did not open is a sale of credits. `decided`: the rows of `origin.ids`.

    A word about the link goes before one about what it sells, and one about a price before one about its product: of
    one product one price may be of credits and another of a book. Of several lines each must be named: else a book
    sold beside credits would be credited as well.
    """
    ours = named.ids | {source for source, sale in decided.items() if sale.decision == OURS}
    never = {source for source, sale in decided.items() if sale.decision == NEVER} - named.ids
    if origin.link in ours:
        return Verdict()
    named_closer = {line.product for line in origin.lines or () if line.price in ours} - {
        line.product for line in origin.lines or () if line.price not in ours
    }
    refused = next((source for source in origin.ids if source in never - named_closer), None)
    if refused is not None:
        return Verdict(refused)
    lines = origin.lines or ()
    if lines and all(line.product in ours or line.price in ours for line in lines):
        return Verdict()
    if named.credits_all:
        return Verdict(blindly=True)
    if origin.link is not None:
        return Verdict(origin.link)
    foreign = [line for line in lines if line.product not in ours and line.price not in ours]
    if foreign and foreign[0].standing:
        return Verdict(foreign[0].product or foreign[0].price)
    return Verdict(ELSEWHERE)


def label_of(origin: Origin) -> str:
    """What the payer saw: for operators, who know a book by its title rather than by its id."""
    return " + ".join(line.label for line in origin.lines or () if line.label)[:MAX_LABEL]


def _line(item: object) -> Line:
    price = item.get("price") if isinstance(item, dict) else None
    if not isinstance(item, dict) or not isinstance(price, dict):
        return Line("", "", standing=False)
    product = price.get("product")
    product = product.get("id") if isinstance(product, dict) else product
    label = item.get("description")
    return Line(
        _key(product) or "",
        _key(price.get("id")) or "",
        standing=price.get("active") is not False,  # Stripe makes prices of `price_data` inactive
        label=label[:MAX_LABEL] if isinstance(label, str) else "",
    )


def _key(value: object) -> str | None:
    """An id of Stripe's, or None: text that a key and an address can hold."""
    if isinstance(value, str) and 0 < len(value) <= 255 and value.isascii() and value.isprintable():
        return value
    return None
