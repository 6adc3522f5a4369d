"""A contact sheet of the pictures in a folder: as a page to click through, and as one picture to look at."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from .draw import file_of

HEIGHT = 400  # as much as is shown of a long one
ROW = HEIGHT + 34
GAP = 16
STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2rem; background: #ddd; color: #111 }
h2 { font-size: 1rem; margin: 2rem 0 .5rem }
div { display: flex; gap: 1rem; align-items: flex-start; overflow-x: auto }
figure { margin: 0 } figcaption { font-size: .8rem }
img { width: 15rem; max-height: 24rem; object-fit: cover; object-position: top; border: 1px solid #999 }
"""


def page(folder: Path, names: Sequence[str], looks: Sequence[tuple[str, int]]) -> Path:
    """index.html: a row for each screen, a click for the whole picture."""
    rows = []
    for name in names:
        cells = []
        for theme, width in looks:
            file = file_of(name, theme, width)
            caption = f"{theme}, {width} px"
            if (folder / file).exists():
                cells.append(
                    f'<figure><a href="{file}"><img src="{file}" loading="lazy" alt="{escape(name)}, {caption}"></a>'
                    f"<figcaption>{caption}</figcaption></figure>"
                )
        rows.append(f"<h2>{escape(name)}</h2><div>{''.join(cells)}</div>")
    made = folder / "index.html"
    text = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Screens</title><style>{STYLE}</style>'
    made.write_text(f"{text}<h1>{len(names)} screens</h1>{''.join(rows)}</html>", encoding="utf-8")
    return made


def pictures(folder: Path, names: Sequence[str], looks: Sequence[tuple[str, int]], rows: int = 5) -> list[Path]:
    """sheet-1.png and so on: so many screens on each, a column for each look."""
    columns = [thumb_width(width) for _, width in looks]
    font = ImageFont.load_default(size=15)
    made = []
    for number, first in enumerate(range(0, len(names), rows), 1):
        some = names[first : first + rows]
        sheet = Image.new(
            "RGB", (GAP + sum(width + GAP for width in columns), GAP + len(some) * (ROW + GAP)), "#dddddd"
        )
        pen = ImageDraw.Draw(sheet)
        for row, name in enumerate(some):
            for column, (theme, width) in enumerate(looks):
                x, y = GAP + sum(each + GAP for each in columns[:column]), GAP + row * (ROW + GAP)
                pen.text((x, y), f"{name}, {theme} {width}"[: columns[column] // 8], "#111111", font)
                _paste(sheet, folder / file_of(name, theme, width), (x, y + 24), columns[column])
        made.append(folder / f"sheet-{number}.png")
        sheet.save(made[-1])
    return made


def thumb_width(width: int) -> int:
    return 240 if width < 500 else 480


def _paste(sheet: Image.Image, path: Path, place: tuple[int, int], width: int) -> None:
    if not path.exists():
        return
    with Image.open(path) as picture:
        small = picture.convert("RGB")
        small = small.resize((width, max(1, round(small.height * width / small.width))), Image.Resampling.LANCZOS)
        sheet.paste(small.crop((0, 0, width, min(small.height, HEIGHT))), place)
