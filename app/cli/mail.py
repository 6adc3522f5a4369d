"""`flask mail`: the sender of the outbox."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event, Thread
from typing import Any

import click

from app.cli.groups import Group
from app.cli.tasks import operator
from app.cli.watching import EveryMinute, until_stopped
from app.domain.clock import utcnow
from app.domain.errors import DomainError, Unavailable
from app.services import measurements, outbox, waiting
from app.services.mail import deliver_due
from app.services.pace import Pace
from app.services.webhook_sender import Done, WebhookSender
from app.telemetry.switch import switch
from app.web import deps

log = logging.getLogger(__name__)

SOON = 0.05  # seconds before the next look, where the last one began something
STOP_SECONDS = 11.0  # what a request to a receiver may still take once the sender was asked to stop
TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]

group = Group("mail", help="The outbox.")


@group.command("send")
@click.option("--watch", is_flag=True, help="Keep running and send what becomes due.")
@click.option(
    "--every", type=click.FloatRange(0.1, 3600), default=1.0, show_default=True, help="Seconds between looks."
)
def send(watch: bool, every: float) -> None:
    """Send the mails that are due. Any number of senders may run at once."""
    if watch:
        _watch(every)
        return
    try:
        sent, put_off = _deliver_all()
    except Unavailable as error:
        raise click.ClickException(error.message) from error
    click.echo(f"{sent} sent, {put_off} put off")
    hooks = _hooks_once()
    if hooks.sent or hooks.put_off:
        click.echo(f"Webhooks: {hooks.sent} sent, {hooks.put_off} put off")
    if put_off:
        raise SystemExit(1)


@group.command("resend")
@click.option("--since", type=click.DateTime(TIMES), required=True, help="When the first of them failed (UTC).")
@click.option("--until", type=click.DateTime(TIMES), default=None, help="When the last did; now if left out.")
@operator
def resend(since: datetime, until: datetime | None, operator: str) -> None:
    """Send again every mail that failed in this time. Safe to repeat, and to break off: running again goes on."""
    store, now, sent, more = deps.store(), utcnow(), 0, True
    first, last = since.replace(tzinfo=UTC), until.replace(tzinfo=UTC) if until else now
    try:
        while more:
            done, more = outbox.resend_failed(store, operator, first, last, now=now)
            sent += done
    except DomainError as error:
        raise click.ClickException(f"{error.message} {sent} are on their way; run it again.") from error
    click.echo(f"{sent} on their way again.")


def _deliver_all() -> tuple[int, int]:
    """A look takes no more than some mails: look again until one sends nothing."""
    sent = put_off = 0
    look = _Looks()
    while True:
        now_sent, now_put_off = look()
        sent, put_off = sent + now_sent, put_off + now_put_off
        if not now_sent:
            return sent, put_off


def _hooks() -> WebhookSender:
    found = deps.get()
    return WebhookSender(found.store, found.sealer, found.receivers)


def _hooks_once() -> Done:
    sender = _hooks()
    try:
        while sender.look():
            sender.finish()
    except Unavailable as error:
        raise click.ClickException(error.message) from error
    return sender.finish()


def _watch_hooks(sender: WebhookSender, stop: Event, every: float) -> None:
    """Beside the mails, in a thread of its own: neither waits for the other."""
    while not stop.is_set():
        try:
            begun = sender.look()
        except DomainError as error:  # the store is down or busy: the events stay where they are
            log.error("webhooks out of reach: %s", error.code)
            begun = 0
        except Exception:
            log.exception("a look at the webhooks failed")
            begun = 0
        stop.wait(SOON if begun else every)
    sender.finish(STOP_SECONDS)


def _watch(every: float) -> None:
    tell = EveryMinute(_tell)
    with until_stopped() as stop:
        hooks = Thread(target=_watch_hooks, args=(_hooks(), stop, every), name="webhooks", daemon=True)
        hooks.start()
        _watch_mails(every, tell, stop)
        hooks.join(STOP_SECONDS + 1)


def _watch_mails(every: float, tell: EveryMinute, stop: Event) -> None:
    look = _Looks(stop.is_set)
    while not stop.is_set():
        try:
            tell()
            sent, _ = look()
        except DomainError as error:  # the store is down or busy: the mails stay where they are
            log.error("outbox out of reach: %s", error.code)
            sent = 0
        stop.wait(0 if sent else every)


def _tell() -> None:
    waiting.tell_mail(deps.store(), utcnow())
    waiting.tell_webhook(deps.store(), utcnow())
    if switch.on:
        measurements.look(deps.store(), utcnow())


class _Looks:
    """Of one sender, at its pace."""

    def __init__(self, stopped: Callable[[], bool] = lambda: False) -> None:
        self._found, self._stopped = deps.get(), stopped
        outside: Any = self._found.sender  # what SES says of the account is no matter of who sends mails
        self._pace = Pace(self._found.store, outside.account)

    def __call__(self) -> tuple[int, int]:
        found = self._found
        return deliver_due(
            found.store,
            found.mail_room,
            found.sender,
            now=utcnow(),
            pace=self._pace,
            stopped=self._stopped,
        )
