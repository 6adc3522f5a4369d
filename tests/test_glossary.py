"""One word for each thing: what `docs/glossary.md` forbids stands in no name, on no page and in no document."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
GLOSSARY = REPO / "docs" / "glossary.md"
TEMPLATES = REPO / "app" / "templates"

# Names that hold a forbidden word and keep it, each with its reason.
NAMES = {
    "admin_email": "the setting ADMIN_EMAIL",
    "request_id": "the field of a form, which open pages send; in `app/web/` the reference of a request in the log",
    "user": "the call `/api/user`",
    "user_email": "an attribute that is stored",
    "user_status": "an attribute that is stored",
    "USERS": "the table Users",
    "USER_AGENT": "the header of HTTP",
    "user_agent": "the header of HTTP",
    "_user_agent": "the header of HTTP",
}
# What texts hold and keep: the table, the header of HTTP (and of robots.txt).
TEXTS = ("Users", "User-agent", "User Agent")
OTHERS = ("vendor", "stripe_standin")  # files that speak another's words: Stripe has invoices and movements


def forbidden(column: int) -> dict[str, str]:
    """Words by what to say instead, of the glossary's second table: those of the code (1), those of texts (2)."""
    _, _, table = GLOSSARY.read_text(encoding="utf-8").partition("\n## What a test forbids")
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in re.findall(r"^\| \*\*.*$", table, re.M)]
    return {word: row[0].replace("**", "") for row in rows for word in row[column].split(", ") if word}


def parts(name: str) -> str:
    """`MAX_RequestId` as `_max_request_id_`: what begins and ends with a part of the name is found between lines."""
    return "_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().strip("_") + "_"


def names_of(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every name that a module makes: of classes, functions, arguments, variables and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno


def sentences_of(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """What a module says to people: texts of several words that are no docstring and no expression of the store."""
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and id(node) not in docstrings else None
        if isinstance(text, str) and " " in text and not re.search(r"[#:]\w+ |attribute_|AND ", text):
            yield text, node.lineno


def code() -> Iterator[tuple[str, ast.Module]]:
    for folder in ("app", "scripts", "tests", "e2e"):
        for path in sorted((REPO / folder).rglob("*.py")):
            if not any(other in str(path.relative_to(REPO)) for other in OTHERS):
                yield str(path.relative_to(REPO)), ast.parse(path.read_text(encoding="utf-8"))


def shown(template: str) -> str:
    """A template without its comments, its tags and its expressions; labels are kept."""
    text = re.sub(r"\{#.*?#\}|<style.*?</style>", "", template, flags=re.DOTALL)
    labels = " . ".join(re.findall(r"(?:aria-label|placeholder|alt)=\"([^\"]*)\"", text))
    words = " . ".join(
        re.findall(r"[\"']([A-Z][^\"'{}<>]*)[\"']", " ".join(re.findall(r"\{[{%].*?[%}]\}", text, re.DOTALL)))
    )
    text = re.sub(r"\{%.*?%\}|\{\{.*?\}\}", " … ", text, flags=re.DOTALL)
    return " . ".join((re.sub(r"<code>.*?</code>|<[^>]*>", " ", text, flags=re.DOTALL), labels, words))


def prose(document: str) -> str:
    """A document without its code, its addresses and what it quotes."""
    return re.sub(r"```.*?```|^    .*$|`[^`]*`|\]\([^)]*\)|\"[^\"]*\"", " ", document, flags=re.DOTALL | re.MULTILINE)


def said(text: str, words: dict[str, str]) -> list[str]:
    """The forbidden words in a text, each with what to say instead."""
    for allowed in TEXTS:
        text = text.replace(allowed, "")
    text = " ".join(re.sub(r"(?<!\w)/[\w/]+", "", text).split())  # without addresses
    return [f"{word}: say {right}" for word, right in words.items() if re.search(rf"\b{word}\b", text, re.IGNORECASE)]


def test_the_glossary_forbids_words_in_code_and_in_texts():
    assert len(forbidden(1)) > 10
    assert len(forbidden(2)) > 10


def test_no_name_of_the_code_holds_a_word_that_the_glossary_forbids():
    words = forbidden(1)
    wrong = [
        f"{path}:{line}: {name}: say {right}"
        for path, tree in code()
        for name, line in names_of(tree)
        if name not in NAMES
        for word, right in words.items()
        if f"_{word}_" in parts(name)
    ]

    assert not wrong


def test_each_exception_is_needed():
    made = {name for _, tree in code() for name, _ in names_of(tree)}

    assert NAMES.keys() <= made


def test_no_page_says_a_word_that_the_glossary_forbids():
    words = forbidden(2)
    wrong = [
        f"{path.relative_to(REPO)}: {found}"
        for path in sorted(TEMPLATES.rglob("*"))
        if path.is_file()
        for found in said(shown(path.read_text(encoding="utf-8")), words)
    ]
    wrong += [
        f"{path}:{line}: {found}"
        for path, tree in code()
        if path.startswith("app/")
        for text, line in sentences_of(tree)
        for found in said(text, words)
    ]

    assert not wrong


def test_no_document_says_a_word_that_the_glossary_forbids():
    words = forbidden(2)
    documents = {*REPO.glob("*.md"), *REPO.glob("docs/**/*.md"), *REPO.glob("deploy/**/*.md")} - {GLOSSARY}
    documents = {path for path in documents if "node_modules" not in path.parts}  # what others have written
    wrong = [
        f"{path.relative_to(REPO)}: {found}"
        for path in sorted(documents)
        for found in said(prose(path.read_text(encoding="utf-8")), words)
    ]

    assert not wrong


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("admin_required", "admin"),
        ("isAdmin", "admin"),
        ("CORRECTIONS_OF", "corrections"),
        ("RequestIdAgain", "request_id"),
    ],
)
def test_a_word_is_found_in_each_way_to_write_a_name(name, word):
    assert f"_{word}_" in parts(name)
    assert f"_{word}_" not in parts(f"{name[0]}x{name[1:]}y".replace("_", "x"))
