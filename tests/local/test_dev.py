"""Working on the code: scripts/dev shows what was changed, scripts/flask speaks to the run, set-up survives a move."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from scripts.local.settings import REPO
from tests.local.local_run import Run

PATIENCE_SECONDS = 180.0
SHELL = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def page(run: Run) -> str:
    try:
        with urllib.request.urlopen(f"{run.url}/", timeout=60) as answer:
            return str(answer.read().decode())
    except OSError:  # it starts anew just now
        return ""


def flask(run: Run, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.local.flask_command", *arguments]
    environment = SHELL | {"VAR_DIR": str(run.var_dir)}
    return subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True)


def test_a_changed_template_is_shown_by_every_worker_and_commands_find_the_run(tmp_path):
    checkout = tmp_path / "checkout"
    for folder in ("app", "scripts"):
        shutil.copytree(REPO / folder, checkout / folder, ignore=shutil.ignore_patterns("__pycache__"))
    run = Run(tmp_path / "var", "--reload", repo=checkout)
    template = checkout / "app/templates/home/index.html"
    before = flask(run, "accounts", "show", "demo@example.com")
    assert (before.returncode, before.stdout) == (1, "")
    assert before.stderr.startswith(f"No scripts/run is running in {run.var_dir}")

    try:
        run.start().until_ready()
        shown = flask(run, "accounts", "show", "demo@example.com")
        assert (shown.returncode, "1000" in shown.stdout) == (0, True), shown.stderr
        assert "A changed line." not in page(run)
        template.write_text(template.read_text().replace("<h1>", "<h1>A changed line."))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not all("A changed line." in page(run) for _ in range(12)):  # by then each worker has answered
            assert time.monotonic() < deadline, run.text()
            time.sleep(0.5)
        assert "Changed: app/templates/home/index.html" in run.text()
    finally:
        run.end(signal.SIGTERM)


# Set-up, with a lock that holds nothing: the way is the same, and takes seconds


@pytest.fixture
def checkout(tmp_path) -> Path:
    folder = tmp_path / "first place"
    (folder / "scripts/lib").mkdir(parents=True)
    shutil.copy(REPO / "scripts/lib/setup.sh", folder / "scripts/lib/setup.sh")
    for lock in ("requirements.txt", "requirements-dev.txt"):
        (folder / lock).write_text("# nothing\n")
    return folder


def set_up(folder: Path, lock: str = "requirements.txt") -> str:
    command = f". scripts/lib/setup.sh && set_up {lock} && .venv/bin/pip --version"
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=SHELL | {"PYTHON": sys.executable}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_checkout_that_was_moved_gets_its_environment_anew(checkout):
    assert "Making the Python environment" in set_up(checkout)
    assert set_up(checkout).startswith("pip "), "a second start does nothing"

    moved = checkout.rename(checkout.parent / "second place")
    said = set_up(moved)

    assert f"This checkout was moved from {checkout}" in said
    assert str(moved) in said.splitlines()[-1]


def test_running_needs_no_development_tools_and_testing_serves_running_too(checkout):
    (checkout / "requirements-dev.txt").write_text("no-such-package-anywhere==1\n")
    set_up(checkout)
    (checkout / "requirements-dev.txt").write_text("# nothing\n")
    assert "requirements-dev.txt" in set_up(checkout, "requirements-dev.txt")
    assert set_up(checkout).startswith("pip ")


def locked(name: str) -> dict[str, str]:
    """Package → version with marker."""
    text = (REPO / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==(.+?) \\$", text, flags=re.MULTILINE))


def test_the_locks_agree_and_hold_for_each_supported_python():
    image, run, dev = locked("requirements-image.txt"), locked("requirements.txt"), locked("requirements-dev.txt")

    assert len(image) > 20
    assert image.items() <= run.items() <= dev.items()
    telemetry = locked("requirements-telemetry.txt")
    assert image.items() <= telemetry.items() <= dev.items()
    assert telemetry.keys() - image.keys() >= {"opentelemetry-sdk", "protobuf"}
    assert {"ministack", "watchfiles"} <= run.keys()
    assert not {"ministack", "pytest", "mutmut"} & image.keys()
    assert "python_full_version == '3.13.*'" in dev["pyyaml-ft"], "made for one Python only: run scripts/lock"
    assert "--universal" in (REPO / "scripts/lock").read_text(encoding="utf-8")
