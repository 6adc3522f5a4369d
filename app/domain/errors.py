"""Everything that can be refused, each with the code and the sentence that a person or a program is shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from .rate_limits import Standing


class DomainError(Exception):
    """A refusal. `code` is stable and for programs, `message` is a plain sentence for people."""

    code = "refused"
    message = "That is not possible."

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.message)
        self.message = message or self.message

    def details(self) -> dict[str, Any]:
        """Further fields of the JSON error body."""
        return {}


class Faulty(DomainError):
    """A request with something to mend: `field` names the first, `errors` all of it where there is more to say."""

    def __init__(
        self, message: str | None = None, field: str | None = None, errors: Sequence[tuple[str, str]] = ()
    ) -> None:
        super().__init__(message)
        self.field = field
        self.errors = errors or ([(field, self.message)] if field else [])

    def details(self) -> dict[str, Any]:
        if not self.field:
            return {}
        return {"field": self.field, "errors": [{"field": field, "error": error} for field, error in self.errors]}


class InvalidInput(Faulty):
    """Well-formed but not acceptable."""

    code = "invalid"
    message = "Please check what you entered."


class Malformed(Faulty):
    code = "malformed"
    message = "The request could not be understood."


class UnreadableCookies(Malformed):
    code = "unreadable_cookies"
    message = (
        "Your browser sends a cookie that cannot be read: it holds a character outside ASCII, and most likely another "
        "page of this domain has set it. Your cookies were cleared: reload the page and sign in again. If this comes "
        "again, remove the cookies of this site in your browser. Nothing was charged."
    )


class BadCursor(Malformed):
    code = "bad_cursor"
    message = "That page marker is not one of this list with this filter. Start again from the first page."


class NotFound(DomainError):
    code = "not_found"
    message = "There is nothing here."


class NotSignedIn(DomainError):
    code = "unauthorized"
    message = "Please sign in."


class KeyRefused(NotSignedIn):
    """To who holds a whole key of ours: why it opens nothing any more."""

    code = "key_refused"
    message = "This API key was revoked. Make a new one under Account, API keys."


class SignedInAsAnother(NotSignedIn):
    message = (
        "Another account has signed in at this browser since this page was opened. Nothing was sent or charged. "
        "Copy what you wrote, and sign in as yourself again."
    )


class BadCredentials(NotSignedIn):
    code = "bad_credentials"
    message = "E-mail or password is wrong."


class WrongCode(BadCredentials):
    code = "wrong_code"
    message = "That code is not right, or was used already. Wait for the next one."


class SecondFactorMissing(NotSignedIn):
    code = "second_factor_required"
    message = "This account has a second factor: send its current code as well, in the field code."


class Forbidden(DomainError):
    code = "forbidden"
    message = "This is not open to you."


class NotFromTheEdge(Forbidden):
    """It came around what stands in front of the app: no visitor is meant to be able to."""

    message = (
        "This server answers only what comes through its public address: open that one. If you did, something in front "
        "of us is not set up right, and we are told of it. Nothing was charged."
    )


class OperatorNotProven(Forbidden):
    """An operator may read with a password alone; to change anything takes a second factor in the same session."""

    code = "second_factor_required"
    message = "Operators prove a second factor before they change anything. Nothing was changed."


class MissingScope(Forbidden):
    """An API key may do less than the account that it belongs to."""

    code = "missing_scope"

    def __init__(self, scope: str, said: str = "") -> None:
        self.scope = scope
        super().__init__(said or f"This API key lacks the scope {scope}. Make one that has it.")

    def details(self) -> dict[str, Any]:
        return {"scope": self.scope}


class AddressUnconfirmed(Forbidden):
    """Anybody can sign up with anybody's address: what is given away goes to who reads the mailbox."""

    code = "email_not_confirmed"
    message = "Confirm your e-mail address first: open the link that we mailed you, or ask for a new one on /account."


class AccountExists(DomainError):
    code = "account_exists"
    message = "There is already an account with this e-mail address. Sign in, or look in your mail for a link."


class LinkExpired(DomainError):
    code = "link_expired"
    message = "This link was used already, was replaced by a newer one, or is too old."


class InsufficientCredits(DomainError):
    code = "insufficient_credits"

    def __init__(self, *, required: int, available: int, several: bool = False) -> None:
        self.required = required
        self.available = available
        costs = f"these tasks cost {required:,}" if several else f"a task costs {required:,}"
        message = f"You have {available:,} credits, {costs}. Nothing was charged."
        if available < 0:
            message = (
                f"Your balance is {available:,} credits, because a payment was refunded or disputed after its "
                "credits were spent. You can submit tasks again once it is above zero. Nothing was charged."
            )
        super().__init__(message)

    def details(self) -> dict[str, Any]:
        return {"required": self.required, "available": self.available}


class KeyLimitReached(DomainError):
    """An API key would spend more in this UTC month than its owner lets it."""

    code = "key_limit_reached"

    def __init__(self, *, limit: int, used: int, resets_at: datetime) -> None:
        self.limit = limit
        self.used = used
        self.resets_at = resets_at
        super().__init__(
            f"This API key has spent {used:,} of its {limit:,} credits for this month. It may spend again from "
            f"{resets_at:%Y-%m-%d %H:%M} UTC. Nothing was charged."
        )

    def details(self) -> dict[str, Any]:
        return {"limit": self.limit, "used": self.used, "resets_at": f"{self.resets_at:%Y-%m-%dT%H:%M:%S.%fZ}"}


class AccountFrozen(Forbidden):
    code = "account_frozen"
    message = (
        "Spending on this account is paused while we check its books. Nothing was charged. We will write to you; "
        "your credits are safe."
    )


class IdempotencyKeyReused(DomainError):
    code = "idempotency_key_reused"
    message = "This idempotency key was used before with different contents. Nothing was charged."


class ReferenceUsed(DomainError):
    """Another task of the account has it, and is not what is asked for."""

    code = "reference_used"

    def __init__(self, reference: str, task_id: str, said: str = "That task is not the same as this one.") -> None:
        self.task_id = task_id
        super().__init__(f"The reference {reference} is that of {task_id}. {said} Nothing was charged.")

    def details(self) -> dict[str, Any]:
        return {"task_id": self.task_id}


class WrongState(DomainError):
    code = "wrong_state"
    message = "This changed in the meantime. Reload to see where it stands."


class AlreadyRecorded(DomainError):
    """The ledger (or another once-only record) has this already: the caller repeats a request."""

    code = "already_recorded"
    message = "This was recorded already."


class RateLimited(DomainError):
    code = "rate_limited"

    def __init__(
        self, retry_after_seconds: int, said: str = "Too many attempts.", standing: Standing | None = None
    ) -> None:
        self.retry_after_seconds = max(1, retry_after_seconds)
        self.standing = standing  # where whoever counted does not tell it by itself
        super().__init__(f"{said} Try again in {_duration(self.retry_after_seconds)}.")


class Unavailable(DomainError):
    """Something we depend on is down; nothing was done, trying again is safe."""

    code = "unavailable"
    message = "The service cannot be reached right now. Nothing was charged. Try again in a moment."
    retry_after_seconds = 2


class TooBusy(Unavailable):
    """So many requests are at work that this one found no slot: it has not been begun."""

    code = "busy"
    message = "We are busy. Nothing was charged. Try again in a few seconds."
    retry_after_seconds = 5


class MoreThanItsShare(TooBusy):
    """Others wait for a slot, and this account has its share of them: this request has not been begun."""

    message = "Others wait, and you ask for much at once. Nothing was charged. Try again in a few seconds."


class PlacesTaken(Unavailable):
    """Costly reads have few places, and none came free in time."""

    code = "busy"
    retry_after_seconds = 5

    def __init__(self, what: str = "Searching") -> None:
        super().__init__(f"{what} is busy at the moment. Nothing was charged. Try again in a few seconds.")


class StoreUnavailable(Unavailable):
    code = "store_unavailable"


class LedgerBehind(StoreUnavailable):
    """Rows of a ledger that are known to stand are not listed yet: a list without them would look whole."""

    code = "ledger_behind"
    message = "The newest rows of this ledger are not listed yet. Nothing is lost. Try again in a moment."


class OutcomeUnknown(StoreUnavailable):
    """A write was sent and its answer was lost: it is there whole, or not at all. Repeating it is safe by its key."""

    code = "store_uncertain"
    message = (
        "The service did not answer in time. Look at your history before you try again: "
        "what you sent is there and charged once, or it was never charged."
    )


class StoreBusy(StoreUnavailable):
    """Bounded retries of a contended write ran out."""

    code = "busy"
    message = "Too much is happening at once on this account. Nothing was charged. Try again in a moment."
    retry_after_seconds = 1


class LedgerWrong(DomainError):
    """What must follow from the row before does not: `what` is for whoever mends it, the message for whoever asks."""

    code = "ledger_wrong"
    message = (
        "This ledger does not add up, so nothing of it is shown and nothing was changed. "
        "It has been noted, and a person looks into it."
    )

    def __init__(self, what: str, email: str) -> None:
        super().__init__()
        self.what = what
        self.email = email


class BalanceUnexplained(Unavailable):
    """No ledger row explains this balance, or it cannot be read: nothing moves it until somebody has looked."""

    code = "balance_unexplained"
    message = "The balance of this account has to be put in order by an operator first. Nothing was charged or lost."
    retry_after_seconds = 3600


class RowUnreadable(Unavailable):
    """A row was written by hand, or by the original product, in a form that means nothing to us."""

    code = "row_unreadable"
    retry_after_seconds = 3600

    def __init__(self, key: str, why: str):
        super().__init__(
            f"The row {key} cannot be read ({why}): somebody has to mend it first. Nothing was charged or lost."
        )


class PaymentsUnavailable(Unavailable):
    code = "payments_unavailable"
    message = "Stripe does not answer right now. Nothing was charged. Try again in a minute."
    retry_after_seconds = 60


class FilesUnavailable(Unavailable):
    code = "files_unavailable"
    message = "The file store does not answer right now. Nothing was changed. Try again in a moment."
    retry_after_seconds = 5


class InvalidSignature(Malformed):
    code = "invalid_signature"
    message = "The signature does not match."


class InvalidPayload(Malformed):
    code = "invalid_payload"
    message = "The body is not a Stripe event."


def _duration(seconds: int) -> str:
    if seconds < 90:
        return f"{seconds} second{'s' if seconds != 1 else ''}"
    return f"{-(-seconds // 60)} minutes" if seconds < 2 * 3600 else f"{-(-seconds // 3600)} hours"
