"""What a person is typing into a form that has not been sent: kept as it is typed, one draft for each place."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Self

from .drafts import KEPT_FOR, Draft, Fields, PackedDraft, draft_key, packed
from .errors import InvalidInput, Malformed, WrongState

MAX_PACKED_BYTES = 400_000  # a row of the store holds 409,600; 150,000 letters of any script fit, packed
MAX_PLACES = 300  # of one account at a time
MAX_DONE = 12  # pages that are remembered as done; more are never open at once in one place
DONE_FOR = timedelta(days=1)
MAX_PLACE = 500
PAGE = re.compile(r"[A-Za-z0-9]{6,24}")


class DraftSent(WrongState):
    code = "draft_sent"
    message = "This form has been sent. What it held is no draft any more."


@dataclass(frozen=True, slots=True)
class Mark:
    """Which form, and of which open page. Written with spaces between.

    `place` is the address that the form is sent to. `pages` are names that pages made up for themselves: first the one
    that shows the form, once it has kept anything, then those whose text it goes on with.
    """

    place: str
    pages: tuple[str, ...] = ()

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises Malformed."""
        place, *pages = text.split(" ")
        if not place.startswith("/") or len(place) > MAX_PLACE or not all(map(PAGE.fullmatch, pages)):
            raise Malformed("That names no form.")
        return cls(place, tuple(pages[:MAX_DONE]))

    @property
    def path(self) -> str:
        return self.place.partition("?")[0]

    def __str__(self) -> str:
        return " ".join((self.place, *self.pages))


@dataclass(frozen=True, slots=True)
class TypedDraft:
    """The row of one place: the text that was kept last, or none, and the pages that must not bring theirs back.

    `page` kept it as its `number`-th; `version` counts the changes of the row.
    """

    draft_id: str
    account_id: str
    place: str
    saved_at: datetime
    expires_at: int
    page: str = ""
    number: int = 0
    fields: str = ""  # packed
    done: tuple[str, ...] = ()
    version: int = 0

    @property
    def is_kept(self) -> bool:
        return bool(self.fields)

    @property
    def mark(self) -> Mark:
        return Mark(self.place, (self.page,) if self.page else ())

    def unpacked(self) -> Draft:
        return PackedDraft(self.place, self.fields, self.saved_at).unpacked()

    def is_of(self, mark: Mark) -> bool:
        """Whether the text is one that the page of this mark has kept, or goes on with."""
        return self.page in mark.pages

    def is_newer(self, mark: Mark, number: int) -> bool:
        """Whether the same page has kept something since it sent this."""
        return self.page == mark.pages[0] and self.number >= number

    def kept(self, mark: Mark, number: int, fields: Fields, now: datetime) -> TypedDraft:
        """With the text of a page in place of whatever was there. Raises DraftSent for a page that is done."""
        if mark.pages[0] in self.done:
            raise DraftSent
        text = packed(Draft(self.place, fields, now)).fields if fields else ""
        if len(text) > MAX_PACKED_BYTES:
            raise InvalidInput("This is too long to be kept as you type.")
        expires_at = int((now + KEPT_FOR).timestamp())
        return replace(self, page=mark.pages[0], number=number, fields=text, saved_at=now, expires_at=expires_at)

    def done_with(self, mark: Mark, now: datetime) -> TypedDraft:
        """Once the form of this mark was sent or thrown away. The text of any other page stays."""
        done = (*(page for page in self.done if page not in mark.pages), *mark.pages)[-MAX_DONE:]
        if self.is_kept and not self.is_of(mark):
            return replace(self, done=done)
        expires_at = int((now + DONE_FOR).timestamp())
        return replace(self, page="", number=0, fields="", done=done, expires_at=expires_at)


def draft_id(account_id: str, life: int, place: str) -> str:
    """Another life of an account has other drafts: what is kept too late for the one is read by nobody."""
    return f"{account_id}#{life}#{draft_key(place)}"


def life_of(id: str) -> int:
    return int(id.split("#")[1])


def nothing_kept(account_id: str, life: int, place: str, now: datetime) -> TypedDraft:
    return TypedDraft(draft_id(account_id, life, place), account_id, place, now, int((now + DONE_FOR).timestamp()))
