"""Draw what a browser or a chat shows of us outside of a page, into app/static: .venv/bin/python -m scripts.pictures.

All of it is made from this file and the font in app/web/fonts, so that it can be made again: the picture of a link that
is shared, the icon of a home screen, those of the manifest, and favicon.ico.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).parent.parent
STATIC, FONTS = ROOT / "app/static", ROOT / "app/web/fonts"
PAPER, INK, SOFT, NOTE, GOLD, CREAM = "#f5efe3", "#211d16", "#665c4b", "#14442f", "#e9d9a8", "#f3eedd"
FINER = 4  # drawn so much larger, then made smaller: that is what smooths the edges


def preview() -> Image.Image:
    """1200 by 630, as chats and social networks show it: the promise, beside a voucher."""
    drawn, pen = _canvas(1200, 630, PAPER)
    _words(pen, (80, 74), "Impacter", 40, INK)
    _words(pen, (254, 84), "AGI", 26, NOTE, bold=True)
    for line, text in enumerate(("Hand over a task.", "Pay ten cents for it.")):
        _words(pen, (80, 188 + 86 * line), text, 66, INK, bold=True)
    _words(pen, (80, 400), "Buy prepaid credits, submit a task, follow it to its result.", 27, SOFT)
    _words(pen, (80, 444), "A task that cannot be done gives its credits back.", 27, SOFT)
    _ticket(pen, 840, 150, 280, 330)
    _words(pen, (880, 200), "PREPAID", 22, GOLD, bold=True)
    _words(pen, (880, 236), "10", 120, CREAM)
    _words(pen, (880, 386), "credits a task", 30, CREAM)
    pen.line(_scaled(80, 540, 1120, 540), fill="#dccfb8", width=2 * FINER)
    return _fit(drawn, 1200, 630)


def icon(size: int) -> Image.Image:
    """The voucher of favicon.svg on paper, with the room around it that a round mask takes."""
    return _large_icon().resize((size, size), Image.Resampling.LANCZOS)


def favicon() -> Image.Image:
    """Without most of the room: at 16 pixels there is none to spare."""
    return _large_icon().crop((256, 256, 1792, 1792)).resize((48, 48), Image.Resampling.LANCZOS)


def _large_icon() -> Image.Image:
    """512 by 512, so much finer."""
    drawn, pen = _canvas(512, 512, PAPER)
    _ticket(pen, 80, 128, 352, 256, hole=40)
    for top in range(144, 370, 48):
        pen.rectangle(_scaled(330, top, 346, top + 26), fill=GOLD)
    for box in ((160, 192, 274, 226), (200, 226, 234, 288), (160, 288, 274, 322)):
        pen.rectangle(_scaled(*box), fill=GOLD)
    return drawn


def _canvas(width: int, height: int, ground: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    drawn = Image.new("RGB", (width * FINER, height * FINER), ground)
    return drawn, ImageDraw.Draw(drawn)


def _fit(drawn: Image.Image, width: int, height: int) -> Image.Image:
    """Few colours: a preview is fetched by people who only pass by."""
    smaller = drawn.resize((width, height), Image.Resampling.LANCZOS)
    return smaller.quantize(64, dither=Image.Dither.NONE)


def _scaled(*points: float) -> tuple[float, ...]:
    return tuple(point * FINER for point in points)


def _words(
    pen: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, colour: str, *, bold: bool = False
) -> None:
    name = "NotoSans-Bold.ttf" if bold else "NotoSans-Regular.ttf"
    font = ImageFont.truetype(FONTS / name, size * FINER, layout_engine=ImageFont.Layout.BASIC)
    pen.text((at[0] * FINER, at[1] * FINER), text, font=font, fill=colour)


def _ticket(pen: ImageDraw.ImageDraw, left: int, top: int, width: int, height: int, hole: int = 9) -> None:
    """A green note: perforated, or with one large hole at the middle of both ends."""
    pen.rectangle(_scaled(left, top, left + width, top + height), fill=NOTE)
    middles = [top + height // 2] if hole > 9 else range(top + 16, top + height, 33)
    for middle in middles:
        for end in (left, left + width):
            pen.ellipse(_scaled(end - hole, middle - hole, end + hole, middle + hole), fill=PAPER)


PICTURES: dict[str, Callable[[], Image.Image]] = {
    "preview.png": preview,
    "apple-touch-icon.png": lambda: icon(180),
    "icon-192.png": lambda: icon(192),
    "icon-512.png": lambda: icon(512),
    "favicon.ico": favicon,
}


def main() -> None:
    for name, draw in PICTURES.items():
        more = {"sizes": [(16, 16), (32, 32), (48, 48)]} if name.endswith(".ico") else {"optimize": True}
        draw().save(STATIC / name, **more)
        print(f"{name}: {(STATIC / name).stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
