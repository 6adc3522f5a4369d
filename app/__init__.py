"""The ImpacterAGI customer dashboard: `create_app` builds, wires and registers."""

from __future__ import annotations

import gc

_looks_for_garbage = gc.isenabled()
gc.disable()  # nothing of what is imported is garbage: to look through it again and again was a fifth of each start

from datetime import timedelta
from typing import Any

from flask import Flask, g, has_request_context

from app.cli import Commands
from app.config import Config, ConfigError
from app.data import Store
from app.data.outbox import one_key
from app.data.rate_limits import RateLimitStorage
from app.data.threads import Readers
from app.data.transaction import patience
from app.domain.clock import store_time
from app.domain.errors import FilesUnavailable, PaymentsUnavailable
from app.gateways.circuit_breaker import CircuitBreaker, through
from app.gateways.files import FileStore
from app.gateways.receivers import Receivers, Trial
from app.gateways.ses import MailRefused, SesGateway
from app.gateways.stripe import StripeGateway
from app.routes import (
    account,
    address,
    admin,
    admin_finance,
    api,
    api_admin,
    api_credits,
    api_keys,
    api_webhooks,
    auth,
    buy,
    credits,
    csp,
    dashboard,
    design,
    documents,
    drafts,
    health,
    home,
    keys,
    metrics,
    second_factor,
    stripe_webhook,
    tasks,
    texts,
    transactions,
    unsent,
    unsubscribe,
    webhooks,
    wellknown,
)
from app.services.clock_check import ClockCheck
from app.services.doctor import Dot
from app.services.entrance import Entrance
from app.services.figures import UsualTime
from app.services.links import Links
from app.services.mail import MailRoom, Sender
from app.services.passkeys import Passkeys
from app.services.passwords import Passwords
from app.services.release import release
from app.services.sealing import Sealer
from app.services.texts import Texts
from app.services.throttle import Throttle
from app.services.tokens import Tokens
from app.telemetry.otlp import Missing
from app.telemetry.switch import switch
from app.web import (
    addresses,
    admission,
    compression,
    csrf,
    deps,
    edge,
    etags,
    headers,
    logs,
    measured,
    names,
    rate_limits,
    refusals,
    sessions,
    static_files,
    templating,
    typed,
    typed_drafts,
    waiting,
)
from app.web.devices import Devices
from app.web.files import UploadRequest
from app.web.looking import HeadAsGet, only_looking
from app.web.markdown import render_markdown
from app.web.measured import Measured
from app.web.server_state import ServerState
from app.web.visitors import add_commands, open_store
from app.web.whose import KeyOwners, Whose
from app.web.work_slots import Places, Slots, WorkSlots

gc.freeze()  # it stays, and workers that are forked share it
if _looks_for_garbage:
    gc.enable()

BLUEPRINTS = (
    home,
    texts,
    buy,
    auth,
    dashboard,
    tasks,
    credits,
    transactions,
    account,
    address,
    second_factor,
    keys,
    drafts,
    unsent,
    unsubscribe,
    webhooks,
    wellknown,
    design,
    admin,
    admin_finance,
    api,
    api_credits,
    api_keys,
    api_admin,
    api_webhooks,
    documents,
    stripe_webhook,
    health,
    metrics,
    csp,
)

STRIPE_DEADLINE_SECONDS = 11.0  # nobody at a page waits longer for Stripe
STRIPE_SLOW_SECONDS = 5.0


def create_app(
    config: Config | None = None,
    *,
    store: Store | None = None,
    stripe: StripeGateway | None = None,
    sender: Sender | None = None,
) -> Flask:
    """Build the app from the environment, or from what a test hands in. Raises ConfigError."""
    config = config or Config.from_env()
    logs.configure()
    measure(config)
    patience.seconds = config.store_patience_seconds
    one_key.kept = config.outbox_one_key
    store_time.tolerance = timedelta(seconds=config.clock_tolerance_seconds)
    app = Flask(__name__)
    app.ensure_sync = _as_it_is  # type: ignore[method-assign, assignment]
    app.request_class = UploadRequest
    app.jinja_environment = templating.Pages
    app.json.sort_keys = False  # type: ignore[attr-defined]
    store = store or open_store(config)
    slots = Slots()
    wired = wire(config, store, slots, stripe, sender)
    deps.register(app, wired)
    app.wsgi_app = WorkSlots(app.wsgi_app, slots, Whose(app, wired.tokens, wired.key_owners))  # type: ignore[method-assign]
    logs.register(app)
    measured.register(app)
    edge.register(app, config)
    sessions.register(app, config)
    admission.register(app, config)
    csrf.register(app)
    typed.register(app)
    typed_drafts.register(app)
    headers.register(app, config)
    refusals.register(app)
    app.cli = Commands(app.name, add_commands)
    templating.register(app, config)
    names.register(app)
    compression.register(app)
    static_files.register(app)
    rate_limits.register(app)
    waiting.register(app)
    etags.register(app)
    addresses.register(app)
    for module in BLUEPRINTS:
        app.register_blueprint(module.bp)
    app.wsgi_app = HeadAsGet(app.wsgi_app)  # type: ignore[method-assign]
    if switch.on:
        app.wsgi_app = Measured(app.wsgi_app)  # type: ignore[method-assign]
    return app


def _as_it_is(function: Any) -> Any:
    """Nothing here is a coroutine (tests/test_architecture.py): Flask would ask 40 times a request."""
    return function


def measure(config: Config) -> None:
    """Switch on what the settings ask for, before anything is made that looks whether it is on. Raises ConfigError."""
    if config.metrics_token:
        switch.count()
    if config.otlp_endpoint:
        try:
            switch.send(config.otlp_endpoint, release())
        except Missing as error:
            raise ConfigError(
                f"OTEL_EXPORTER_OTLP_ENDPOINT needs the packages of requirements-telemetry.txt: {error}."
            ) from error
    if switch.on:
        logs.count_lines()


def wire(config: Config, store: Store, slots: Slots, stripe: StripeGateway | None, sender: Sender | None) -> deps.Deps:
    """What the views work with. Calls to the outside give their slot away, have their time, and are left alone while
    they fail.
    """
    links, readers = Links(config.jwt_secrets, config.app_url), Readers()
    passwords, sealer = Passwords(config.bcrypt_rounds, aside=slots.given_away), Sealer(config.jwt_secrets)
    throttle = Throttle(
        RateLimitStorage(store), config.signups_per_hour, readers, slots.given_away, only_looking, rate_limits.tell
    )
    ways: dict[str, Any] = {"aside": slots.given_away, "who": asking_account}
    times: dict[str, Any] = {"deadline_seconds": STRIPE_DEADLINE_SECONDS, "slow_seconds": STRIPE_SLOW_SECONDS}
    return deps.Deps(
        config=config,
        store=store,
        stripe=through(
            CircuitBreaker("Stripe", PaymentsUnavailable, **times, **ways),
            stripe or StripeGateway(config.stripe_secret_key, config.stripe_api_base),
            *("ensure_customer", "change_customer_email", "create_checkout", "create_guest_checkout", "get_session"),
            *("line_items", "find_catalogue_item", "refund", "receipt_url"),
        ),
        files=through(
            CircuitBreaker("The file store", FilesUnavailable, deadline_seconds=60, slow_seconds=20, **ways),
            FileStore(config.files_bucket, config.aws_region, config.s3_endpoint_url),
            *("put", "find", "remove_all"),
        ),
        # It asks for AT_ONCE mails at a time and puts off what is refused: nothing to leave alone.
        sender=through(
            CircuitBreaker("SES", MailRefused, deadline_seconds=30, slow_seconds=30, failures=0),
            sender or SesGateway(config),
            "send",
        ),
        receivers=Receivers(Trial(frozenset(config.webhook_trial_receivers), config.webhook_trial_authority)),
        passwords=passwords,
        passkeys=Passkeys(config.app_url),
        sealer=sealer,
        links=links,
        mail_room=MailRoom(links, config.app_url, config.support_email, render_markdown),
        tokens=Tokens(config.jwt_secrets),
        devices=Devices(config.jwt_secrets, secure=config.is_production),
        throttle=throttle,
        entrance=Entrance(store, passwords, throttle, sealer),
        places=Places(slots),
        key_owners=KeyOwners(),
        clock=ClockCheck(),
        readers=readers,
        texts=Texts.read(config.pages_dir),
        usual_time=UsualTime(store, readers),
        server_state=ServerState(),
        doctors_dot=Dot(store, readers),
    )


def asking_account() -> str | None:
    """Whose request this is, as far as it is known: one account's calls must not take everybody's places."""
    account = g.get("account") if has_request_context() else None
    return account.email if account else None
