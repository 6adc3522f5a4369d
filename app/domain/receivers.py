"""Addresses that webhooks may be sent to: which URLs a customer may name, and where they may lead."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import quote, urlsplit

import idna

from .errors import InvalidInput

MAX_URL = 2_000
HTTPS = 443
LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
TOP_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")  # never a number, in whichever of the ways to write one

# https://www.iana.org/assignments/iana-ipv4-special-registry: all of it, global or not, and multicast.
REFUSED_4 = tuple(
    ip_network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
    )
)
# Only what is given out to networks, https://www.iana.org/assignments/ipv6-unicast-address-assignments: all else is
# local, mapped (::ffff:0:0/96), translated (64:ff9b::/96) or reserved. Of it not what holds an IPv4 address or leads
# nowhere: https://www.iana.org/assignments/iana-ipv6-special-registry.
UNICAST_6 = ip_network("2000::/3")
REFUSED_6 = tuple(
    ip_network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)
ISATAP = (0x00005EFE, 0x02005EFE)  # https://www.rfc-editor.org/rfc/rfc5214#section-6.1: an IPv4 address follows


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in its parts: the host in ASCII, the path with its query as it is asked for."""

    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        return self.host if self.port == HTTPS else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"https://{self.authority}{self.path}"


def target_of(text: object) -> Target:
    """Of what somebody has typed. Raises InvalidInput with the reason."""
    url = text.strip() if isinstance(text, str) else ""
    if not url or len(url) > MAX_URL:
        raise _wrong(f"Give an address like https://example.com/webhooks, of at most {MAX_URL:,} characters.")
    if any(not char.isprintable() or char.isspace() or char == "\\" for char in url):
        raise _wrong("An address has no spaces and no backslashes.")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        raise _wrong("That is no address: the port or the brackets are wrong.") from None
    if parts.scheme != "https":
        raise _wrong("Only https:// addresses are sent to.")
    if "@" in parts.netloc:
        raise _wrong("Leave out the name and password: we sign what we send.")
    if "#" in url:
        raise _wrong("Leave out what follows the #: it is never sent.")
    port = HTTPS if port is None else port
    if port != HTTPS and port < 1024:
        raise _wrong("Use port 443, or one from 1024 on.")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?") if parts.query else ""
    return Target(_host(host), port, path + query)


def is_public(address: str) -> bool:
    """Whether it is one of the internet's that anybody could reach. `ipaddress.is_global` lets more through."""
    try:
        found = ip_address(address)
    except ValueError:  # with a zone: never global
        return False
    if isinstance(found, IPv4Address):
        return not any(found in network for network in REFUSED_4)
    return _is_public_6(found)


def _is_public_6(address: IPv6Address) -> bool:
    if address.scope_id or address not in UNICAST_6 or any(address in network for network in REFUSED_6):
        return False
    return (int(address) >> 32) & 0xFFFFFFFF not in ISATAP


def _host(host: str) -> str:
    try:
        name = idna.encode(host.rstrip("."), uts46=True).decode() if not host.isascii() else host.rstrip(".").lower()
    except idna.IDNAError:
        raise _wrong("That host name cannot be written in ASCII.") from None
    labels = name.split(".")
    fine = len(name) <= 253 and all(LABEL.fullmatch(label) for label in labels)
    if not fine or len(labels) < 2 or not TOP_LABEL.fullmatch(labels[-1]):
        raise _wrong("Name a host, like example.com: an address of numbers has no certificate to check.")
    return name


def _wrong(words: str) -> InvalidInput:
    return InvalidInput(words, field="url")
