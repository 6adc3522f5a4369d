"""What a killed test run leaves behind is gone after the start of the next."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from jinja2 import FileSystemBytecodeCache

from scripts.local.leftovers import remove_leftovers
from scripts.local.settings import REPO


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_folders_of_killed_runs_go_and_those_of_live_ones_stay(tmp_path):
    dead = ended_process()
    kept, gone = [], []
    for owner, folders in ((os.getpid(), kept), (dead, gone)):
        standin = tmp_path / f"stripe-standin-{owner}-x1"
        run = tmp_path / "pytest-of-ada" / f"pytest-{owner}"
        (standin / "state").mkdir(parents=True)
        run.mkdir(parents=True)
        (run / ".lock").write_text(str(owner))
        folders += [standin, run]

    remove_leftovers(tmp_path)

    assert all(folder.exists() for folder in kept)
    assert not any(folder.exists() for folder in gone)


def test_stand_in_says_in_its_folders_name_whose_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    from scripts.local.stripe_standin.process import StripeStandIn

    with StripeStandIn():
        assert [path.name.rpartition("-")[0] for path in tmp_path.iterdir()] == [f"stripe-standin-{os.getpid()}"]

    assert list(tmp_path.iterdir()) == []


def test_local_aws_puts_nothing_into_the_common_temporary_folder(tmp_path):
    """Its services choose their folders as they are imported; one that no setting reaches would be under /tmp."""
    folders = "[cognito._RSA_KEY_PATH, s3.DATA_DIR, persistence.STATE_DIR]"
    program = (
        "import json, sys, pathlib; from scripts.local.aws_server import configure;"
        "configure('127.0.0.1', 1, pathlib.Path(sys.argv[1]) if sys.argv[1:] else None);"
        "from ministack.core import persistence; from ministack.services import cognito, s3;"
        f"print(json.dumps({folders} if sys.argv[1:] else [cognito._RSA_KEY_PATH, persistence.STATE_DIR]))"
    )
    for arguments, place in (([str(tmp_path)], f"{tmp_path}/"), ([], f"{os.devnull}/")):
        answer = subprocess.run([sys.executable, "-c", program, *arguments], cwd=REPO, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr
        assert all(folder.startswith(place) for folder in json.loads(answer.stdout)), answer.stdout


def test_compiled_templates_are_kept_in_memory_alone(app):
    cache = app.jinja_env.bytecode_cache
    app.jinja_env.cache.clear()
    app.jinja_env.get_template("home/index.html")

    assert cache._kept
    assert not isinstance(cache, FileSystemBytecodeCache)
