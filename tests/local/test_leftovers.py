"""What a killed test run leaves behind is gone after the start of the next."""

from __future__ import annotations

import os
import subprocess
import sys

from scripts.local.leftovers import remove_leftovers


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
