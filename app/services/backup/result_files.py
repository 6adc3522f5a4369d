"""Files of results beside the tables: into a depot, and back under the keys that the rows name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from app.data import Store
from app.domain.errors import NotFound
from app.domain.tasks import ResultFile
from app.gateways.depots import Depot

from ..books import Difference

FILES = "files/"  # in a depot of ours, one for all of its backups: a file never changes under its key
WORD_EVERY = 1_000


class Files(Protocol):
    def sizes(self) -> Iterable[tuple[str, int]]: ...

    def read(self, key: str) -> bytes: ...

    def put_back(self, file: ResultFile, content: bytes) -> None: ...


def keep(files: Files, depot: Depot, *, say: Callable[[str], None] = lambda line: None) -> int:
    """Copy what the depot lacks, and return how many. After the tables: a file is there before its row is.

    Safe to repeat. Raises FilesUnavailable, DepotUnavailable.
    """
    there = {name.removeprefix(FILES): size for name, size in depot.names(FILES)}
    copied = 0
    for key, size in files.sizes():
        if there.get(key) != size:
            depot.write(FILES + key, files.read(key))
            copied += 1
            if copied % WORD_EVERY == 0:
                say(f"files of results: {copied:,} copied")
    return copied


def put_back(
    store: Store, files: Files, depot: Depot, *, say: Callable[[str], None] = lambda line: None
) -> Iterator[Difference]:
    """Put back each file that a result names and the bucket lacks; names those that the depot lacks, too.

    `depot`: one of ours, or the bucket that files are replicated to. Safe to repeat. Raises as `keep`.
    """
    there, copied = dict(files.sizes()), 0
    for task_id, result in store.whole.results():
        for file in result.files:
            if there.get(file.key) == file.size_bytes:
                continue
            content = _found(depot, file.key)
            if content is None or len(content) != file.size_bytes:
                found = "none in the depot" if content is None else f"{len(content):,} bytes"
                yield Difference(task_id, f"file {file.key}", f"a file of {file.size_bytes:,} bytes", found)
                continue
            files.put_back(file, content)
            copied += 1
            if copied % WORD_EVERY == 0:
                say(f"files of results: {copied:,} put back")
    say(f"files of results: {copied:,} put back")


def _found(depot: Depot, key: str) -> bytes | None:
    for name in (FILES + key, key):
        try:
            return depot.read(name)
        except NotFound:
            continue
    return None
