"""Whether every locked package of the image has a wheel for each machine: `scripts/image --wheels`."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from scripts.images.packages import MACHINES, wheels_for
from scripts.local.aws import REPO
from scripts.local.processes import say

LOCK = REPO / "requirements-image.txt"
PYTHON = "3.11"  # the base image's


def resolve() -> int:
    """Fetch each wheel by its locked hash, and say what was found. 0 when nothing lacks."""
    status = 0
    for arch in MACHINES:
        say(f"Fetching the wheels for {arch} ...")
        with tempfile.TemporaryDirectory(prefix="wheels-") as folder:
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"),
                    *("--require-hashes", "--dest", folder, "--requirement", str(LOCK), *wheels_for(arch, PYTHON)),
                ],
                capture_output=True,
                text=True,
            )
            names = sorted(path.name for path in Path(folder).iterdir())
        if done.returncode:
            status = 1
            print(f"{arch}: a wheel lacks, or was not the locked one:\n{done.stderr.strip()[-1500:]}")
        else:
            kinds = Counter("any machine" if name.endswith("-any.whl") else machine_of(name) for name in names)
            print(f"{arch}: {len(names)} wheels, " + ", ".join(f"{count} for {kind}" for kind, count in kinds.items()))
    return status


def machine_of(wheel: str) -> str:
    found = re.search("|".join(MACHINES.values()), wheel)
    return found[0] if found else "another machine"
