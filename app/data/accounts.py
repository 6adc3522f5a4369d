"""Access patterns of the Users table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar

from app.domain.accounts import DEFAULT_LOW_BALANCE, LINK_REST, NOT_ADOPTED, Account, LinkMails, Passkey, Session
from app.domain.clock import from_iso, to_iso, utcnow
from app.domain.errors import AccountExists, AlreadyRecorded, BadCredentials, LinkExpired, NotFound, NotSignedIn
from app.domain.tasks import Task

from .base import Base
from .client import Stale, call
from .codec import decode_item, whole
from .lives import Life, UserUpdates, UserWrites
from .tables import ACCOUNT_INDEX, CUSTOMER_INDEX, RATE_LIMITS, USERS
from .transaction import Failure, optimistic

TABLE = USERS.suffix
PERSONAL = (
    *("password_hash", "confirmed_at", "stripe_customer_id", "spend_by_day", "draft", "theme", "shortcuts"),
    *("unsent", "recent_marks", "low_since", "low_mailed_at"),
    *("totp", "totp_pending", "totp_counter", "recovery_codes", "passkeys", "challenge", "low_balance_threshold"),
)
LINKS, PURPOSES = ("link_mailed", "link_mails"), ("confirm", "set_password", "reset")
SESSIONS_END = {"version": 1, "session_version": 1}
WHOLE_ROW = {"account_id", "sessions", "link_nonces", "ledger_sequence"}  # without these it is from the original
Result = TypeVar("Result")
MAX_EMAIL_BYTES = 1_000  # well above any address, well below what a key may hold
INDEX_LAG = timedelta(days=1)  # generous: some milliseconds as a rule
OPEN_FOR_SPENDING = "".join(f" AND attribute_not_exists({name})" for name in ("frozen_at", "disabled_at", "deleted_at"))
NO_SESSIONS_ENDED = "attribute_not_exists(session_version)"
NOT_PROVEN = "attribute_not_exists(confirmed_at)"
UNPROVEN = f" AND {NOT_PROVEN}"
PROVEN = " AND attribute_exists(confirmed_at)"
PROVEN_AND_OPEN = "attribute_exists(confirmed_at) AND attribute_not_exists(disabled_at)"


class AccountReads(UserUpdates):
    def find_account(self, email: str) -> Account | None:
        row = self._get(TABLE, {"email": email})
        return account_from_row(completed(self, row)) if row else None

    def get_account(self, email: str) -> Account:
        """Raises NotFound."""
        account = self.find_account(email)
        if account is None:
            raise NotFound("There is no account with this e-mail address.")
        return account

    def find_email_by_customer(self, customer_id: str) -> str | None:
        return self._email_in_index(CUSTOMER_INDEX, "stripe_customer_id", customer_id)

    def find_account_or_pretence(self, email: str) -> tuple[Account | None, LinkMails]:
        """The account, and for an address without one the links that it would have been mailed: one call for both."""
        row, pretence = self._get_many([(TABLE, {"email": email}), (RATE_LIMITS.suffix, no_link_key(email))])
        account = account_from_row(completed(self, row)) if row else None
        mailed = pretence or {}
        return account, LinkMails(_moment(mailed.get("mailed_at")), mailed.get("mails", 0))

    def find_account_by_id(self, account_id: str) -> Account | None:
        """The account that has this id now. An index lags: until it knows a new id, a row beside it does."""
        places: tuple[Callable[[], str | None], ...] = (
            lambda: self._email_in_index(ACCOUNT_INDEX, "account_id", account_id),
            lambda: (self._get(RATE_LIMITS.suffix, new_id_key(account_id)) or {}).get("email"),
        )
        for find in places:
            email = find()
            account = self.find_account(email) if email else None
            if account and account.account_id == account_id:
                return account
        return None

    def get_account_by_id(self, account_id: str) -> Account:
        """Raises NotFound."""
        account = self.find_account_by_id(account_id)
        if account is None:
            raise NotFound("There is no such account.")
        return account

    def account_ids(self, emails: Iterable[str]) -> dict[str, str]:
        """The id of each of these addresses that has an account: one call for up to 100, so that a page can link them.

        A row of the original product gets its id by being read.
        """
        wanted = sorted({email for email in emails if 0 < len(email.encode(errors="replace")) <= MAX_EMAIL_BYTES})
        found: dict[str, str] = {}
        for start in range(0, len(wanted), 100):
            rows = self._get_many([(TABLE, {"email": email}) for email in wanted[start : start + 100]])
            whole_rows = [row if "account_id" in row else completed(self, row) for row in rows if row]
            found |= {row["email"]: row["account_id"] for row in whole_rows if "account_id" in row}
        return found

    def _email_in_index(self, index: str, name: str, value: str) -> str | None:
        answer = call(
            self.client,
            "query",
            TableName=self.prefix + TABLE,
            IndexName=index,
            KeyConditionExpression="#name = :value",
            ExpressionAttributeNames={"#name": name},
            ExpressionAttributeValues={":value": {"S": value}},
            Limit=1,
        )
        return answer["Items"][0]["email"]["S"] if answer["Items"] else None

    def every_account(self) -> Iterator[Account]:
        """A scan: for the command line and the nightly check only."""
        for page in self.client.get_paginator("scan").paginate(TableName=self.prefix + TABLE, ConsistentRead=True):
            yield from (account_from_row(decode_item(item)) for item in page["Items"])

    def change_account(self, account: Account, attempt: Callable[[Account], Result]) -> Result:
        """Run `attempt` on the account, again on its newest state whenever it changed meanwhile."""

        def reread(stale: Stale) -> Account:
            # The failed condition of the account's own row hands back the row as it is now.
            if stale.item and stale.item.get("email") == account.email and "credits_balance" in stale.item:
                return account_from_row(stale.item)
            return self.get_account(account.email)

        return optimistic(account.email, attempt, account, reread)

    def add_session(self, account: Account, session: Session, now: datetime, **settings: Any) -> Account:
        """Sign in: add a session, drop what no longer fits, and set `settings` (a rehashed password) with it.

        Raises BadCredentials if the password that was checked has been replaced or ended meanwhile.
        """
        row = self._update_user(
            Life.of(account),
            set={f"sessions.{session.key}": session_row(session)} | settings,
            remove=[f"sessions.{key}" for key in account.sessions_to_drop(session.kind, now)],
            condition="#password_hash = :checked AND attribute_not_exists(disabled_at)",
            failure=BadCredentials,
            checked=account.password_hash,
        )
        return account_from_row(row)

    def touch_session(self, account: Account, session: Session, now: datetime) -> None:
        self._update_user(
            Life.of(account),
            set={f"sessions.{session.key}.seen_at": to_iso(now)},
            condition=f"attribute_exists(#sessions.#{session.key})",
            failure=NotSignedIn,
        )

    def end_sessions(self, account: Account) -> None:
        """Every browser and program is signed out. Safe to repeat, and when the account is deleted meanwhile."""
        with suppress(Stale):  # a life that has ended has no session left
            self._update_user(Life.of(account), set={"sessions": {}}, add=SESSIONS_END)

    def remove_session(self, account: Account, key: str) -> None:
        """One is signed out. Safe to repeat, and when the account is deleted meanwhile."""
        with suppress(Stale):
            self._update_user(Life.of(account), remove=[f"sessions.{key}"])

    def set_password(
        self, account: Account, password_hash: str, *, used: tuple[str, ...], nonce: tuple[str, str], now: datetime
    ) -> None:
        """Store a password, keep only `account.sessions`, kill the links in `used`. Raises LinkExpired on a race."""
        purpose, expected = nonce
        self._update_user(
            Life.of(account),
            set={
                "password_hash": password_hash,
                "sessions": {key: session_row(session) for key, session in account.sessions.items()},
                "confirmed_at": to_iso(account.confirmed_at or now),
                "deleted_at": None,  # who proves the mailbox again has the account again
            },
            remove=[f"link_nonces.{name}" for name in used],
            add=SESSIONS_END,
            condition=f"#link_nonces.#{purpose} = :nonce AND attribute_not_exists(disabled_at)",
            failure=LinkExpired,
            nonce=expected,
        )

    def confirm_mailbox(self, account: Account, nonce: tuple[str, str], now: datetime) -> None:
        """Raises LinkExpired on a race."""
        purpose, expected = nonce
        self._update_user(
            Life.of(account),
            set={"confirmed_at": to_iso(now)},
            remove=[f"link_nonces.{purpose}"],
            add={"version": 1},
            condition=f"#link_nonces.#{purpose} = :nonce",
            failure=LinkExpired,
            nonce=expected,
        )

    def update_account(self, account: Account, *, visible: bool = True, **settings: Any) -> Account:
        """Set attributes (None removes one). `visible` changes bump the version that polls compare.

        Raises NotSignedIn when the account was deleted meanwhile.
        """
        return account_from_row(
            self._update_user(
                Life.of(account),
                set={name: _plain(value) for name, value in settings.items()},
                add={"version": 1} if visible else None,
                failure=NotSignedIn,
            )
        )


class AccountWrites(UserWrites):
    def create_account(self, account: Account, failure: type = AccountExists) -> None:
        self.put(TABLE, _row(account), condition="attribute_not_exists(email)", failure=failure)
        self.announce_id(account.account_id, account.email)

    def announce_id(self, account_id: str, email: str) -> None:
        """Make a new id known at once: the index of ids may not have it yet. The row goes by itself."""
        expires_at = int((utcnow() + INDEX_LAG).timestamp())
        row = new_id_key(account_id) | {"email": email, "expires_at": expires_at}
        self.put(RATE_LIMITS.suffix, row, condition=None, failure=Stale)

    def move_balance(
        self,
        before: Account,
        after: Account,
        *,
        open_tasks: int = 0,
        spending: bool = False,
        unless_confirmed: bool = False,
        if_confirmed: bool = False,
        **settings: Any,
    ) -> None:
        """Take the account from `before` to `after` beside the ledger row that explains it.

        Conditioned on the sequence number and balance that were read, so balance and ledger cannot drift apart, and a
        spend cannot be decided on an old balance. With `spending` also on the account being open for it and on its
        sessions not having been ended, with `unless_confirmed` on nobody having proven the mailbox since, with
        `if_confirmed` on its being proven still. Raises Stale with the row as it is now.
        """
        read: dict[str, Any] = {"sequence": before.ledger_sequence, "balance": before.credits_balance}
        same_sessions = NO_SESSIONS_ENDED
        if spending and before.session_version:
            same_sessions, read["sessions"] = "#session_version = :sessions", before.session_version
        self.update_user(
            Life.of(before),
            set={
                "credits_balance": after.credits_balance,
                "ledger_sequence": after.ledger_sequence,
                "last_entry_at": _plain(after.last_entry_at),
                **_places(before, after),
                "spend_by_day": dict(after.spend_by_day),
                "submit_window": after.submit_window,
                "submits_in_window": after.submits_in_window,
            }
            | {name: _plain(value) for name, value in settings.items()},
            add=_counters(settings, open_tasks),
            condition="#ledger_sequence = :sequence AND #credits_balance = :balance"
            + (f"{OPEN_FOR_SPENDING} AND {same_sessions}" if spending else "")
            + (UNPROVEN if unless_confirmed else "")
            + (PROVEN if if_confirmed else ""),
            **read,
        )

    def renew_link(
        self, account: Account, purpose: str, nonce: str, *, mails: LinkMails, now: datetime, not_since: datetime
    ) -> None:
        """Make an older link of this purpose dead. Raises AlreadyRecorded if one was mailed after `not_since`, or the
        account was deleted meanwhile.
        """
        self.update_user(
            Life.of(account),
            set={
                f"link_nonces.{purpose}": nonce,
                f"link_mailed_{purpose}": to_iso(now),
                f"link_mails_{purpose}": mails.in_a_row,
            },
            add={"version": 1},
            condition=f"attribute_not_exists(#link_mailed_{purpose}) OR #link_mailed_{purpose} <= :not_since",
            failure=AlreadyRecorded,
            not_since=to_iso(not_since),
        )

    def pretend_link(self, email: str, *, mails: LinkMails, now: datetime, not_since: datetime) -> None:
        """The same work for an address without an account, so that the time of the answer tells nothing."""
        key = hashlib.sha256(email.encode()).hexdigest()
        expires_at = int((now + 2 * LINK_REST).timestamp())
        self.put(
            RATE_LIMITS.suffix,
            {"key": f"no-mail#{key}#{to_iso(now)}", "expires_at": expires_at},
            condition="attribute_not_exists(#key)",
            failure=AlreadyRecorded,
        )
        self.update(
            RATE_LIMITS.suffix,
            no_link_key(email),
            set={"mailed_at": to_iso(now), "mails": mails.in_a_row, "expires_at": expires_at},
            condition="attribute_not_exists(#mailed_at) OR #mailed_at <= :not_since",
            failure=AlreadyRecorded,
            not_since=to_iso(not_since),
        )

    def change_password(self, account: Account, password_hash: str, session: Session) -> None:
        """Replace the password that was checked; `session` is the only one left, and no mailed link works any more."""
        self.update_user(
            Life.of(account),
            set={"password_hash": password_hash, "sessions": {session.key: session_row(session)}},
            remove=[f"link_nonces.{purpose}" for purpose in account.link_nonces if purpose != "confirm"],
            add=SESSIONS_END,
            condition="#password_hash = :checked AND attribute_not_exists(disabled_at)",
            failure=BadCredentials,
            checked=account.password_hash,
        )

    def erase_account(self, account: Account, now: datetime) -> None:
        """Leave a tombstone: the address, the balance and its place in the ledger; nothing else of the person."""
        self.update_user(
            Life.of(account),
            set={
                "deleted_at": to_iso(now),
                "erasure_due": to_iso(now),
                "sessions": {},
                "link_nonces": {},
                "role": "customer",
                **dict.fromkeys([*PERSONAL, *(f"{kept}_{purpose}" for kept in LINKS for purpose in PURPOSES)]),
            },
            add=SESSIONS_END | {"life": 1},
            condition="#password_hash = :checked AND (attribute_not_exists(#open_tasks) OR #open_tasks <= :none)",
            checked=account.password_hash,
            none=0,
        )

    def change_settings(
        self,
        account: Account,
        *,
        failure: Failure = Stale,
        proven: bool = False,
        unproven: bool = False,
        **settings: Any,
    ) -> None:
        """Set attributes of an account that no ledger row explains; never the balance.

        Raises `failure` when the account was deleted meanwhile, with `proven` when its mailbox is not proven or it is
        not open, and with `unproven` when somebody has proven the mailbox since.
        """
        open_tasks = settings.pop("open_tasks_delta", 0)
        self.update_user(
            Life.of(account),
            set={name: _plain(value) for name, value in settings.items()},
            add=_counters(settings, open_tasks),
            condition=PROVEN_AND_OPEN if proven else NOT_PROVEN if unproven else "",
            failure=failure,
        )

    def count_open_task(self, task: Task, change: int) -> None:
        """What the owner sees of an open task has changed, and by `change` how many are open."""
        self.update_user(Life.of_owner(task), add=_counters({}, change))


def no_link_key(email: str) -> dict[str, str]:
    return {"key": f"no-link#{hashlib.sha256(email.encode()).hexdigest()}"}


def new_id_key(account_id: str) -> dict[str, str]:
    return {"key": f"account#{account_id}"}


def completed(base: Base, row: dict[str, Any]) -> dict[str, Any]:
    """The row with what every later write builds on: one of the original product gets it when it is first read."""
    if row.keys() >= WHOLE_ROW or base.adopter is None:
        return row
    return base.adopter.account(base, row)


def _counters(settings: dict[str, Any], open_tasks: int) -> dict[str, int]:
    counted = SESSIONS_END if "sessions" in settings else {"version": 1}
    return counted | ({"open_tasks": open_tasks} if open_tasks else {})


def _plain(value: Any) -> Any:
    return to_iso(value) if isinstance(value, datetime) else value


def session_row(session: Session) -> dict[str, Any]:
    return {
        "kind": session.kind,
        "created_at": to_iso(session.created_at),
        "seen_at": to_iso(session.seen_at),
        "label": session.label,
        **({"mfa_at": to_iso(session.mfa_at)} if session.mfa_at else {}),
    }


def _places(before: Account, after: Account) -> dict[str, Any]:
    """What says that rows are not listed at their time, where it changes: with right clocks it never does."""
    names = ("last_happened_at", "ahead_since")
    return {name: _plain(getattr(after, name)) for name in names if getattr(after, name) != getattr(before, name)}


def _row(account: Account) -> dict[str, Any]:
    return {
        "email": account.email,
        "account_id": account.account_id,
        "created_at": to_iso(account.created_at),
        "credits_balance": account.credits_balance,
        "ledger_sequence": account.ledger_sequence,
        "last_entry_at": _plain(account.last_entry_at),
        "last_happened_at": _plain(account.last_happened_at),
        "ahead_since": _plain(account.ahead_since),
        "version": account.version,
        "open_tasks": account.open_tasks,
        "password_hash": account.password_hash,
        "sessions": {key: session_row(session) for key, session in account.sessions.items()},
        "role": account.role,
        "confirmed_at": _plain(account.confirmed_at),
        "disabled_at": _plain(account.disabled_at),
        "stripe_customer_id": account.stripe_customer_id,
        "spend_by_day": dict(account.spend_by_day),
        "link_nonces": dict(account.link_nonces),
        "low_balance_threshold": account.low_balance_threshold,
        "theme": account.theme,
        "totp": account.totp,
        "totp_counter": account.totp_counter or None,
    }


def account_from_row(row: dict[str, Any]) -> Account:
    """Lenient on what is absent: rows of the original product hold only the attributes of the original."""
    sessions = {
        key: Session(
            key,
            s["kind"],
            from_iso(s["created_at"]),
            from_iso(s["seen_at"]),
            s.get("label", ""),
            _moment(s.get("mfa_at")),
        )
        for key, s in row.get("sessions", {}).items()
    }
    return Account(
        email=row["email"],
        account_id=row.get("account_id", ""),
        created_at=from_iso(row["created_at"]),
        credits_balance=whole(row.get("credits_balance")) or 0,
        ledger_sequence=row.get("ledger_sequence", 0),
        last_entry_at=_moment(row.get("last_entry_at")),
        last_happened_at=_moment(row.get("last_happened_at")),
        ahead_since=_moment(row.get("ahead_since")),
        version=row.get("version", 0),
        open_tasks=row.get("open_tasks", 0),
        password_hash=row.get("password_hash"),
        sessions=sessions,
        session_version=row.get("session_version", 0),
        role=row.get("role", "customer"),
        confirmed_at=_moment(row.get("confirmed_at")),
        disabled_at=_moment(row.get("disabled_at")),
        frozen_at=_moment(row.get("frozen_at")),
        stripe_customer_id=row.get("stripe_customer_id"),
        spend_by_day=row.get("spend_by_day", {}),
        submit_window=row.get("submit_window", ""),
        submits_in_window=row.get("submits_in_window", 0),
        link_nonces=row.get("link_nonces", {}),
        link_mails={
            purpose: LinkMails(from_iso(row[f"link_mailed_{purpose}"]), row.get(f"link_mails_{purpose}", 1))
            for purpose in PURPOSES
            if f"link_mailed_{purpose}" in row
        },
        low_since=_moment(row.get("low_since")),
        low_mailed_at=_moment(row.get("low_mailed_at")),
        low_balance_threshold=row.get("low_balance_threshold", DEFAULT_LOW_BALANCE),
        theme=row.get("theme", "system"),
        shortcuts=row.get("shortcuts", True),
        draft=row.get("draft", ""),
        unsent=bool(row.get("unsent")),
        recent_marks=row.get("recent_marks", ""),
        deleted_at=_moment(row.get("deleted_at")),
        life=row.get("life", 0),
        totp=row.get("totp"),
        totp_pending=row.get("totp_pending"),
        totp_counter=row.get("totp_counter", 0),
        recovery_codes=frozenset(row.get("recovery_codes", {})),
        passkeys={key: _passkey(key, values) for key, values in row.get("passkeys", {}).items()},
        by_hand_on=row.get("by_hand_on", ""),
        by_hand=row.get("by_hand", 0),
        challenge=row.get("challenge"),
        unexplained=_unexplained(row),
    )


def _unexplained(row: dict[str, Any]) -> str | None:
    balance, ours = row.get("credits_balance"), "ledger_sequence" in row
    if whole(balance) is None or (ours and not isinstance(balance, int)):
        return f"its balance cannot be read: {balance}"
    return None if ours else NOT_ADOPTED


def _passkey(key: str, row: dict[str, Any]) -> Passkey:
    return Passkey(
        key=key,
        credential_id=row["credential_id"],
        public_key=row["public_key"],
        sign_count=row["sign_count"],
        name=row["name"],
        created_at=from_iso(row["created_at"]),
        used_at=_moment(row.get("used_at")),
    )


def _moment(text: str | None) -> datetime | None:
    return from_iso(text) if text else None
