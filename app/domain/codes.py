"""Promotional codes: who may redeem one, and until when."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from .accounts import Account
from .by_hand import are_one
from .credits import PROMO, LedgerEntry
from .errors import AddressUnconfirmed, InvalidInput
from .people import person_mark
from .text import compact

MAX_CODE_CREDITS = 100_000
_CODE = re.compile(r"[A-Z0-9][A-Z0-9-]{3,38}[A-Z0-9]")


@dataclass(frozen=True, slots=True)
class PromotionalCode:
    """A row of the RedeemCodes table: `credits` for each of at most `max_uses` accounts, once each."""

    code: str
    credits: int
    max_uses: int
    expires_at: datetime
    created_at: datetime
    created_by: str
    uses: int = 0
    disabled: bool = False
    note: str = ""
    approved_by: str | None = None  # the second operator, where it took one

    @property
    def worth(self) -> int:
        """Credits that it puts into the world if every use is made: what its maker answers for."""
        return self.credits * self.max_uses


def normalise_code(raw: object) -> str:
    """Upper case, without spaces and what nobody sees: codes are read aloud, copied from paper and pasted.

    Raises InvalidInput.
    """
    code = compact(raw).upper()
    if not _CODE.fullmatch(code):
        raise InvalidInput("A code has 5 to 40 letters, digits and dashes.", field="code")
    return code


def check_redeemable(code: PromotionalCode | None, now: datetime) -> PromotionalCode:
    """Raises InvalidInput, in words that do not tell a wrong code from a switched-off one."""
    if code is None or code.disabled:
        raise InvalidInput("There is no such code.", field="code")
    if now >= code.expires_at:
        raise InvalidInput("This code has expired.", field="code")
    if code.uses >= code.max_uses:
        raise InvalidInput("This code has been used up.", field="code")
    return code


def check_confirmed(account: Account) -> None:
    """Raises AddressUnconfirmed. Asked before anything is said of a code."""
    if not account.confirmed:
        raise AddressUnconfirmed


def check_redeemer(makers: Iterable[str], account: Account) -> None:
    """Raises InvalidInput for whoever made the code or agreed to it: `makers`, by all that they are known as."""
    if any(are_one(maker, address) for maker in makers for address in account.addresses):
        raise InvalidInput("Who made a code does not redeem it.", field="code")


def promo_entry(code: PromotionalCode, account: Account) -> LedgerEntry:
    """Its id names the code and the person: whatever accounts somebody has, or had, there is one such row at most."""
    return LedgerEntry(
        transaction_id=f"promo#{code.code}#{person_mark(account.email)}",
        user_email=account.email,
        type=PROMO,
        amount=code.credits,
        description=f"Redeemed the code {code.code}",
    )


def ids_by_other_addresses(code: PromotionalCode, account: Account) -> set[str]:
    """What the row's id would be by the other addresses that the account has or had: of another account of the same
    person.
    """
    ids = {f"promo#{code.code}#{person_mark(address)}" for address in account.addresses}
    return ids - {promo_entry(code, account).transaction_id}


def earlier_entry_id(code: PromotionalCode, account: Account) -> str:
    """What the id was while a code was counted by account: such a row says that the person had it, too."""
    return f"promo#{code.code}#{account.account_id}"
