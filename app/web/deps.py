"""What the views work with, made once by `create_app` and looked up from the current app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from flask import current_app

from app.config import Config
from app.data import Store
from app.data.threads import Readers
from app.domain.clock import utcnow
from app.domain.sales import Named
from app.gateways.cloudflare import Cloudflare
from app.gateways.files import FileStore
from app.gateways.own_address import OwnAddress
from app.gateways.receivers import Receivers
from app.gateways.stripe import StripeGateway
from app.services.backup.vault import Vault
from app.services.clock_check import ClockCheck
from app.services.doctor import Dot, Patient
from app.services.entrance import Entrance
from app.services.figures import UsualTime
from app.services.links import Links
from app.services.mail import MailRoom, Sender
from app.services.passkeys import Passkeys
from app.services.passwords import Passwords
from app.services.sealing import Sealer
from app.services.texts import Texts
from app.services.throttle import Throttle
from app.services.tokens import Tokens
from app.web import headers
from app.web.devices import Devices
from app.web.server_state import ServerState
from app.web.whose import KeyOwners
from app.web.work_slots import Places

if TYPE_CHECKING:
    from flask import Flask

KEY = "impacteragi"


@dataclass(frozen=True, slots=True)
class Deps:
    config: Config
    store: Store
    stripe: StripeGateway
    files: FileStore
    sender: Sender
    receivers: Receivers
    passwords: Passwords
    passkeys: Passkeys
    sealer: Sealer
    links: Links
    mail_room: MailRoom
    tokens: Tokens
    devices: Devices
    throttle: Throttle
    entrance: Entrance
    places: Places
    key_owners: KeyOwners
    clock: ClockCheck
    readers: Readers
    texts: Texts
    usual_time: UsualTime
    server_state: ServerState  # where no server of workers hands its own to each request
    doctors_dot: Dot


def register(app: Flask, deps: Deps) -> None:
    app.extensions[KEY] = deps


def get() -> Deps:
    return cast(Deps, current_app.extensions[KEY])


def config() -> Config:
    return get().config


def store() -> Store:
    return get().store


def named_sales() -> Named:
    """What settings name as sales of credits. With nothing named development credits whatever comes."""
    settings = config()
    return Named(
        payment_links=frozenset(settings.credit_payment_links),
        prices=frozenset(settings.credit_prices),
        products=frozenset(settings.credit_products),
        unnamed_too=not settings.is_production,
    )


def patient() -> Patient:
    """What the doctor examines. It asks without the circuit breakers: it wants to know what is said, and waits."""
    found = get()
    outside: Any = found.sender  # the account behind it is no matter of who sends mails
    return Patient(
        config=found.config,
        store=found.store,
        stripe=found.stripe,
        account=found.stripe.account,
        mail=outside.account,
        files=found.files,
        address=OwnAddress(found.config.app_url),
        collector=OwnAddress(found.config.otlp_endpoint) if found.config.otlp_endpoint else None,
        cloudflare=_cloudflare(found.config),
        headers=headers.of_pages(found.config) | headers.of_transport(found.config),
        named=named_sales(),
        texts=found.texts,
        vault=Vault(found.config),
        now=utcnow,
    )


def _cloudflare(settings: Config) -> Cloudflare | None:
    if not settings.cloudflare_api_token or not settings.cloudflare_zone:
        return None
    return Cloudflare(settings.cloudflare_api_token, settings.cloudflare_zone, patient=False)
