"""Whether two pictures of a screen look the same, and a picture that shows where they do not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops

FAINT = 2  # levels of 255 in a channel: less is no difference
PLAIN = 24  # what an eye sees at once
FEW = 8  # pixels that may differ plainly: the edge of a letter
SOME = 0.002  # of all pixels, that may differ faintly
MARK = (214, 0, 90)


@dataclass(frozen=True)
class Difference:
    """`plain` and `faint`: how many pixels differ so; `resized`: the page is longer or shorter."""

    plain: int
    faint: int
    pixels: int
    resized: bool

    @property
    def is_change(self) -> bool:
        return self.resized or self.plain > FEW or self.faint > max(FEW, SOME * self.pixels)

    def __str__(self) -> str:
        return f"{max(self.plain, self.faint):,} pixels" + (", another length" if self.resized else "")


def difference(before: Path, after: Path) -> Difference:
    with Image.open(before) as one, Image.open(after) as other:
        first, second = _on_one_ground(one.convert("RGB"), other.convert("RGB"))
        counts = _levels(first, second).histogram()
        return Difference(sum(counts[PLAIN:]), sum(counts[FAINT:]), first.width * first.height, one.size != other.size)


def side_by_side(before: Path, after: Path, made: Path) -> None:
    """Before, after, and after with what differs marked."""
    with Image.open(before) as one, Image.open(after) as other:
        first, second = _on_one_ground(one.convert("RGB"), other.convert("RGB"))
    mask = _levels(first, second).point(lambda level: 255 if level >= FAINT else 0)
    marked = Image.blend(second, Image.new("RGB", second.size, "white"), 0.7)
    marked.paste(Image.new("RGB", second.size, MARK), mask=mask)
    sheet = Image.new("RGB", (first.width * 3 + 32, first.height), "#888888")
    for place, picture in enumerate((first, second, marked)):
        sheet.paste(picture, (place * (first.width + 16), 0))
    sheet.save(made)


def _levels(first: Image.Image, second: Image.Image) -> Image.Image:
    """How far apart two pixels are in the channel in which they are farthest."""
    red, green, blue = ImageChops.difference(first, second).split()
    return ImageChops.lighter(ImageChops.lighter(red, green), blue)


def _on_one_ground(one: Image.Image, other: Image.Image) -> tuple[Image.Image, Image.Image]:
    size = (max(one.width, other.width), max(one.height, other.height))
    grounds = []
    for picture in (one, other):
        ground = Image.new("RGB", size, "#888888")
        ground.paste(picture)
        grounds.append(ground)
    return grounds[0], grounds[1]
