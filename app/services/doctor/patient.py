"""What the checks of the doctor look at, and what a check is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from app.config import Config
from app.data import Store
from app.domain.doctor import Finding
from app.domain.sales import Named
from app.gateways.own_address import Answer

from ..cloudflare import Api
from ..texts import Texts

FLASK = "flask --app app.wsgi"
SET_UP = "python scripts/setup_db.py"
SECONDS = 15.0


class Stripe(Protocol):
    def find_catalogue_item(self, item_id: str) -> dict[str, Any] | None: ...


class Account(Protocol):
    """Stripe's words about the account: app/gateways/stripe_account.py."""

    def who(self) -> dict[str, Any]: ...

    def endpoints(self) -> list[dict[str, Any]]: ...

    def undelivered(self, since: datetime, types: list[str]) -> list[dict[str, Any]]: ...

    def unreadable(self) -> list[str]: ...


class Mail(Protocol):
    """SES's: app/gateways/ses.py."""

    def sending(self) -> dict[str, Any]: ...

    def identity(self, name: str) -> dict[str, Any] | None: ...

    def suppressed(self) -> tuple[list[str], bool]: ...


class Files(Protocol):
    def bucket_region(self) -> str | None: ...

    def round_trip(self) -> None: ...


class Address(Protocol):
    """app/gateways/own_address.py."""

    def ask(self, path: str, headers: Mapping[str, str] | None = None) -> Answer: ...


class Vault(Protocol):
    """app/services/backup/vault.py."""

    home: Any
    copy: Any
    files: Any


@dataclass(frozen=True, slots=True)
class Patient:
    """What is looked at: settings, the store, and whoever else is asked."""

    config: Config
    store: Store
    stripe: Stripe
    account: Account
    mail: Mail
    files: Files
    address: Address
    collector: Address | None  # where metrics and traces are sent to
    cloudflare: Api | None  # None where nothing says how to ask it
    headers: Mapping[str, str]  # that each page is sent with
    named: Named
    texts: Texts
    vault: Vault
    now: Callable[[], datetime]

    def is_local(self, endpoint: str | None) -> bool:
        """Whether this stands in for a service of AWS or Stripe on somebody's machine."""
        return bool(endpoint) and not self.config.is_production


@dataclass(frozen=True, slots=True)
class Check:
    """One question. `look` says what it finds; what it raises is told as unknown, and so is an answer after `seconds`.

    `before_release`: also asked of the settings of a release that is still to come. Not where the release is what mends
    it, and not where it has nothing to do with it: who has no terms yet must be able to release all the same.
    """

    name: str
    look: Callable[[Patient], Iterable[Finding]]
    before_release: bool = True
    seconds: float = SECONDS
