"""Which addresses are one person's, as far as an address can tell. Accounts stay apart: this is for limits alone."""

from __future__ import annotations

import hashlib
import unicodedata

SAME_DOMAIN = {"googlemail.com": "gmail.com"}


def person_of(email: str) -> str:
    """The address without what its owner may vary at will: case, dots and `+tag` of the local part, spelling of the
    domain (composed or not, Unicode or `xn--`)."""
    text = unicodedata.normalize("NFKC", email).strip().lower()
    local, _, domain = text.rpartition("@")
    plain = local.partition("+")[0].replace(".", "")
    return f"{plain or local}@{_domain(domain)}"


def person_mark(email: str) -> str:
    """The person as part of a row's id: the id tells no address."""
    return hashlib.sha256(person_of(email).encode()).hexdigest()[:32]


def _domain(domain: str) -> str:
    name = unicodedata.normalize("NFC", ".".join(_label(label) for label in domain.rstrip(".").split("."))).lower()
    return SAME_DOMAIN.get(name, name)


def _label(label: str) -> str:
    try:
        return label[4:].encode("ascii").decode("punycode") if label.startswith("xn--") else label
    except UnicodeError:
        return label
