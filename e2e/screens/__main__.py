"""`scripts/screens`: each screen in each theme and width, and a contact sheet; or key screens beside the parent's."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from . import sheet
from .compare import REPO, compare
from .draw import THEMES, WIDTHS, Wish, draw, looks, stay_here


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/screens", description=__doc__)
    parser.add_argument("--out", type=Path, default=None, help="the folder; var/screens by default, emptied before")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORDS", help="screens whose name holds these words")
    parser.add_argument("--width", nargs="+", type=int, default=list(WIDTHS), metavar="PX")
    parser.add_argument("--theme", nargs="+", default=list(THEMES), choices=THEMES)
    parser.add_argument("--no-js", action="store_true", help="with JavaScript off")
    parser.add_argument("--compare", action="store_true", help="the key screens beside the parent commit's")
    given = parser.parse_args()
    folder = (given.out or REPO / "var" / ("screens-compared" if given.compare else "screens")).resolve()
    if given.out is None:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    if given.compare:
        return compare(folder)
    stay_here()
    from e2e.pages import world

    names = [visit.name for visit in world.PAGES if not given.only or any(part in visit.name for part in given.only)]
    if not names:
        parser.error(f"No screen is called so. There are: {', '.join(visit.name for visit in world.PAGES)}")
    wanted = list(looks(given.theme, given.width))
    wish = Wish(names, wanted, javascript=not given.no_js)
    print(
        f"{len(names)} screens, {len(wanted)} looks each: {len(names) * len(wanted)} pictures. Starting ...", flush=True
    )
    began = time.monotonic()
    for number, name in enumerate(draw(folder, wish), 1):
        print(f"{number:3} of {len(names)}  {time.monotonic() - began:4.0f} s  {name}", flush=True)
    page = sheet.page(folder, names, wanted)
    sheets = sheet.pictures(folder, names, wanted)
    print(f"{page}\n{len(sheets)} contact sheets: {sheets[0]} ...")
    return 0


if __name__ == "__main__":
    sys.exit(main())
