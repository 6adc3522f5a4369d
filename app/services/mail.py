"""The sender: takes mails from the outbox, renders and hands them to SES, at least once each."""

from __future__ import annotations

import logging
import random
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from threading import Lock
from time import monotonic
from typing import Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from app.data import Store
from app.data.threads import MAILS, side_by_side
from app.domain.accounts import Account, AddressChange, mask_email
from app.domain.clock import to_iso
from app.domain.formatting import FILTERS
from app.domain.mails import OF_THE_CHANGE, OPTIONAL, TO_THE_LETTER, Mail, MailTrouble, context_of
from app.gateways.ses import AddressRefused, MailRefused, SendingLimited
from app.telemetry.instruments import MAILS_OFFERED

from .links import CONFIRM, RESET, SET_PASSWORD, Links
from .pace import Pace

log = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
AT_ONCE = 8  # mails, by as many threads
LOOK = timedelta(seconds=30)  # at one list of due mails; a single mail takes 6 s at most
LONGEST_WAIT = 3600.0  # seconds
PATIENCE = timedelta(days=14)  # for a mail that SES does not take, for reasons that do not name its address
ALERT_AFTER = timedelta(minutes=5)  # a rate that was exceeded for a moment wakes nobody
ADDRESS = re.compile(r"[^\s@<>,;:()\[\]\"']+@[^\s@<>,;:()\[\]\"']+")
LINK_OF_KIND = {"welcome": SET_PASSWORD, "set_password": SET_PASSWORD, "confirm": CONFIRM, "reset": RESET}


class Sender(Protocol):
    def send(self, *, to: str, subject: str, text: str, html: str, headers: Mapping[str, str]) -> str: ...


@dataclass(frozen=True, slots=True)
class Rendered:
    subject: str
    text: str
    html: str
    headers: Mapping[str, str]


class MailRoom:
    """Renders mails: `templates/emails/<kind>.subject.txt`, `.txt` and `.html`, text first."""

    def __init__(
        self,
        links: Links,
        app_url: str,
        support_email: str | None = None,
        as_html: Callable[[str], Markup] = escape,
    ) -> None:
        """`as_html` makes safe markup of what an operator wrote as an answer."""
        self._links = links
        self._every_mail = {"app_url": app_url, "support_email": support_email}
        self._templates = Environment(
            loader=PackageLoader("app", "templates/emails"),
            autoescape=select_autoescape(["html"], default=False),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(FILTERS, as_html=as_html)

    def render(self, mail: Mail, account: Account | None) -> Rendered:
        """The mail as it is to be sent now. A link is made from the account's state of this moment."""
        purpose = LINK_OF_KIND.get(mail.kind)
        link = self._links.url(account, purpose) if account and purpose else None
        optional = mail.kind in OPTIONAL
        more = {"to": mail.to, "link": link, "refuse": None, "account": account, "optional": optional}
        if account and account.address_change and mail.kind in OF_THE_CHANGE:
            more |= self._links_of_change(account, account.address_change, mail.kind)
        context = {**mail.context, **more, **self._every_mail}

        def part(name: str) -> str:
            return self._templates.get_template(name).render(context)

        subject = " ".join(part(f"{mail.kind}.subject.txt").split())
        text = f"{part(f'{mail.kind}.txt').strip()}\n\n{part('_footer.txt').strip()}\n"
        headers = self._one_click(account, mail.kind) if account and optional else {}
        return Rendered(subject, text, part(f"{mail.kind}.html"), headers)

    def _links_of_change(self, account: Account, change: AddressChange, kind: str) -> dict[str, str]:
        """Whoever reads one mailbox agrees for that one; only the present one may refuse."""
        if kind == "address_new":
            return {"link": self._links.change_url(account, change.to_nonce, change.to)}
        refuse = self._links.change_url(account, change.from_nonce, change.to, refuse=True)
        return {"link": self._links.change_url(account, change.from_nonce, change.to), "refuse": refuse}

    def _one_click(self, account: Account, kind: str) -> dict[str, str]:
        """What the "unsubscribe" of a mail program asks for: https://www.rfc-editor.org/rfc/rfc8058."""
        url = self._links.unsubscribe_url(account.account_id, kind)
        return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def deliver_due(
    store: Store,
    room: MailRoom,
    sender: Sender,
    *,
    now: datetime,
    pace: Pace | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[int, int]:
    """Send what is due; returns (sent, put off). Safe to run anywhere, any number at once.

    A mail is leased before it is sent, so that two senders rarely send one twice; a crash in between sends it again.
    Some are sent side by side, no faster than `pace` lets them. When SES takes no mail at all (SendingLimited) nothing
    is offered until a pause is over, then one mail at a time until it takes them again. A look ends after LOOK, so that
    what has just become due is not kept waiting, and when `stopped` says so.
    """
    look = _Look(store, room, sender, now, pace, stopped)
    look.run()
    return look.sent, look.put_off


class _Look:
    """One look at what is due, and the threads that send it. The lock is for what they share."""

    def __init__(
        self,
        store: Store,
        room: MailRoom,
        sender: Sender,
        now: datetime,
        pace: Pace | None,
        stopped: Callable[[], bool],
    ) -> None:
        self._store, self._room, self._sender = store, room, sender
        self._now, self._started = now, monotonic()
        self._pace, self._stopped = pace, stopped
        self._lock = Lock()
        self._due: deque[tuple[int, Mail]] = deque()
        self._seen: set[str] = set()
        self._others: set[int] = set()  # sources at which another sender is at work
        self._trouble: MailTrouble | None = None
        self._over = False
        self.sent = self.put_off = 0

    def run(self) -> None:
        self._trouble = self._store.mails.trouble()
        if self._trouble and self._now < self._trouble.until:
            return
        self._find()
        while self._trouble and self._send_next():
            pass
        threads = [self._send_or_failure] * min(AT_ONCE, len(self._due))
        for failure in filter(None, side_by_side(MAILS, threads)):
            raise failure

    def _find(self) -> None:
        """Sources in an order of chance: two senders that begin at once begin at different ones."""
        found = list(enumerate(self._store.mails.list_due_apart(self._now)))
        random.shuffle(found)
        for source, due in found:
            self._due.extend((source, mail) for mail in due.mails)
            for mail_id in due.left:
                self._store.updates.mails.leave_shard(mail_id)

    def _send_or_failure(self) -> BaseException | None:
        """No thread is left at work behind a look that has failed."""
        try:
            while self._send_next():
                pass
        except BaseException as failure:
            self._over = True
            return failure
        return None

    def _send_next(self) -> bool:
        """Whether there was another mail to send."""
        if (found := self._next()) is None:
            return False
        source, mail, moment = found
        if not self._store.updates.mails.lease(mail, moment + LEASE):
            self._others.add(source)
            return True
        try:
            done = _deliver(self._store, self._room, self._sender, mail, self._now)
        except SendingLimited as error:
            with self._lock:
                self._wait_for_ses(str(error), mail)
            return False
        with self._lock:
            self.sent, self.put_off = self.sent + done, self.put_off + (not done)
            if done and self._trouble and not self._over:
                self._store.updates.mails.end_trouble()
                log.info("mail is taken again", extra={"since": to_iso(self._trouble.since)})
                self._trouble = None
        return True

    def _next(self) -> tuple[int, Mail, datetime] | None:
        with self._lock:
            while self._due and not self._over:
                source, mail = self._due.popleft()
                if source in self._others or mail.mail_id in self._seen:
                    continue
                moment = self._moment()
                if self._stopped() or moment - self._now > LOOK or not self._may_go():
                    self._over = True
                    return None
                self._seen.add(mail.mail_id)
                return source, mail, moment
        return None

    def _may_go(self) -> bool:
        try:
            return self._pace is None or self._pace.wait_for_one(self._moment)
        except SendingLimited as error:
            self._wait_for_ses(str(error), None)
            return False

    def _moment(self) -> datetime:
        return self._now + timedelta(seconds=monotonic() - self._started)

    def _wait_for_ses(self, reason: str, mail: Mail | None) -> None:
        """Note why no mail goes out, for the operators' pages and the alarm. This mail waits like those behind it; of
        several that are refused at once the first has said it.
        """
        if not self._over:
            self._trouble = _longer(self._trouble, reason, self._now)
            self._store.updates.mails.note_trouble(self._trouble)
        self._over = True
        if mail and self._trouble:
            self._store.updates.mails.mark_unsent(mail, reason, self._trouble.until, give_up=False, uncounted=True)
            MAILS_OFFERED.add(kind=mail.kind, outcome="put off")
            self.put_off += 1


def _deliver(store: Store, room: MailRoom, sender: Sender, mail: Mail, now: datetime) -> bool:
    """Whether the mail is done with. Raises SendingLimited."""
    attempts = mail.attempts + 1
    try:
        account = _account_of(store, mail)
        if why := _is_idle(mail, account, now):
            store.updates.mails.drop(mail, why, now)
            return True
        if account and mail.kind not in TO_THE_LETTER:
            mail = replace(mail, to=account.address)
        rendered = room.render(mail, account)
        sender.send(to=mail.to, **asdict(rendered))
    except SendingLimited:
        raise
    except AddressRefused as error:
        return _end(store, mail, str(error), attempts, now)
    except MailRefused as error:
        return _put_off(store, mail, str(error), attempts, now)
    except Exception as error:  # a mail that cannot be rendered must not hold up the ones behind it
        log.exception("mail could not be rendered", extra={"mail_id": mail.mail_id})
        return _put_off(store, mail, type(error).__name__, attempts, now)
    store.updates.mails.mark_sent(mail, now)
    MAILS_OFFERED.add(kind=mail.kind, outcome="sent")
    log.info("mail sent", extra={"mail_id": mail.mail_id, "kind": mail.kind, "email": mask_email(mail.to)})
    return True


def _account_of(store: Store, mail: Mail) -> Account | None:
    """The account whose mail it is, also where it was promised to an address that it has left meanwhile."""
    if mail.kind in TO_THE_LETTER:
        return store.accounts.find_by_id(mail.context["account_id"])
    return store.accounts.find_holder(mail.to)


def _is_idle(mail: Mail, account: Account | None, now: datetime) -> str | None:
    """Why nobody needs the mail any more. What has waited long has its link made anew, and is sent."""
    if account and account.moved_away and mail.kind not in TO_THE_LETTER:
        return "Not sent: the account is deleted, and had left this address."
    if mail.kind in OF_THE_CHANGE and not _is_of_the_request_that_stands(mail, account, now):
        return "Not sent: the request that it was written for has ended or was replaced."
    if account and mail.kind in account.unwanted_mails:
        return "Not sent: the customer has switched this kind off."
    purpose = LINK_OF_KIND.get(mail.kind)
    newest = account.link_mails.get(purpose) if account and purpose == mail.kind else None
    if newest and newest.last_at and newest.last_at > mail.waiting_since:
        return "Not sent: a newer mail has the same link."
    return None


def _is_of_the_request_that_stands(mail: Mail, account: Account | None, now: datetime) -> bool:
    """Its link would be made from the account as it is: of a later request, for a mailbox that did not get this one."""
    change = account.change_that_stands(now) if account else None
    return account is not None and change is not None and mail.context == context_of(account, change)


def _put_off(store: Store, mail: Mail, reason: str, attempts: int, now: datetime) -> bool:
    if now - mail.waiting_since >= PATIENCE:
        return _end(store, mail, reason, attempts, now)
    wait = min(LONGEST_WAIT, 2.0**attempts) * random.uniform(0.75, 1.25)  # nosec B311 # noqa: S311 - jitter, no secret
    store.updates.mails.mark_unsent(mail, reason, now + timedelta(seconds=wait), give_up=False)
    MAILS_OFFERED.add(kind=mail.kind, outcome="put off")
    about = {"mail_id": mail.mail_id, "reason": without_addresses(reason), "attempts": attempts}
    log.warning("mail put off", extra=about)
    return False


def _end(store: Store, mail: Mail, reason: str, attempts: int, now: datetime) -> bool:
    """Among the failed ones, where operators see it and may send it again."""
    store.updates.mails.mark_unsent(mail, reason, now, give_up=True)
    MAILS_OFFERED.add(kind=mail.kind, outcome="given up")
    about = {"mail_id": mail.mail_id, "reason": without_addresses(reason), "attempts": attempts}
    log.error("mail given up", extra={"alert": "mail_failed"} | about)
    return False


def _longer(before: MailTrouble | None, reason: str, now: datetime) -> MailTrouble:
    times = before.times + 1 if before else 1
    wait = min(LONGEST_WAIT, 2.0 ** min(times, 20)) * random.uniform(0.75, 1)  # nosec B311 # noqa: S311 - no secret
    trouble = MailTrouble(reason, before.since if before else now, now + timedelta(seconds=wait), times)
    about = {"reason": without_addresses(reason), "since": to_iso(trouble.since), "until": to_iso(trouble.until)}
    alert = {"alert": "mail"} if now - trouble.since >= ALERT_AFTER else {}
    log.error("SES takes no mail", extra=about | alert)
    return trouble


def without_addresses(words: str) -> str:
    """SES's words name addresses; the log has none in full."""
    return ADDRESS.sub(lambda found: mask_email(found[0]), words)
