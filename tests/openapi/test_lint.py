"""The OpenAPI document, read by Spectral's rules for such documents: no error."""

from __future__ import annotations

import fcntl
import json
import subprocess
from pathlib import Path

import pytest

from app.web.openapi import document
from tests.described import described_calls
from tests.edge.front import NODE, NPM, environment

HERE = Path(__file__).parent
SPECTRAL = HERE / "node_modules" / "@stoplight" / "spectral-cli" / "dist" / "index.js"
HELP = "Spectral comes from an npm registry, by tests/openapi/package-lock.json: see that one is in reach."


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([NODE, *command], cwd=cwd, env=environment(), capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def spectral() -> Path:
    with (HERE / "package.json").open() as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        wanted = json.loads((HERE / "package-lock.json").read_text())["packages"]
        installed = HERE / "node_modules" / ".package-lock.json"
        there = json.loads(installed.read_text())["packages"] if installed.exists() else {}
        if there.items() != {name: what for name, what in wanted.items() if name}.items():
            done = run(NPM, "ci", "--no-progress", cwd=HERE)
            assert done.returncode == 0, f"{HELP}\n{done.stderr[-2000:]}"
    return SPECTRAL


def errors_in(spectral: Path, file: Path) -> list[str]:
    done = run(
        *(spectral, "lint", "--quiet", "--format", "json", "--fail-severity", "error"),
        *("--ruleset", HERE / "ruleset.yaml", file),
        cwd=HERE,
    )
    found = json.loads(done.stdout or "[]")
    wrong = [f"{'.'.join(map(str, each['path']))}: {each['message']}" for each in found if each["severity"] == 0]
    assert done.returncode == (1 if wrong else 0), done.stderr
    return wrong


@pytest.mark.long
def test_spectral_finds_no_error(spectral, tmp_path):
    described = document(described_calls(), "https://dashboard.test")
    (tmp_path / "good.json").write_text(json.dumps(described))
    described["paths"]["/api/user"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["type"] = "word"
    del described["paths"]["/api/user"]["get"]["responses"]["200"]["description"]
    (tmp_path / "bad.json").write_text(json.dumps(described))

    assert errors_in(spectral, tmp_path / "good.json") == []
    assert errors_in(spectral, tmp_path / "bad.json") != []
