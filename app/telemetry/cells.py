"""Numbers that all worker processes of a server keep in one memory, so that whoever is asked knows them all.

The memory is made before the workers are forked (app/web/serve.py) and has a part for each. A worker writes into its
own part alone, each number in one step of the machine; so nobody waits for anybody, and no worker that is killed leaves
a lock behind. Who is started again in its place goes on with the numbers that stand there: nothing counted is lost, and
no sum goes back. A server that is started anew begins with nothing, which is what readers of counters expect.
"""

from __future__ import annotations

import logging
import mmap
import threading
import zlib
from collections.abc import Iterator

log = logging.getLogger(__name__)

WORD = 8  # bytes
PART = 64 * 1024  # words for a worker: some 2,000 series; pages that nobody writes to take no memory
_USED, _DROPPED, _FIRST = 0, 1, 2  # words at the beginning of a part


class Cells:
    """The memory of a server. `part` is a worker's own, `read` the sum of all."""

    def __init__(self, workers: int = 1, words: int = PART) -> None:
        self._memory = mmap.mmap(-1, workers * words * WORD)
        self._workers = workers
        self._words = words

    def part(self, worker: int = 0) -> Part:
        return Part(memoryview(self._memory)[worker * self._words * WORD : (worker + 1) * self._words * WORD])

    def read(self) -> dict[bytes, list[float]]:
        """The numbers of each series, added up over all workers."""
        found: dict[bytes, list[float]] = {}
        for worker in range(self._workers):
            for key, numbers in self.part(worker).read():
                known = found.setdefault(key, [0.0] * len(numbers))
                for place, number in enumerate(numbers):
                    known[place] += number
        return found

    @property
    def dropped(self) -> int:
        """How many times something was not counted for want of room."""
        return sum(self.part(worker).dropped for worker in range(self._workers))


class Part:
    """A worker's part. Each series is a word of lengths and a checksum, its key, and its numbers."""

    def __init__(self, view: memoryview) -> None:
        self._bytes = view
        self._whole = view.cast("Q")
        self._numbers = view.cast("d")
        self._places: dict[bytes, int] = {}  # the first number of a series
        self._lock = threading.Lock()

    @property
    def dropped(self) -> int:
        return self._whole[_DROPPED]

    def take_over(self, counts: frozenset[bytes]) -> None:
        """Begin as its worker: what counts (by its name) goes on, what says how things stand is 0."""
        for key, place, count in self._walk():
            self._places[key] = place
            if key.partition(b"\0")[0] not in counts:
                for number in range(place, place + count):
                    self._numbers[number] = 0.0

    def add(self, key: bytes, amounts: tuple[tuple[int, float], ...], count: int) -> None:
        """Add to some numbers of a series: (place, amount); it has `count` of them."""
        with self._lock:
            first = self._place(key, count)
            if first is not None:
                for place, amount in amounts:
                    self._numbers[first + place] += amount

    def set(self, key: bytes, number: float) -> None:
        with self._lock:
            first = self._place(key, 1)
            if first is not None:
                self._numbers[first] = number

    def read(self) -> Iterator[tuple[bytes, list[float]]]:
        for key, place, count in self._walk():
            yield key, list(self._numbers[place : place + count])

    def _place(self, key: bytes, count: int) -> int | None:
        """Where its numbers begin; room is made for a series that is new. None where there is none."""
        found = self._places.get(key)
        if found is not None:
            return found
        used = self._whole[_USED] or _FIRST
        words = -(-len(key) // WORD)
        first = used + 1 + words
        if first + count > len(self._whole):
            if not self._whole[_DROPPED]:
                log.warning("no room for more metrics: what is new is not counted")
            self._whole[_DROPPED] += 1
            return None
        self._bytes[(used + 1) * WORD : (used + 1) * WORD + len(key)] = key
        self._whole[used] = len(key) | count << 16 | zlib.crc32(key) << 32
        self._whole[_USED] = first + count  # last, so that nobody reads half of it
        self._places[key] = first
        return first

    def _walk(self) -> Iterator[tuple[bytes, int, int]]:
        place, end = _FIRST, self._whole[_USED]
        while place < end:
            head = self._whole[place]
            length, count = head & 0xFFFF, head >> 16 & 0xFFFF
            key = bytes(self._bytes[(place + 1) * WORD : (place + 1) * WORD + length])
            if not count or zlib.crc32(key) != head >> 32:
                return  # another processor's writes have not all come yet: the next look has them
            first = place + 1 + -(-length // WORD)
            yield key, first, count
            place = first + count
