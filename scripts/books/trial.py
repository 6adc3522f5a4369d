"""Made-up ledgers of any size, both ways: how much memory and time the checks of the books take, whether they agree.

    python -m scripts.books.trial pages --rows 10000000              # `books check`, over a client that makes up pages
    python -m scripts.books.trial export --rows 10000000 --into DIR  # for scripts/books_sql check --export DIR --json

`pages` prints what differs as JSON, a difference a line, and at the end of its other output peak memory and CPU
seconds, with those that the making of the rows takes. It needs room in TMPDIR (docs/operating.md).
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from dataclasses import asdict
from pathlib import Path

from app.data import Store
from app.data.tables import ALL
from app.services import books

from .export import write_export
from .made_up import MadeUp, Pages

PREFIX = "MadeUp_"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.books.trial", description=__doc__.partition("\n")[0])
    parser.add_argument("verb", choices=("export", "pages"))
    parser.add_argument("--rows", type=int, default=10_000_000, help="ledger rows, fifty an account")
    parser.add_argument("--into", type=Path, help="an empty folder, for the export")
    given = parser.parse_args()
    made_up = MadeUp(given.rows)
    if given.verb == "export":
        if given.into is None or given.into.exists():
            parser.error("--into names a folder that is not there yet")
        for table in ALL:
            summary = write_export(given.into, PREFIX + table.suffix, made_up.rows(table.suffix))
            say(f"{table.suffix}: {summary.items:,} rows")
    else:
        said: dict[str, int] = {}

        def progress(what: str, done: int) -> None:
            if done - said.get(what, 0) >= 100_000:
                said[what] = done
                say(f"… {what}: {done:,}")

        for one in books.check(Store(Pages(made_up, PREFIX), PREFIX), progress=progress):
            print(json.dumps(asdict(one)))
    used = resource.getrusage(resource.RUSAGE_SELF)
    say(f"{used.ru_maxrss // 1024} MB at most, {used.ru_utime + used.ru_stime:.0f} seconds of CPU")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
