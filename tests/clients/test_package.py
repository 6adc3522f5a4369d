"""The package as people get it: its wheel, its licence, and each example of its README."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support import every_task

REPO = Path(__file__).resolve().parents[2]
PACKAGE = REPO / "clients/python"
README = (PACKAGE / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"(?ms)^```python\n(.*?)^```", README)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_each_example_of_the_readme_runs_as_it_stands(customer, number, tmp_path):
    program = tmp_path / "example.py"
    program.write_text(EXAMPLES[number], encoding="utf-8")
    environment = customer.environment | {"PYTHONPATH": str(PACKAGE / "src")}

    done = subprocess.run([sys.executable, program], env=environment, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_the_commands_of_the_readme_run_as_they_stand(customer, tmp_path):
    (commands,) = re.findall(r"(?ms)^```sh\n(.*?)^```", README)
    program = tmp_path / "impacteragi"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m impacteragi "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    environment = customer.environment | {"PYTHONPATH": str(PACKAGE / "src")}
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands], env=environment, capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("100 credits, 0 open tasks (ada@example.com)\n")
    assert json.loads(done.stdout.splitlines()[-1])["description"] == "Summarise the report"
    assert len(every_task(customer.store)) == 5


def test_its_wheel_is_the_same_bytes_each_time_and_holds_its_licence_and_types(tmp_path):
    environment = {"PATH": "/usr/bin:/bin", "SOURCE_DATE_EPOCH": "1700000000"}
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir"]
    for place in ("one", "two"):
        made = subprocess.run([*command, tmp_path / place, PACKAGE], env=environment, capture_output=True, text=True)
        assert made.returncode == 0, made.stdout + made.stderr
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / place).iterdir()} for place in ("one", "two"))
    assert one == two

    (wheel,) = (tmp_path / "one").glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "impacteragi/py.typed" in names
    (licence,) = (name for name in names if name.endswith("/LICENSE"))
    assert zipfile.ZipFile(wheel).read(licence) == (REPO / "LICENSE").read_bytes()
    (source,) = (tmp_path / "one").glob("*.tar.gz")
    with tarfile.open(source) as packed:
        assert not [name for name in packed.getnames() if "__pycache__" in name]
