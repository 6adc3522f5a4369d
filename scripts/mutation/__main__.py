"""Run mutmut over the parts that move money, each with the tests that are meant to guard it, and print the figures.

Works in copies under var/mutation; the repository itself is not touched. docs/mutation.md says what the figures mean.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import libcst as cst

from scripts.local.aws import LocalAws

REPO = Path(__file__).resolve().parents[2]
COPIES = REPO / "var" / "mutation"
MUTMUT = str(Path(sys.executable).with_name("mutmut"))
COPIED = ("app", "tests", "scripts", "docs", "conftest.py", "pyproject.toml")
STATES = ("killed", "survived", "timeout", "no tests")


@dataclass(frozen=True)
class Target:
    """Files to mutate and the tests that should notice. `only` limits a file to the mutants of some functions."""

    files: tuple[str, ...]
    tests: tuple[str, ...]
    only: tuple[str, ...] = ()
    needs_store: bool = True


TARGETS = {
    "domain": Target(
        files=tuple(
            str(path.relative_to(REPO)) for path in sorted(REPO.glob("app/domain/*.py")) if path.name != "__init__.py"
        ),
        tests=("tests/domain",),
        needs_store=False,
    ),
    "transaction": Target(
        files=("app/data/transaction.py", "app/data/store.py", "app/data/accounts.py"),
        tests=("tests/data/test_transaction.py",),
        only=("app.data.transaction.*", "app.data.store.*ǁtransaction__*", "app.data.accounts.*change_account*"),
    ),
    "signature": Target(
        files=("app/gateways/stripe.py",),
        tests=("tests/gateways/test_stripe.py",),
        only=tuple(
            f"app.gateways.stripe.x_{name}__mutmut*" for name in ("verify_webhook", "_signed_by", "_parse_event")
        ),
        needs_store=False,
    ),
    "webhook": Target(files=("app/routes/stripe_webhook.py",), tests=("tests/routes/test_stripe_webhook.py",)),
    "payments": Target(files=("app/services/payments.py",), tests=("tests/services/test_payments.py",)),
}


class DecoratedByCall(cst.CSTTransformer):
    """`@d def f` becomes `def f` and `f = d(f)`, which means the same: mutmut leaves decorated functions alone."""

    def leave_FunctionDef(
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef | cst.FlattenSentinel[cst.BaseStatement]:
        if not updated_node.decorators:
            return updated_node
        value: cst.BaseExpression = updated_node.name
        for decorator in reversed(updated_node.decorators):
            value = cst.Call(decorator.decorator, [cst.Arg(value)])
        assignment = cst.Assign([cst.AssignTarget(updated_node.name)], value)
        return cst.FlattenSentinel([updated_node.with_changes(decorators=[]), cst.SimpleStatementLine([assignment])])


def copy_tree(name: str, target: Target, files: tuple[str, ...]) -> Path:
    """A fresh copy of the tree, told which files to mutate and which tests to run."""
    copy = COPIES / name
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    for part in COPIED:
        if (REPO / part).is_dir():
            shutil.copytree(REPO / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(REPO / part, copy / part)
    for file in files:
        path = copy / file
        path.write_text(cst.parse_module(path.read_text(encoding="utf-8")).visit(DecoratedByCall()).code, "utf-8")
    settings = copy / "pyproject.toml"
    choice = f"only_mutate = {list(files)!r}\npytest_add_cli_args_test_selection = {list(target.tests)!r}\n"
    if target.needs_store:  # mutmut reckons with the time in tests alone, and most of it goes into making tables
        choice += "timeout_constant = 30.0\n"
    settings.write_text(settings.read_text(encoding="utf-8").replace("[tool.mutmut]\n", f"[tool.mutmut]\n{choice}"))
    return copy


def run(copy: Path, target: Target, children: int) -> None:
    with LocalAws() if target.needs_store else nullcontext() as aws:
        # One store for all: a mutant that is killed for taking too long must not leave a process behind.
        environment = os.environ | ({"DYNAMODB_ENDPOINT_URL": aws.endpoint_url} if aws else {})
        children = 1 if aws else children  # the tests share its tables
        command = [MUTMUT, "run", "--max-children", str(children), *target.only]
        subprocess.run(command, cwd=copy, env=environment, check=True)


def results(copy: Path) -> dict[str, str]:
    """What became of each mutant, by its name."""
    printed = subprocess.run(
        [MUTMUT, "results", "--all", "true"], cwd=copy, check=True, capture_output=True, text=True
    ).stdout
    return dict(re.findall(r"^    (\S+): (.+)$", printed, re.MULTILINE))


def report(file: str, states: Counter[str]) -> str:
    other = sum(states.values()) - sum(states[state] for state in STATES)
    figures = (sum(states.values()), *(states[state] for state in STATES), other)
    return f"{file:32}" + "".join(f"{figure:>10}" for figure in figures)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/mutate", description=__doc__)
    parser.add_argument("what", nargs="*", metavar="TARGET or FILE", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--children", type=int, default=2, help="workers for targets that need no store (2)")
    options = parser.parse_args()
    known = {*TARGETS, *(file for target in TARGETS.values() for file in target.files)}
    if unknown := set(options.what) - known:
        parser.error(f"not a target or a file of one: {', '.join(sorted(unknown))}")

    lines, survivors = [], []
    for name, target in TARGETS.items():
        everything = not options.what or name in options.what
        files = tuple(file for file in target.files if everything or file in options.what)
        if not files:
            continue
        copy = copy_tree(name, target, files)
        run(copy, target, options.children)
        found = {mutant: state for mutant, state in results(copy).items() if state != "not checked"}
        for file in files:
            module = file.removesuffix(".py").replace("/", ".") + "."
            lines.append(report(file, Counter(s for mutant, s in found.items() if mutant.startswith(module))))
        survivors += [f"{state:9} {copy.name} {mutant}" for mutant, state in found.items() if state != "killed"]
    print("\n" + f"{'module':32}" + "".join(f"{word:>10}" for word in ("mutants", *STATES, "other")))
    print("\n".join(lines))
    print("\nNot killed (to see one: cd var/mutation/TARGET && ../../../.venv/bin/mutmut show NAME)")
    print("\n".join(survivors))
    return 0


if __name__ == "__main__":
    sys.exit(main())
