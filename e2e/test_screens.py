"""Pictures of the screens: what counts as another look, what a commit says of it, and what cannot be compared."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from e2e.pages import world as w
from e2e.screens import compare, draw, pixels, sheet
from e2e.screens.compare import KEY_SCREENS, CannotCompare, Drawing, changes, declared, judge, parent_of, touched


def picture(path: Path, size: tuple[int, int] = (200, 100), colour: str = "#f5eee2", **dots: str) -> Path:
    """One colour, and single pixels of another: `x10_y20="#000000"`."""
    made = Image.new("RGB", size, colour)
    for place, other in dots.items():
        x, y = (int(part[1:]) for part in place.split("_"))
        made.putpixel((x, y), tuple(bytes.fromhex(other[1:])))
    path.parent.mkdir(exist_ok=True)
    made.save(path)
    return path


def test_the_key_screens_are_pages_of_the_world():
    assert len(KEY_SCREENS) == 20
    assert set(KEY_SCREENS) <= {visit.name for visit in w.PAGES}


def test_each_picture_has_a_file_of_its_own():
    files = {draw.file_of(visit.name, "light", 320) for visit in w.PAGES}

    assert len(files) == len(w.PAGES)


# What counts as another look


@pytest.mark.parametrize(
    ("after", "changed"),
    [
        ({}, False),
        ({"x10_y20": "#000000"}, False),  # the edge of a letter
        ({f"x{x}_y20": "#000000" for x in range(10, 20)}, True),
        ({"colour": "#f5efe3"}, False),  # no eye sees it
        ({"colour": "#f5f1e2"}, True),  # of all the page, it does
        ({"size": (200, 101)}, True),
    ],
)
def test_a_difference_is_a_change_when_an_eye_would_see_it(tmp_path, after, changed):
    before, after = picture(tmp_path / "before.png"), picture(tmp_path / "after.png", **after)

    assert pixels.difference(before, after).is_change is changed


def test_the_report_marks_where(tmp_path):
    before = picture(tmp_path / "before.png")
    after = picture(tmp_path / "after.png", (200, 140), x10_y20="#000000")

    pixels.side_by_side(before, after, tmp_path / "report.png")

    with Image.open(tmp_path / "report.png") as report:
        assert report.size == (200 * 3 + 32, 140)
        assert report.getpixel((432 + 10, 20)) == pixels.MARK
        assert report.getpixel((432 + 12, 20)) != pixels.MARK
        assert report.getpixel((432 + 12, 120)) == pixels.MARK


@pytest.mark.chromium("the pictures are of one browser")
def test_one_token_is_seen_and_none_is_not(world, open_browser, tmp_path):
    """The colour of lines, a shade darker, is found on each screen; the same drawn again is not."""
    style = (compare.REPO / "app" / "static" / "app.css").read_text()
    darker = re.sub(r"(--line: light-dark\()#\w+", r"\1#cbbd9f", style)
    assert darker != style

    def shoot(folder: str, served: str) -> Path:
        page = open_browser(reduced_motion="reduce", viewport={"width": 1280, "height": 900})
        page.route("**/static/app.css*", lambda route: route.fulfill(body=served, content_type="text/css"))
        for visit in (visit for visit in w.PAGES if visit.name in ("dashboard", "queue")):
            page.context.clear_cookies()
            page.context.add_cookies([world.cookies[visit.who]])
            page.goto(world.path(visit))
            path = tmp_path / folder / draw.file_of(visit.name, "light", 1280)
            page.screenshot(path=path, full_page=True, animations="disabled")
        return tmp_path / folder

    before = shoot("before", style)

    assert changes(before, shoot("same", style), KEY_SCREENS) == ({}, [])
    changed, _ = changes(before, shoot("darker", darker), KEY_SCREENS)
    assert changed.keys() == {"dashboard", "queue"}


def test_screens_of_one_side_alone_are_told_and_not_judged(tmp_path):
    file = draw.file_of("queue", *compare.LOOKS[0])
    picture(tmp_path / "before" / file)
    (tmp_path / "after").mkdir()

    assert changes(tmp_path / "before", tmp_path / "after", KEY_SCREENS) == ({}, ["queue"])


# What a commit says


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("Title\n\nBody", None),
        ("Title\n\nScreens: none\n", set()),
        ("Title\n\nScreens: queue, dashboard, empty; customers", {"queue", "dashboard, empty", "customers"}),
        ("Title\n\nscreens: Dashboard\nScreens: task, completed", {"dashboard", "task, completed"}),
        ("Title\n\nScreens: all", set(KEY_SCREENS)),
        ("Title of Screens: queue", None),
    ],
)
def test_a_line_of_the_message_names_what_is_to_look_otherwise(message, named):
    assert declared(message) == named


@pytest.mark.parametrize(
    ("message", "changed", "fails"),
    [
        ("Title", {"queue": "…"}, False),
        ("Title\n\nScreens: queue", {"queue": "…"}, False),
        ("Title\n\nScreens: queue", {}, False),
        ("Title\n\nScreens: queue", {"queue": "…", "dashboard": "…"}, True),
        ("Title\n\nScreens: none", {"dashboard": "…"}, True),
    ],
)
def test_a_commit_is_held_to_what_it_says_and_to_nothing_else(message, changed, fails):
    assert judge(changed, message).fails is fails


# What cannot be compared


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    command = ["git", *who, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repo(tmp_path):
    folder = tmp_path / "repo"
    folder.mkdir()
    git(folder, "init", "-q")
    for number, path in enumerate(("app.css", "docs/a.md", "app.css")):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(str(number))
        git(folder, "add", ".")
        git(folder, "commit", "-q", "-m", f"Commit {number}\n\nScreens: queue")
    return folder


def test_a_clean_tree_is_compared_with_its_parent(repo):
    parent, message = parent_of(repo)

    assert parent == git(repo, "rev-parse", "HEAD^")
    assert declared(message) == {"queue"}
    assert touched(parent, repo) == ["app.css"]


def test_what_is_not_committed_yet_is_compared_with_head_and_held_to_nothing(repo):
    (repo / "docs" / "a.md").write_text("more")

    parent, message = parent_of(repo)

    assert (parent, message) == (git(repo, "rev-parse", "HEAD"), "")
    assert touched(parent, repo) == []


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ([["clone", "-q", "--depth=1", "{uri}", "."]], "git fetch --deepen=1 brings it"),
        ([["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "A"]], "it is the first commit"),
        ([["init", "-q"]], "git rev-parse said"),
    ],
    ids=["shallow", "first", "empty"],
)
def test_a_clone_without_the_parent_says_so_and_passes(repo, monkeypatch, capsys, tmp_path, made, words):
    clone = tmp_path / "clone"
    clone.mkdir()
    for command in made:
        git(clone, *(part.format(uri=repo.as_uri()) for part in command))
    with pytest.raises(CannotCompare, match=words):
        parent_of(clone)
    monkeypatch.setattr(compare, "parent_of", lambda: parent_of(clone))

    assert compare.compare(tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert said.startswith("NOTICE: screens were not compared")
    assert words in said


def test_a_tree_that_cannot_be_drawn_says_why(tmp_path):
    (tmp_path / "tree").mkdir()
    drawing = Drawing(tmp_path / "tree", tmp_path / "out", ["queue"], datetime.now(UTC))
    with pytest.raises(CannotCompare, match=r"the parent commit could not be drawn: ModuleNotFoundError"):
        drawing.wait("the parent commit")


def test_a_surprise_while_comparing_is_told_and_passes(monkeypatch, capsys, tmp_path):
    def broken():
        raise OSError("No space left on device")

    monkeypatch.setattr(compare, "parent_of", broken)

    assert compare.compare(tmp_path) == 0
    assert "No space left on device" in capsys.readouterr().out


# The contact sheet


def test_a_contact_sheet_holds_each_screen_in_each_look(tmp_path):
    looks = list(draw.looks(["light", "print"], [320, 1280]))
    assert looks == [("light", 320), ("light", 1280), ("print", draw.PAPER)]
    for look in looks:
        picture(tmp_path / draw.file_of("queue", *look), (look[1], 2000), "#123456")

    page = sheet.page(tmp_path, ["queue", "not drawn"], looks).read_text()
    (sheet_of_both,) = sheet.pictures(tmp_path, ["queue", "not drawn"], looks)

    assert page.count("<img") == 3
    with Image.open(sheet_of_both) as made:
        assert made.getpixel((sheet.GAP + 5, sheet.GAP + 60)) == (0x12, 0x34, 0x56)


def test_a_name_that_no_screen_has_is_told_with_those_there_are(tmp_path):
    command = [sys.executable, "-m", "e2e.screens", "--out", str(tmp_path), "--only", "no such screen"]

    done = subprocess.run(command, cwd=compare.REPO, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "front page" in done.stderr
