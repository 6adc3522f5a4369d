"""Where the key and the address of the server come from, and what keeps the key out of sight."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx

from .errors import NotConfigured

KEY, KEY_FILE, BASE_URL = "IMPACTERAGI_API_KEY", "IMPACTERAGI_API_KEY_FILE", "IMPACTERAGI_BASE_URL"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Bearer(httpx.Auth):
    """Puts the key on each request as it leaves. Nothing that is printed of it shows the key."""

    def __init__(self, key: str) -> None:
        self.__key = key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self.__key}"
        yield request

    def __repr__(self) -> str:
        return "Bearer(…)"

    def __reduce__(self) -> Any:
        raise TypeError("a key is not pickled")


def find_key(given: str | None = None) -> Bearer:
    """The given key, else that of the environment, else that of the file. Raises NotConfigured."""
    key = given or os.environ.get(KEY) or _from_file()
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise NotConfigured("That is no API key: it is one word of printable ASCII characters.")
    return Bearer(key)


def find_base_url(given: str | None = None) -> str:
    """The address of the server, without a slash at its end. Raises NotConfigured.

    A key goes over TLS, or stays on this machine.
    """
    text = (given or os.environ.get(BASE_URL) or "").strip().rstrip("/")
    if not text:
        raise NotConfigured(f"No server is named: give base_url, or set {BASE_URL}.")
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise NotConfigured(f"{text!r} is no address of a server.") from None
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query or url.fragment:
        raise NotConfigured("That is no address of a server: it looks like https://host, without a password in it.")
    if url.scheme == "http" and url.host not in LOOPBACK:
        raise NotConfigured(f"{text} has no TLS, and a key must not be read on the way: use https.")
    return text


def key_file() -> Path:
    named = os.environ.get(KEY_FILE)
    if named:
        return Path(named).expanduser()
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "impacteragi" / "key"


def _from_file() -> str:
    path = key_file()
    try:
        with path.open(encoding="utf-8") as file:
            if os.name == "posix":  # of the file that was opened, not of what lies there a moment later
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                if mode & 0o077:
                    raise NotConfigured(f"{path} can be read by others (mode {mode:04o}): chmod 600 {path}")
            return file.read(10_000)
    except FileNotFoundError:
        raise NotConfigured(
            f"There is no API key: set {KEY}, or write it to {path} (chmod 600). Keys are made on /account/keys."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise NotConfigured(f"The API key cannot be read from {path}: {why}.") from None
