"""A script that sets up what the app needs alone imports nothing else: on a bare machine there is nothing else."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
OURS = {"app", "scripts"}
BEYOND = {"books_sql": {"duckdb"}}  # the script installs requirements-audit.txt, too
PYTHONS = sys.stdlib_module_names | {"compression"}  # of 3.14
NO_MODULE = {"restore": "app.cli.restore", "pythons": "scripts.local.supervisor"}


def the_scripts() -> Iterator[tuple[str, str]]:
    for script in sorted((REPO / "scripts").iterdir()):
        text = script.read_text(encoding="utf-8") if script.is_file() and not script.suffix else ""
        if re.search(r"set_up requirements\.txt\b", text):
            found = re.search(r"python\"? -m (scripts\.[a-z_.]+)", text)
            yield script.name, found[1] if found else NO_MODULE[script.name]


def locked() -> set[str]:
    lines = (REPO / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return {re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower() for line in lines if re.match(r"[\w.-]+==", line)}


def file_of(module: str) -> Path | None:
    """The file of a module of ours, or None where the name is one within a module."""
    place = REPO.joinpath(*module.split("."))
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.is_file():
            return file
    return None


def imported(file: Path, module: str) -> Iterator[str]:
    """Names of modules that a file imports as it is loaded: what stands in functions may never be."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    waiting: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def strangers(start: str) -> dict[str, str]:
    """Top packages that are neither ours nor Python's, of all that a module brings along; by whom."""
    found, seen, waiting = {}, set(), [start, f"{start}.__main__"]
    while waiting:
        module = waiting.pop()
        parents = [module.rsplit(".", count)[0] for count in range(module.count(".") + 1)]
        for each in parents:
            file = file_of(each)
            if each in seen or file is None:
                continue
            seen.add(each)
            for name in imported(file, each):
                top = name.partition(".")[0]
                if top in OURS:
                    waiting.append(name)
                elif top not in PYTHONS:
                    found[top] = each
    return found


@pytest.mark.parametrize(
    ("script", "module"), [*the_scripts(), ("the app", "app.web.serve"), ("its commands", "app.cli.every")]
)
def test_a_script_imports_what_its_own_set_up_installs(script, module):
    brought = strangers(module)

    theirs = packages_distributions()
    lacking = {
        f"{name} (by {by})"
        for name, by in brought.items()
        if name not in BEYOND.get(script, ())
        and not {re.sub(r"[-_.]+", "-", each).lower() for each in theirs.get(name, [])} & locked()
    }
    assert file_of(module)
    assert lacking == set()
