"""Files of results on the disk: each is whole or not there, under a name that cannot lead out of the folder."""

from __future__ import annotations

import os
import re
import secrets
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from .calls import Answer, Call, Steps, refusal, task_path
from .credentials import LOOPBACK
from .errors import ApiError, FileThere, Incomplete, NotOurs, Unavailable
from .models import File, Task

RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")  # no file can be called so on Windows
MAX_NAME_BYTES = 200


def safe_name(name: str) -> str:
    """One name without a path, without what a file system or a terminal takes for something else."""
    last = re.split(r"[/\\]", name)[-1]
    plain = "".join("_" if char in '<>:"|?*' or unicodedata.category(char)[0] == "C" else char for char in last)
    plain = plain.strip(" .")
    if not plain or RESERVED.fullmatch(plain):
        plain = f"file_{plain}".rstrip("_")
    stem, dot, suffix = plain.rpartition(".")
    if not stem or len(suffix) > 20:
        stem, dot, suffix = plain, "", ""
    while len(f"{stem}{dot}{suffix}".encode()) > MAX_NAME_BYTES:
        stem = stem[:-1]
    return f"{stem}{dot}{suffix}"


def places(files: Sequence[File], folder: Path, *, overwrite: bool) -> list[tuple[File, Path]]:
    """Where each file goes; two of one name are told apart by their numbers. Raises FileThere, NotADirectoryError."""
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is no folder.")
    found: list[tuple[File, Path]] = []
    taken: set[str] = set()
    for file in files:
        name = safe_name(file.name)
        if name.casefold() in taken:
            stem, dot, suffix = name.rpartition(".")
            name = f"{stem or suffix} ({file.number}){dot + suffix if stem else ''}"
        taken.add(name.casefold())
        found.append((file, folder / name))
    there = [place for _, place in found if os.path.lexists(place)]
    if there and not overwrite:
        raise FileThere(f"There is already {', '.join(map(str, there))}: nothing was downloaded.")
    return found


def call(task: Task, file: File) -> Call:
    return Call("GET", f"{task_path(task)}/files/{file.number}", leads_on=True)


def ask(asked: Call) -> Steps[Answer]:
    answer = yield asked
    return answer


def link(base_url: str, answer: Answer) -> str:
    """The address that the server names, for a minute. Raises NotOurs unless it has TLS or is on this machine."""
    named = answer.headers.get("Location", "")
    try:
        url = httpx.URL(base_url).join(named) if named else None
    except httpx.InvalidURL:
        url = None
    if url is None or not url.host:
        raise NotOurs("The server names no address for this file.")
    if url.scheme != "https" and not (url.scheme == "http" and url.host in LOOPBACK):
        raise NotOurs(f"The server names an address without TLS for this file, at {url.host}.")
    return str(url)


def check(asked: Call, answer: httpx.Response) -> None:
    """Raises what the file store says, as a refusal that may be tried again: each try gets an address of its own."""
    if answer.status_code == 200:
        return
    said = refusal(asked, answer, {})
    kind: type[ApiError] = Unavailable if answer.status_code >= 500 or answer.status_code == 403 else type(said)
    status = 503 if kind is Unavailable else answer.status_code
    message = f"The file store has answered with status {answer.status_code}."
    raise kind(status, "file_store", message, retry_after=said.retry_after)


def unnamed(error: Exception) -> Exception:
    """What went wrong, without the address, which opens the file to whoever reads it."""
    return Exception(f"the file store ({type(error).__name__})")


class Part:
    """A file while it arrives, beside where it goes. At the end of the block it takes its name, if it is whole."""

    def __init__(self, place: Path, file: File, overwrite: bool) -> None:
        self._place, self._file, self._overwrite = place, file, overwrite
        self._bytes = 0

    def __enter__(self) -> Self:
        self._path = self._place.parent / f".{secrets.token_hex(8)}.part"
        self._out = self._path.open("xb")
        return self

    def write(self, chunk: bytes) -> None:
        self._bytes += len(chunk)
        if self._bytes > self._file.size_bytes:
            raise Incomplete(f"{self._place.name} is longer than the server said.")
        self._out.write(chunk)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self._out.flush()
                os.fsync(self._out.fileno())
            self._out.close()
            if kind is None:
                self._keep()
        finally:
            self._out.close()
            self._path.unlink(missing_ok=True)

    def _keep(self) -> None:
        if self._bytes != self._file.size_bytes:
            raise httpx.RemoteProtocolError(f"{self._bytes:,} of {self._file.size_bytes:,} bytes")  # tried again
        if self._overwrite:
            self._path.replace(self._place)
            return
        try:
            try:
                os.link(self._path, self._place)  # unlike a rename it never replaces what came there meanwhile
            except FileExistsError:
                raise
            except OSError:  # a file system without links: the name is taken first
                self._place.open("xb").close()
                self._path.replace(self._place)
        except FileExistsError:
            raise FileThere(f"There is already {self._place}: it was left as it is.") from None
