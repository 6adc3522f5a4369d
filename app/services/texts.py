"""What whoever runs this installation says of himself: contact, terms and privacy, as Markdown files of a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.config import ConfigError

TITLES = {"contact": "Contact", "terms": "Terms", "privacy": "Privacy"}
OURS = Path(__file__).parents[1] / "templates" / "texts"  # what stands there until somebody writes something else
MAX_BYTES = 200_000


@dataclass(frozen=True, slots=True)
class Text:
    """`title` is the file's first heading, where it begins with one; `filled_in` says whether it is the operator's."""

    title: str
    markdown: str
    filled_in: bool


@dataclass(frozen=True, slots=True)
class Texts:
    """Read once, when the process starts: a visit costs nothing, and a file that cannot be read is told at once."""

    by_name: Mapping[str, Text]

    @classmethod
    def read(cls, folder: str | None) -> Texts:
        """Raises ConfigError, with a sentence that names the file."""
        return cls({name: _read(name, Path(folder) if folder else None) for name in TITLES})

    @property
    def not_filled_in(self) -> list[str]:
        return [name for name, text in self.by_name.items() if not text.filled_in]


def _read(name: str, folder: Path | None) -> Text:
    theirs = folder / f"{name}.md" if folder else None
    if theirs and theirs.is_file():
        words = _words_of(theirs)
        if words:  # an empty file says no more than none
            return _text(name, words, filled_in=True)
    return _text(name, _words_of(OURS / f"{name}.md"), filled_in=False)


def _words_of(path: Path) -> str:
    try:
        content = path.read_bytes()
        if len(content) > MAX_BYTES:
            raise ConfigError(f"PAGES_DIR: {path.name} is larger than {MAX_BYTES // 1000} KB.")
        return content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise ConfigError(f"PAGES_DIR: {path.name} is not in UTF-8.") from error
    except OSError as error:
        raise ConfigError(f"PAGES_DIR: {path.name} cannot be read: {error.strerror or error}.") from error


def _text(name: str, words: str, *, filled_in: bool) -> Text:
    first, _, rest = words.partition("\n")
    if first.startswith("# "):
        return Text(first[2:].strip() or TITLES[name], rest.strip(), filled_in)
    return Text(TITLES[name], words, filled_in)
