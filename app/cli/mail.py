"""`flask mail`: the sender of the outbox."""

from __future__ import annotations

import logging
import signal
import threading

import click
from flask.cli import AppGroup

from app import deps
from app.domain.clock import utcnow
from app.domain.errors import DomainError, Unavailable
from app.services.mail import deliver_due

log = logging.getLogger(__name__)

group = AppGroup("mail", help="The outbox.")


@group.command("send")
@click.option("--watch", is_flag=True, help="Keep running and send what becomes due.")
@click.option("--every", default=1.0, show_default=True, help="Seconds between looks.")
def send(watch: bool, every: float) -> None:
    """Send the mails that are due. Any number of senders may run at once."""
    if watch:
        _watch(every)
        return
    try:
        sent, put_off = _deliver()
    except Unavailable as error:
        raise click.ClickException(error.message) from error
    click.echo(f"{sent} sent, {put_off} put off")
    if put_off:
        raise SystemExit(1)


def _watch(every: float) -> None:
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    while not stop.is_set():
        try:
            sent, _ = _deliver()
        except DomainError as error:  # the store is down or busy: the mails stay where they are
            log.error("outbox out of reach: %s", error.code)
            sent = 0
        stop.wait(0 if sent else every)


def _deliver() -> tuple[int, int]:
    found = deps.get()
    return deliver_due(found.store, found.mail_room, found.sender, now=utcnow())
