"""What transactions write into rows of the Users table."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Unpack

from app.domain.accounts import (
    LINK_REST,
    Account,
    AccountKey,
    Address,
    AddressChange,
    LinkMails,
    Session,
    Settings,
    as_address,
)
from app.domain.aliases import alias_of
from app.domain.api_keys import ApiKey
from app.domain.clock import to_iso, utcnow
from app.domain.errors import AccountExists, AlreadyRecorded, BadCredentials
from app.domain.marks import NewId, Pretence
from app.domain.tasks import Task

from .account_rows import (
    ACCOUNT,
    ALIAS,
    CHANGE,
    LINKS,
    NEW_ID,
    PRETENCE,
    PURPOSES,
    SESSION,
    TABLE,
    new_id_key,
    no_link_key,
)
from .account_updates import SESSIONS_END, password_set
from .client import Stale
from .lives import Life, LifeWrites
from .search_keys import SearchKeyWrites
from .tables import RATE_LIMITS
from .transaction import Failure

PERSONAL = (
    *("password_hash", "confirmed_at", "stripe_customer_id", "spend_by_day", "draft", "theme", "shortcuts"),
    *("unsent", "recent_marks", "low_since", "low_mailed_at", "unwanted_mails", "searched_by"),
    *("present_address", "address_change", "stripe_behind", "api_keys"),
    "webhooks",
    *("totp", "totp_pending", "totp_counter", "recovery_codes", "passkeys", "challenge", "low_balance_threshold"),
)
MOVED = (  # by a row of the ledger
    *("credits_balance", "ledger_sequence", "folded_sequence", "last_entry_at"),
    *("spend_by_day", "submit_window", "submits_in_window"),
)
INDEX_LAG = timedelta(days=1)  # generous: some milliseconds as a rule
OPEN_FOR_SPENDING = "".join(f" AND attribute_not_exists({name})" for name in ("frozen_at", "disabled_at", "deleted_at"))
NO_SESSIONS_ENDED = "attribute_not_exists(session_version)"
NOT_CONFIRMED = "attribute_not_exists(confirmed_at)"
UNCONFIRMED = f" AND {NOT_CONFIRMED}"
CONFIRMED = " AND attribute_exists(confirmed_at)"
CONFIRMED_AND_OPEN = "attribute_exists(confirmed_at) AND attribute_not_exists(disabled_at)"


class AccountWrites(LifeWrites):
    def create(self, account: Account, failure: type = AccountExists) -> None:
        account = replace(account, searched_by=(account.email,))
        self.put(TABLE, ACCOUNT.row(account), condition="attribute_not_exists(email)", failure=failure)
        SearchKeyWrites.beside(self).follow(account.email, (), account.searched_by)
        self._moved.append((None, account))
        self.announce_id(account.account_id, account.email)

    def announce_id(self, account_id: str, email: AccountKey) -> None:
        """Make a new id known at once: the index of ids may not have it yet. The row goes by itself."""
        expires_at = int((utcnow() + INDEX_LAG).timestamp())
        row = new_id_key(account_id) | NEW_ID.row(NewId(email, expires_at))
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
        key: ApiKey | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        """Take the account from `before` to `after` beside the ledger row that explains it.

        Conditioned on the sequence number and balance that were read, so balance and ledger cannot drift apart, and a
        spend cannot be decided on an old balance. With `spending` also on the account being open for it and on its
        sessions not having been ended, or, where a `key` spends, on the account still having that key; with
        `unless_confirmed` on nobody having confirmed the address since, with `if_confirmed` on its being confirmed
        still. Raises Stale with the row as it is now.
        """
        self._moved.append((before, after))
        read: dict[str, Any] = {"sequence": before.ledger_sequence, "balance": before.credits_balance}
        folded, params = _unchanged(before, "folded_sequence", "folded")
        same_sessions = NO_SESSIONS_ENDED
        if spending and before.session_version:
            same_sessions, read["sessions"] = "#session_version = :sessions", before.session_version
        if spending and key:
            same_sessions = f"attribute_exists(#api_keys.#{key.key_id})"
            read.pop("sessions", None)
        self.update_account(
            Life.of(before),
            set=_attributes({**_moved(before, after), **settings}),
            add=_counters(settings, open_tasks),
            condition=f"#ledger_sequence = :sequence AND #credits_balance = :balance AND ({folded})"
            + (f"{OPEN_FOR_SPENDING} AND {same_sessions}" if spending else "")
            + (UNCONFIRMED if unless_confirmed else "")
            + (CONFIRMED if if_confirmed else ""),
            **read,
            **params,
        )

    def restate_balance(self, account: Account, balance: int) -> None:
        """Set the balance of a frozen account to what its ledger says; no row moves with it. Raises Stale."""
        self.update_account(
            Life.of(account),
            set={"credits_balance": balance},
            add={"version": 1},
            condition="#ledger_sequence = :sequence AND #credits_balance = :balance AND attribute_exists(frozen_at)",
            sequence=account.ledger_sequence,
            balance=account.credits_balance,
        )

    def renew_link(
        self, account: Account, purpose: str, nonce: str, *, mails: LinkMails, now: datetime, not_since: datetime
    ) -> None:
        """Make an older link of this purpose dead. Raises AlreadyRecorded if one was mailed after `not_since`, or the
        account was deleted meanwhile.
        """
        self.update_account(
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

    def pretend_link(self, email: Address, *, mails: LinkMails, now: datetime, not_since: datetime) -> None:
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
            set=PRETENCE.row(Pretence(now, mails.in_a_row, expires_at)),
            condition="attribute_not_exists(#mailed_at) OR #mailed_at <= :not_since",
            failure=AlreadyRecorded,
            not_since=to_iso(not_since),
        )

    def change_password(self, account: Account, password_hash: str, session: Session, end_keys: bool = False) -> None:
        """Replace the password that was checked; `session` is the only one left, and no mailed link works any more.

        With `end_keys` no API key and no webhook endpoint does either.
        """
        self.update_account(
            Life.of(account),
            set={
                "password_hash": password_hash,
                "sessions": {session.key: SESSION.row(session)},
                "address_change": None,
            },
            remove=[
                *(f"link_nonces.{purpose}" for purpose in account.link_nonces if purpose != "confirm"),
                *(["api_keys", "webhooks"] if end_keys else []),
            ],
            add=SESSIONS_END,
            condition="#password_hash = :checked AND attribute_not_exists(disabled_at)",
            failure=BadCredentials,
            checked=account.password_hash,
        )

    def ask_for_address(self, account: Account, change: AddressChange, mails: LinkMails, now: datetime) -> None:
        """Let a request wait in the place of the one that was read. Raises Stale."""
        same_request, read = _unchanged(account, "address_change")
        self.update_account(
            Life.of(account),
            set={
                "address_change": CHANGE.row(change),
                "link_mailed_address": to_iso(now),
                "link_mails_address": mails.in_a_row,
            },
            add={"version": 1},
            condition=f"({same_request}) AND {CONFIRMED_AND_OPEN}",
            **read,
        )

    def move_address(self, account: Account, change: AddressChange, session: Session, now: datetime) -> None:
        """Let the account be reached at `change.to`, by an alias row where that is not its first address.

        `session` is the only one left, and no mailed link works any more. No row but these changes: the key stays.
        Raises AccountExists when the address is another account's by now, and Stale when the request is not the one
        that was read, the account is not open, or its sessions were ended.
        """
        key, to, own = account.email, change.to, as_address(account.email)
        if to in account.aliases:
            self.check(TABLE, {"email": to}, condition="alias_of = :owner", failure=AccountExists, owner=key)
        elif to != own:
            row = ALIAS.row(alias_of(to, key, now))
            self.put(TABLE, row, condition="attribute_not_exists(email)", failure=AccountExists)
        found_by = tuple(dict.fromkeys([own, to]))
        kept = tuple(address for address in account.searched_by if address in found_by)
        SearchKeyWrites.beside(self).follow(key, kept, found_by)  # those of addresses that it leaves stay
        left = [*account.left_addresses, account.address]
        same_keys, read = _unchanged(account, "searched_by")
        same_request, asked = _unchanged(account, "address_change", "asked")
        same_sessions, ended = _unchanged(account, "session_version", "ended")
        self.update_account(
            Life.of(account),
            set={
                "present_address": None if to == own else to,
                "left_addresses": [one for one in dict.fromkeys(left) if one not in found_by] or None,
                "searched_by": list(found_by),
                "address_change": None,
                "stripe_behind": True if account.stripe_customer_id else None,
                "sessions": {session.key: SESSION.row(session)},
                "link_nonces": {},  # that of a link which was asked for meanwhile, too
            },
            add=SESSIONS_END,
            condition=f"({same_request}) AND ({same_keys}) AND {CONFIRMED_AND_OPEN} AND ({same_sessions})",
            **read,
            **asked,
            **ended,
        )

    def forget_address(self, account: Account, address: Address) -> None:
        """Of a deleted account: free an address that it had left, its alias row and its search keys. Raises Stale."""
        SearchKeyWrites.beside(self).follow(account.email, (address,), ())
        self.drop_alias(account, address)
        rest = tuple(one for one in account.left_addresses if one != address)
        self.change_settings(account, still="left_addresses", left_addresses=rest or None)

    def drop_alias(self, account: Account, address: Address) -> None:
        condition = "attribute_not_exists(email) OR alias_of = :owner"
        self.delete(TABLE, {"email": address}, condition=condition, failure=Stale, owner=account.email)

    def erase(self, account: Account, now: datetime) -> None:
        """Leave a tombstone: the first address, the balance and its place in the ledger; nothing else of the person.

        What addresses it has had in between follows by `forget_address`.
        """
        same_keys, read = _unchanged(account, "searched_by")
        same_address, present = _unchanged(account, "present_address", "present")
        same_password, checked = _unchanged(account, "password_hash", "checked")
        SearchKeyWrites.beside(self).follow(account.email, account.searched_by, ())
        if account.present_address:
            self.drop_alias(account, account.present_address)
        self.update_account(
            Life.of(account),
            set={
                "deleted_at": to_iso(now),
                "erasure_due": to_iso(now),
                "sessions": {},
                "link_nonces": {},
                "role": "customer",
                "moved_away": True if account.present_address or account.moved_away else None,
                **dict.fromkeys([*PERSONAL, *(f"{kept}_{purpose}" for kept in LINKS for purpose in PURPOSES)]),
            },
            add=SESSIONS_END | {"life": 1},
            condition="(attribute_not_exists(#open_tasks) OR #open_tasks <= :none)"
            f" AND ({same_password}) AND ({same_keys}) AND ({same_address})",
            none=0,
            **checked,
            **read,
            **present,
        )

    def come_back(
        self, account: Account, password_hash: str, *, used: tuple[str, ...], nonce: tuple[str, str], now: datetime
    ) -> None:
        """As `AccountUpdates.set_password`, for one that was deleted: it is found by its address again."""
        SearchKeyWrites.beside(self).follow(account.email, account.searched_by, (account.email,))
        self.update_account(
            Life.of(account), **password_set(account, password_hash, used, nonce, now, searched_by=[account.email])
        )

    def change_settings(
        self,
        account: Account,
        *,
        failure: Failure = Stale,
        confirmed: bool = False,
        unconfirmed: bool = False,
        same_sessions: bool = False,
        still: str | tuple[str, ...] = (),
        open_tasks: int = 0,
        searched_by: tuple[str, ...] | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        """Set attributes of an account that no ledger row explains; never the balance.

        Raises `failure` when the account was deleted meanwhile, with `confirmed` when its address is not, or it is
        not open, with `unconfirmed` when somebody has confirmed it since, with `same_sessions` when its sessions were
        ended since, and when a field that `still` names is no longer as it was read. With `searched_by`, by which
        addresses the account is found, its search keys are written: name that as `still`, too.
        """
        fields = [*((still,) if isinstance(still, str) else still), *(["session_version"] if same_sessions else [])]
        unchanged = [_unchanged(account, name, f"read_{place}") for place, name in enumerate(fields)]
        of_the_mailbox = CONFIRMED_AND_OPEN if confirmed else NOT_CONFIRMED if unconfirmed else ""
        found_by: dict[str, Any] = {} if searched_by is None else {"searched_by": searched_by}
        if searched_by is not None:
            SearchKeyWrites.beside(self).follow(account.email, account.searched_by, searched_by)
        self.update_account(
            Life.of(account),
            set=_attributes({**settings, **found_by}),
            add=_counters(settings, open_tasks),
            condition=_all_of(of_the_mailbox, *(condition for condition, _ in unchanged)),
            failure=failure,
            **{param: value for _, read in unchanged for param, value in read.items()},
        )

    def count_open_task(self, task: Task, change: int) -> None:
        """What the owner sees of an open task has changed, and by `change` how many are open."""
        self.update_account(Life.of_owner(task), add=_counters({}, change))


def _all_of(*conditions: str) -> str:
    """Parentheses around a condition that stands alone are redundant, which DynamoDB refuses."""
    given = [condition for condition in conditions if condition]
    return " AND ".join(f"({condition})" for condition in given) if len(given) > 1 else "".join(given)


def _unchanged(account: Account, name: str, param: str = "read") -> tuple[str, dict[str, Any]]:
    """Rows of the original product lack what holds its default."""
    value = getattr(account, name)
    field = Account.__dataclass_fields__[name]
    default = field.default_factory() if callable(field.default_factory) else field.default
    stored, is_default = ACCOUNT.attributes({name: value})[name], value == default
    if stored is None:
        return f"attribute_not_exists(#{name})", {}
    condition = f"attribute_not_exists(#{name}) OR #{name} = :{param}" if is_default else f"#{name} = :{param}"
    return condition, {param: stored}


def _counters(settings: Mapping[str, object], open_tasks: int) -> dict[str, int]:
    counted = SESSIONS_END if "sessions" in settings else {"version": 1}
    return counted | ({"open_tasks": open_tasks} if open_tasks else {})


def _moved(before: Account, after: Account) -> dict[str, Any]:
    """With it what says that rows are not listed at their time, where that changes: with right clocks it never does."""
    places = [name for name in ("last_happened_at", "ahead_since") if getattr(after, name) != getattr(before, name)]
    return {name: getattr(after, name) for name in (*MOVED, *places)}


def _attributes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Of the links each nonce is set by itself: others write to them at the same time, and theirs stay."""
    links = {f"link_nonces.{purpose}": nonce for purpose, nonce in changes.get("link_nonces", {}).items()}
    return ACCOUNT.attributes({name: value for name, value in changes.items() if name != "link_nonces"}) | links
