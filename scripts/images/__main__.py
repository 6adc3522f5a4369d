"""`scripts/image`: build the image, run it as production does, and print what it holds and costs."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from scripts.images.build import BuildError, bare, engine_at_hand, with_engine
from scripts.images.measure import Figures, measured
from scripts.images.packages import MACHINES, this_arch
from scripts.images.wheels import resolve
from scripts.local.processes import say

MOST_BYTES = 90_000_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/image", description=__doc__)
    parser.add_argument("--bare", action="store_true", help="do without an engine")
    parser.add_argument(
        "--arch", choices=MACHINES, default=this_arch(), help="build only, where it is another machine's"
    )
    parser.add_argument("--base", default="", help="the base image (that of the Dockerfile)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--wheels", action="store_true", help="only resolve every locked wheel, for both machines")
    given = parser.parse_args()
    try:
        if given.wheels:
            return resolve()
        with tempfile.TemporaryDirectory(prefix="image-") as folder:
            engine = None if given.bare else engine_at_hand()
            root = (
                with_engine(engine, given.arch, given.base, Path(folder)) if engine else bare(given.arch, Path(folder))
            )
            figures = measured(root, given.workers if given.arch == this_arch() else 0)
        print(table(figures))
        if figures.packages + figures.app > MOST_BYTES:
            print(f"That is more than {MOST_BYTES / 1e6:.0f} MB of ours: see LEFT_OUT in scripts/images/packages.py.")
            return 1
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def table(figures: Figures) -> str:
    rows = [("what", "figure"), *figures.rows()]
    width = max(len(name) for name, _ in rows) + 2
    return "\n".join(f"{name:<{width}}{figure}" for name, figure in rows)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        say("Broken off.")
        sys.exit(130)
