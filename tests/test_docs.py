"""What the docs name is there: each link, each heading that one leads to, each command, what a release brings."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from app.data.migrations import MIGRATIONS
from app.data.tables import ALL

REPO = Path(__file__).resolve().parents[1]
PAGES = sorted(
    page.relative_to(REPO).as_posix()
    for place in (".", "docs", "deploy", "e2e", "app", "scripts", "clients")
    for page in ((REPO / place).glob("*.md") if place == "." else (REPO / place).rglob("*.md"))
    if "node_modules" not in page.parts
)


def without_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"(?m)^( {4}|\t).*$", "", re.sub(r"(?ms)^```.*?^```", "", text)))


def headings(page: Path) -> set[str]:
    """As GitHub names them: small letters, no punctuation, hyphens for spaces."""
    found: set[str] = set()
    for line in re.findall(r"(?m)^#{1,6} (.+)$", page.read_text(encoding="utf-8")):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", line)
        name = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        twice = sum(1 for each in found if re.fullmatch(re.escape(name) + r"(-\d+)?", each))
        found.add(f"{name}-{twice}" if twice else name)
    return found


def links(page: str) -> Iterator[str]:
    text = without_code((REPO / page).read_text(encoding="utf-8"))
    yield from re.findall(r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)", text)


@pytest.mark.parametrize("page", PAGES)
def test_no_link_of_the_docs_is_dead(page: str) -> None:
    dead = []
    for link in links(page):
        if re.match(r"[a-z]+:|/", link):
            continue  # out in the world, where nobody asks in a test, or a page of the app
        path, _, heading = link.partition("#")
        there = (REPO / page).parent / unquote(path) if path else REPO / page
        if not there.exists() or (heading and heading not in headings(there)):
            dead.append(link)
    assert dead == []


def test_headings_are_named_as_github_does_and_code_holds_no_link(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One `x` & two\n\n## Same\n\n## Same\n\n    [no](#code)\n", encoding="utf-8")
    assert headings(page) == {"one-x--two", "same", "same-1"}
    assert without_code("[a](b) `[c](d)`\n    [e](f)\n") == "[a](b) \n\n"
    assert sum(len(list(links(each))) for each in PAGES) > 150


def test_the_readme_names_every_command_of_scripts_that_is_there() -> None:
    text = (REPO / "README.md").read_text(encoding="utf-8")
    commands = {
        path.name
        for path in (REPO / "scripts").iterdir()
        if path.is_file() and path.suffix == "" and path.read_bytes().startswith(b"#!")
    }
    named = set(re.findall(r"scripts/([a-z0-9_]+)(?![\w./])", text))
    assert len(commands) > 15
    assert commands - named == set()
    assert {name for name in named if not (REPO / "scripts" / name).exists()} == set()


def test_what_a_release_brings_is_what_the_tables_and_migrations_are() -> None:
    text = (REPO / "docs/operating.md").read_text(encoding="utf-8")
    section = text.partition("\n### From 0.3.0 to 0.4.0\n")[2].partition("\n#")[0]
    tables = {table.suffix for table in ALL}
    indexes = {index.name for table in ALL for index in table.indexes}
    said = re.findall(r"`([^`]+)`", section)
    named = (
        {each for each in said if each.endswith("-index")},
        {each for each in said if re.fullmatch(r"[A-Z]\w+s", each)},
    )
    assert all(named)
    assert named[0] <= indexes
    assert named[1] <= tables
    assert f"2 to {MIGRATIONS[-1].number}" in section


def test_the_changelog_says_each_thing_once_and_its_versions_follow_each_other() -> None:
    """A merge that takes the lines of both sides puts them into old versions too."""
    text = (REPO / "CHANGELOG.md").read_text(encoding="utf-8")
    begun = [line[:60] for line in text.splitlines() if line.startswith("- ")]
    days = re.findall(r"(?m)^## \d+\.\d+\.\d+ – (\d{4}-\d\d-\d\d)$", text)

    assert sorted({line for line in begun if begun.count(line) > 1}) == []
    assert days == sorted(days, reverse=True)
