"""What each start of a process costs: what is imported for nothing, and how it is looked through for garbage."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from botocore.loaders import JSONFileLoader

from app.data import client

REPO = Path(__file__).resolve().parents[1]
# Libraries that one process in ten uses, and seldom: imported where they are.
WHERE_USED = ("stripe", "webauthn", "requests", "markdown_it", "nh3", "fpdf", "zxcvbn", "segno")
MODULES = 1_070  # 1,027 on 1 December 2026, of them 290 of the app: beyond, look at what brought more


def test_a_start_imports_no_library_that_most_processes_never_use_and_leaves_the_collector_on():
    look = "import app, gc, json, sys; print(json.dumps([sorted(sys.modules), gc.isenabled(), gc.get_freeze_count()]))"
    made = subprocess.run([sys.executable, "-c", look], cwd=REPO, capture_output=True, text=True, check=True)

    imported, enabled, kept = json.loads(made.stdout)

    assert sorted(set(imported) & set(WHERE_USED)) == []
    assert [name for name in imported if name.startswith("app.cli.")] == []
    assert len(imported) <= MODULES
    assert enabled
    assert kept > 10_000


def test_workers_find_what_botocore_knows_of_dynamodb_read_by_the_server_that_forks_them(config, monkeypatch):
    client._session.cache_clear()
    client.read_descriptions()
    load, read = JSONFileLoader.load_file, []

    def noted(self, path):
        if (found := load(self, path)) is not None:
            read.append(path)
        return found

    monkeypatch.setattr(JSONFileLoader, "load_file", noted)

    client.make_client(config)

    assert read == []
