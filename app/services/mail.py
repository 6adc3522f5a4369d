"""The sender: takes mails from the outbox, renders and hands them to SES, at least once each."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from app.data import Store
from app.data.outbox import Mail
from app.domain.accounts import Account, mask_email
from app.formatting import FILTERS
from app.gateways.ses import MailRefused

from .links import CONFIRM, RESET, SET_PASSWORD, Links

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
MAX_ATTEMPTS = 20
LINK_OF_KIND = {"welcome": SET_PASSWORD, "set_password": SET_PASSWORD, "confirm": CONFIRM, "reset": RESET}


class Sender(Protocol):
    def send(self, *, to: str, subject: str, text: str, html: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Rendered:
    subject: str
    text: str
    html: str


class MailRoom:
    """Renders mails: `templates/emails/<kind>.subject.txt`, `.txt` and `.html`, text first."""

    def __init__(self, links: Links, app_url: str):
        self._links = links
        self._app_url = app_url
        self._templates = Environment(
            loader=PackageLoader("app", "templates/emails"),
            autoescape=select_autoescape(["html"], default=False),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(FILTERS)

    def render(self, mail: Mail, account: Account | None) -> Rendered:
        """The mail as it is to be sent now. A link is made from the account's state of this moment."""
        purpose = LINK_OF_KIND.get(mail.kind)
        link = self._links.url(account, purpose) if account and purpose else None
        context = {**mail.context, "to": mail.to, "app_url": self._app_url, "link": link, "account": account}

        def part(suffix: str) -> str:
            return self._templates.get_template(f"{mail.kind}.{suffix}").render(context)

        return Rendered(" ".join(part("subject.txt").split()), part("txt").strip() + "\n", part("html"))


def deliver_due(store: Store, room: MailRoom, sender: Sender, *, now: datetime) -> tuple[int, int]:
    """Send what is due; returns (sent, put off). Safe to run anywhere, any number at once.

    A mail is leased before it is sent, so that two senders rarely send one twice; a crash in between sends it again.
    """
    sent = put_off = 0
    for mail in store.list_due_mails(now):
        if not store.lease_mail(mail, now + LEASE):
            continue
        if _deliver(store, room, sender, mail, now):
            sent += 1
        else:
            put_off += 1
    return sent, put_off


def _deliver(store: Store, room: MailRoom, sender: Sender, mail: Mail, now: datetime) -> bool:
    attempts = mail.attempts + 1
    try:
        rendered = room.render(mail, store.find_account(mail.to))
        sender.send(to=mail.to, subject=rendered.subject, text=rendered.text, html=rendered.html)
    except MailRefused as error:
        return _put_off(store, mail, str(error), attempts, now)
    except Exception as error:  # a mail that cannot be rendered must not hold up the ones behind it
        log.exception("mail could not be rendered", extra={"mail_id": mail.mail_id})
        return _put_off(store, mail, type(error).__name__, attempts, now)
    store.mark_mail_sent(mail, now)
    log.info("mail sent", extra={"mail_id": mail.mail_id, "kind": mail.kind, "email": mask_email(mail.to)})
    return True


def _put_off(store: Store, mail: Mail, reason: str, attempts: int, now: datetime) -> bool:
    wait = min(3600.0, 2.0**attempts) * random.uniform(0.75, 1.25)  # nosec B311 # noqa: S311 - jitter, no secret
    store.mark_mail_unsent(mail, reason, now + timedelta(seconds=wait), give_up=attempts >= MAX_ATTEMPTS)
    log.warning("mail put off", extra={"mail_id": mail.mail_id, "reason": reason, "attempts": attempts})
    return False
