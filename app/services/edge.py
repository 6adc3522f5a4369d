"""What the edge in front of the app says of a request, signed: whose it is, and the reference that both know it by.

The edge is the Worker of deploy/cloudflare/worker; its `signature.js` writes what is read here.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address

from app.domain.clock import utcnow

HEADER = "X-Edge-Visitor"
PURPOSE = "impacteragi edge visitor v1"
SECONDS = 300  # how far its time may be from ours, either way: a machine's clock may be off as far
WRITTEN = re.compile(
    r"v1;time=(?P<time>\d{1,12});reference=(?P<reference>[0-9a-f]{16});address=(?P<address>[0-9a-f.:]{2,45});"
    r"mac=(?P<mac>[0-9a-f]{64})",
    re.ASCII,
)
SIGNED, UNASKED = "signed", "unasked"
MISSING, UNREADABLE, ITS_SECRET, ITS_TIME = "missing", "unreadable", "its secret", "its time"


class NotSigned(Exception):
    """The request does not come from the edge. `why` is one of the four words above."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Visitor:
    """`address` is the visitor's own, IPv4 or IPv6; `reference` 16 hex digits, which answers and logs name."""

    address: str
    reference: str


def read_visitor(header: str, method: str, path: bytes, secrets: tuple[str, ...]) -> Visitor:
    """Who asks, as the edge has signed it for this method and path, percent-decoded. Raises NotSigned.

    A signature is good for SECONDS, for one method and path: whoever comes by one can claim its address there until
    then, and nothing else.
    """
    if not header:
        raise NotSigned(MISSING)
    said = WRITTEN.fullmatch(header)
    if not said:
        raise NotSigned(UNREADABLE)
    visitor = Visitor(said["address"], said["reference"])
    macs = (mac_of(secret, int(said["time"]), visitor, method, path) for secret in secrets)
    if not any(hmac.compare_digest(mac, said["mac"]) for mac in macs):
        raise NotSigned(ITS_SECRET)
    if abs(utcnow().timestamp() - int(said["time"])) > SECONDS:
        raise NotSigned(ITS_TIME)
    try:
        ip_address(visitor.address)
    except ValueError as error:
        raise NotSigned(UNREADABLE) from error
    return visitor


def written(secret: str, at: int, visitor: Visitor, method: str, path: bytes) -> str:
    """The header's value, as the edge writes it. `at`: seconds since 1970."""
    mac = mac_of(secret, at, visitor, method, path)
    return f"v1;time={at};reference={visitor.reference};address={visitor.address};mac={mac}"


def mac_of(secret: str, at: int, visitor: Visitor, method: str, path: bytes) -> str:
    parts = (PURPOSE, str(at), visitor.reference, visitor.address, method)  # none of them can hold a line's end
    return hmac.new(secret.encode(), "\n".join(parts).encode() + b"\n" + path, sha256).hexdigest()
