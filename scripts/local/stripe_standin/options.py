"""What the stand-in is started with, and the refusal to talk to anything but this machine."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from .store import Store

HOST = "127.0.0.1"


class BadOption(Exception):
    """A setting that the stand-in will not start with, in words for whoever typed it."""


@dataclass(slots=True)
class Options:
    """`webhook_url` and `webhook_secret` may change while running; the rest is fixed."""

    state: Path
    secret_key: str
    webhook_secret: str
    webhook_url: str | None
    host: str = HOST  # where it listens; its address is on loopback all the same
    port: int = 4242
    settle_seconds: float = 4.0
    retry_seconds: float = 1.0
    redirect_wait_seconds: float = 10.0
    states: bool = False  # whether it makes states in the run that it belongs to (scripts/local/states)
    url: str = ""  # its address, known once it does

    def settle_after(self, store: Store) -> float:
        """Seconds until a bank answers; the control API may have changed it."""
        return float(store.setting("settle_seconds", self.settle_seconds))

    def check(self) -> None:
        if not self.secret_key.startswith("sk_test_") or len(self.secret_key) < 12:
            raise BadOption("The secret key must be a test key: it starts with sk_test_. Never use a live key here.")
        if not self.webhook_secret.startswith("whsec_"):
            raise BadOption("The webhook secret must start with whsec_.")
        if self.webhook_url is not None:
            check_webhook_url(self.webhook_url)


def check_webhook_url(url: str) -> None:
    """Webhooks go to this machine only: a typing error must not send made-up payments to a real site."""
    parts = urlsplit(url)
    try:
        port = parts.port or 80
    except ValueError as error:
        raise BadOption(f"Not a usable webhook address: {url}") from error
    if parts.scheme != "http" or not parts.hostname or parts.username is not None:
        raise BadOption(f"The webhook address must be http://127.0.0.1:PORT/…, not {url}")
    if not is_loopback(parts.hostname, port):
        raise BadOption(f"Webhooks are sent to this machine only (127.0.0.1, localhost), not to {parts.hostname}")


def is_loopback(host: str, port: int) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        pass
    if host != "localhost":
        return False
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return all(ip_address(entry[4][0]).is_loopback for entry in found)
