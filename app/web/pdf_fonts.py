"""The fonts that a PDF file of ours is written in, and text as they can draw it.

What no font of ours has a picture for stands as its Unicode number, `[U+1F6DC]`: a blank box would say nothing.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from fontTools.ttLib import TTFont
from fpdf.bidi import BidiParagraph
from fpdf.enums import TextDirection

from app.domain.text import CONTROLS, INVISIBLE

FOLDER = Path(__file__).parent / "fonts"  # with where each comes from in docs/decisions, its licence and its hash
MAIN = "NotoSans"
SCRIPTS = (
    "Hebrew",
    "Arabic",
    "Armenian",
    "Georgian",
    "Ethiopic",
    "Devanagari",
    "Bengali",
    "Gurmukhi",
    "Gujarati",
    "Tamil",
)
MORE = ("Telugu", "Kannada", "Malayalam", "Sinhala", "Thai", "Lao", "Khmer", "Myanmar", "Math", "Symbols2")
EMOJI = "NotoEmoji"
OTHERS = (*(f"{MAIN}{script}" for script in SCRIPTS + MORE), EMOJI, "DroidSansFallbackFull", "NanumGothicCoding")

_JOINERS = "\u200c\u200d"
_LEFT_OUT = re.compile(f"(?![{_JOINERS}])[{INVISIBLE}]")
_SPACES = re.compile(rf"[\s{CONTROLS}]+")
# Marks and letters that take their place or shape from their neighbours, and what runs from right to left.
_SHAPED = re.compile(
    f"[{_JOINERS}\u0300-\u036f\u0590-\u109f\u1780-\u17ff\ufb1d-\ufdff\ufe70-\ufefc\U0001f3fb-\U0001f3ff]"
)


class Drawn(NamedTuple):
    """Text of which each character is in one of `fonts`, beside the main one. `missing`: some are there by number."""

    text: str
    fonts: frozenset[str]
    shaped: bool
    missing: bool


def drawn(text: str) -> Drawn:
    """`text` on one line as the fonts can draw it."""
    line = _SPACES.sub(" ", _LEFT_OUT.sub("", unicodedata.normalize("NFC", text))).strip()
    shaped = needs_shaping(line)
    fonts = {char: MAIN if char in _JOINERS else font_of(char) for char in set(line)}
    absent = [char for char, font in fonts.items() if font is None]
    for char in absent:
        line = line.replace(char, f"[U+{ord(char):04X}]")
    return Drawn(line, frozenset(font for font in fonts.values() if font and font != MAIN), shaped, bool(absent))


def needs_shaping(text: str) -> bool:
    return _SHAPED.search(text) is not None


class Run(NamedTuple):
    """Neighbours of one font and one direction: an odd level runs from right to left."""

    text: str
    font: str
    level: int


def runs(text: str) -> list[Run]:
    """A line's runs from left to right, as https://www.unicode.org/reports/tr9/#L2 says. fpdf2 leaves them in the order
    of the text, where a number behind a Hebrew word would stand before it.
    """
    found: list[Run] = []
    line = BidiParagraph(text, base_direction=TextDirection.LTR, preserve_bn_chars=True)
    for each in line.get_characters_with_embedding_level():
        char, level = each.character, each.embedding_level
        font = _font_behind(found[-1].font if found else MAIN, char)
        if found and (font, level) == (found[-1].font, found[-1].level):
            found[-1] = found[-1]._replace(text=found[-1].text + char)
        else:
            found.append(Run(char, font, level))
    for level in range(max((run.level for run in found), default=0), 0, -1):
        found = _turned(found, level)
    return found


def _font_behind(font: str, char: str) -> str:
    """That of the letter before for what joins it, marks it or follows it as a space."""
    stays = (char == " " and font != EMOJI) or unicodedata.category(char).startswith("M")  # its space is wide
    if char in _JOINERS or (stays and ord(char) in _characters(font)):
        return font
    return font_of(char) or MAIN


def _turned(runs: list[Run], level: int) -> list[Run]:
    """With each row of neighbours at this level or above the other way round."""
    groups = [(is_over, list(some)) for is_over, some in groupby(runs, lambda run: run.level >= level)]
    return [run for is_over, some in groups for run in (reversed(some) if is_over else some)]


@lru_cache(maxsize=50_000)
def font_of(char: str) -> str | None:
    """The first font that knows it, as fpdf2 looks for it; None where that has a blank for it, as some have."""
    font = next((font for font in (MAIN, *OTHERS) if ord(char) in _characters(font)), None)
    return font if font and _characters(font)[ord(char)] else None


def path_of(font: str, style: str = "Regular") -> Path:
    return FOLDER / f"{font}-{style}.ttf"


@cache
def _characters(font: str) -> dict[int, bool]:
    """Those it knows, each with whether there is anything to see, or nothing as of a space."""
    with TTFont(path_of(font), lazy=True) as opened:
        glyphs, places = opened.getGlyphID, opened["loca"]
        known = [(code, glyphs(name)) for code, name in opened.getBestCmap().items()]
        return {code: places[glyph] < places[glyph + 1] or not chr(code).strip() for code, glyph in known}
