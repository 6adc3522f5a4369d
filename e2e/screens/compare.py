"""The key screens beside the parent commit's, drawn in the same run: what changed, and whether the commit says so.

A line of the commit's message says what is to look otherwise: `Screens: queue, dashboard`, `Screens: all` or
`Screens: none`. A commit with such a line is held to it; one without is told what changed and passes. What cannot be
compared (no parent in a shallow clone, a parent whose product cannot be drawn) is a notice that names the reason.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from . import pixels
from .draw import Look, file_of

REPO = Path(__file__).resolve().parents[2]
DRAW = Path(__file__).with_name("draw.py")
KEY_SCREENS = (
    "front page", "sign in", "sign up", "contact", "dashboard", "dashboard, empty", "dashboard, short of credits",
    "task, completed", "task, pending", "several tasks", "credits", "transactions", "statement", "account", "queue",
    "operator's task, mine", "customers", "customer", "finance", "overview",
)  # fmt: skip
LOOKS: tuple[Look, ...] = (("light", 1280), ("dark", 375))
# Nothing that a screen is made of.
WITHOUT_LOOKS = ("docs/", "tests/", "deploy/", ".github/", ".ci/", "e2e/test_", "e2e/screens/", "clients/")
DECLARED = re.compile(r"^Screens:\s*(.+)$", re.MULTILINE | re.IGNORECASE)
DRAWING_SECONDS = 420.0


class CannotCompare(Exception):
    """Why not, in a sentence."""


@dataclass(frozen=True)
class Judgement:
    """Screens that changed, by name with what differs; those of them that the commit does not declare."""

    changed: dict[str, str]
    undeclared: tuple[str, ...]
    is_held: bool  # the commit has a line that says what is to change

    @property
    def fails(self) -> bool:
        return self.is_held and bool(self.undeclared)


def git(*arguments: str, repo: Path = REPO) -> str:
    """Raises CannotCompare."""
    try:
        done = subprocess.run(["git", *arguments], cwd=repo, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CannotCompare(f"git does not start here ({error}).") from error
    if done.returncode != 0:
        raise CannotCompare(f"git {arguments[0]} said: {(done.stderr.strip() or 'nothing').splitlines()[-1]}")
    return done.stdout


def parent_of(repo: Path = REPO) -> tuple[str, str]:
    """The commit to compare with, and the message that says what is to change; before a commit HEAD, and no message."""
    head = git("rev-parse", "HEAD", repo=repo).strip()
    if git("status", "--porcelain", "--untracked-files=no", repo=repo).strip():
        return head, ""
    try:
        return git("rev-parse", "--verify", "--quiet", "HEAD^", repo=repo).strip(), git(
            "log", "-1", "--format=%B", repo=repo
        )
    except CannotCompare:
        shallow = git("rev-parse", "--is-shallow-repository", repo=repo).strip() == "true"
        why = "this clone is shallow: git fetch --deepen=1 brings it" if shallow else "it is the first commit"
        raise CannotCompare(f"the parent of {head[:9]} is not here; {why}.") from None


def touched(parent: str, repo: Path = REPO) -> list[str]:
    """Files of the difference that a screen may be made of."""
    names = git("diff", "--name-only", parent, repo=repo).splitlines()
    return [name for name in names if not name.startswith(WITHOUT_LOOKS) and not name.endswith(".md")]


def declared(message: str) -> set[str] | None:
    """What is to look otherwise by the commit's word; None: it says nothing of it. Anything may part the names."""
    lines = DECLARED.findall(message)
    if not lines:
        return None
    left, named = " ".join(lines).lower(), set()
    if re.search(r"\ball\b", left):
        return set(KEY_SCREENS)
    for name in sorted(KEY_SCREENS, key=len, reverse=True):  # "dashboard, empty" is not the dashboard
        if name in left:
            named.add(name)
            left = left.replace(name, "")
    return named


def judge(changed: dict[str, str], message: str) -> Judgement:
    meant = declared(message)
    undeclared = tuple(name for name in changed if name not in (meant or ()))
    return Judgement(changed, undeclared, meant is not None)


def changes(before: Path, after: Path, names: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Screens that look otherwise, with what differs; and those that only one side has."""
    changed: dict[str, str] = {}
    alone: list[str] = []
    for name in names:
        for theme, width in LOOKS:
            one, other = (folder / file_of(name, theme, width) for folder in (before, after))
            if not (one.exists() and other.exists()):
                if one.exists() or other.exists():
                    alone.append(name)
                continue
            found = pixels.difference(one, other)
            if found.is_change:
                changed.setdefault(name, f"{theme}, {width} px: {found}")
    return changed, list(dict.fromkeys(alone))


class Drawing:
    """A process that draws the product in `tree`; started at once, waited for later."""

    def __init__(self, tree: Path, out: Path, names: Sequence[str], now: datetime) -> None:
        self._log = out.with_suffix(".log")
        out.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(DRAW), str(out), "--now", now.isoformat(), "--name", *names]
        command += ["--look", *(f"{theme}:{width}" for theme, width in LOOKS)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=tree, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )

    def wait(self, whose: str) -> None:
        """Raises CannotCompare."""
        try:
            status = self._process.wait(DRAWING_SECONDS)
        except subprocess.TimeoutExpired:
            raise CannotCompare(f"{whose} was not drawn within {DRAWING_SECONDS:.0f} s on this machine.") from None
        if status != 0:
            last = self._log.read_text(errors="replace").strip().splitlines()[-1:] or ["it says nothing"]
            raise CannotCompare(f"{whose} could not be drawn: {last[0][:200]} (all of it: {self._log})")

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def draw_both(parent_tree: Path, folder: Path, names: Sequence[str], tree: Path = REPO) -> tuple[Path, Path]:
    """Both at the same moment by their clocks. Raises CannotCompare."""
    now = datetime.now(UTC).replace(microsecond=0)
    before, after = folder / "before", folder / "after"
    with ExitStack() as stack:
        drawings = []
        for its_tree, out in ((parent_tree, before), (tree, after)):
            drawings.append(Drawing(its_tree, out, names, now))
            stack.callback(drawings[-1].end)
        drawings[0].wait("the parent commit")
        drawings[1].wait("this tree")
    return before, after


def unpack(commit: str, folder: Path, repo: Path = REPO) -> None:
    """The files of a commit, and nothing that git would have to clean up after a kill."""
    archive = folder / "tree.tar"
    git("archive", "--output", str(archive), commit, repo=repo)
    subprocess.run(["tar", "-xf", archive.name], cwd=folder, check=True)
    archive.unlink()


def compare(folder: Path) -> int:
    """Says what it found; 1 where a commit that declares its screens changes another one."""
    try:
        parent, message = parent_of()
        if not touched(parent):
            print(f"Screens: nothing that a screen is made of differs from {parent[:9]}.")
            return 0
        return _compare(folder, parent, message)
    except CannotCompare as why:
        print(f"NOTICE: screens were not compared with the parent commit's: {why}")
        return 0
    except Exception:  # whatever it is, it says nothing of how the screens look
        print(f"NOTICE: screens were not compared with the parent commit's:\n{traceback.format_exc()}")
        return 0


def _compare(folder: Path, parent: str, message: str) -> int:
    print(f"Screens: drawing {len(KEY_SCREENS)} of this tree and of {parent[:9]} ...", flush=True)
    with tempfile.TemporaryDirectory(prefix="parent-of-screens-") as temporary:
        tree = Path(temporary)
        unpack(parent, tree)
        lock = "requirements-dev.txt"
        if (tree / lock).read_bytes() != (REPO / lock).read_bytes():
            print(f"NOTICE: {parent[:9]} has other locked packages; it is drawn with those of this commit.")
        before, after = draw_both(tree, folder, KEY_SCREENS)
        changed, alone = changes(before, after, KEY_SCREENS)
        judgement = judge(changed, message)
        if judgement.fails:  # it must be so twice
            again = draw_both(tree, folder / "again", list(judgement.undeclared))
            stays, _ = changes(*again, judgement.undeclared)
            restless = {name for name in judgement.undeclared if name not in stays}
            judgement = judge({name: words for name, words in changed.items() if name not in restless}, message)
            for name in sorted(restless):
                print(f"NOTICE: {name} looked otherwise once and the same once: not judged.")
    for name in alone:
        print(f"NOTICE: {name} is a screen of one of the two commits alone.")
    _report(folder, judgement, before, after)
    return int(judgement.fails)


def _report(folder: Path, judgement: Judgement, before: Path, after: Path) -> None:
    for name in judgement.changed:
        for theme, width in LOOKS:
            one, other = (side / file_of(name, theme, width) for side in (before, after))
            if one.exists() and other.exists() and pixels.difference(one, other).is_change:
                pixels.side_by_side(one, other, folder / file_of(name, theme, width))
    if not judgement.changed:
        print(f"Screens: {len(KEY_SCREENS)} compared, none looks otherwise.")
        return
    for name, words in judgement.changed.items():
        mark = "" if name not in judgement.undeclared else " (not declared)" if judgement.is_held else ""
        print(f"  {name}: {words}{mark}")
    print(f"Screens: {len(judgement.changed)} of {len(KEY_SCREENS)} look otherwise; before, after and where: {folder}")
    if judgement.fails:
        print(
            "FAILED: the commit declares what is to look otherwise, and more does. Mend it, or name it in `Screens:`."
        )
    elif not judgement.is_held:
        print("NOTICE: the commit does not say what is to look otherwise; a line `Screens: ...` would hold it to that.")
