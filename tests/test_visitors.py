"""The adoption of the original product's rows is a visitor: without its folder the app works. That nothing knows it is
a contract of imports.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from scripts.local.settings import app_settings
from tests.originals import EMAIL, put_account
from tests.test_architecture import APP

# What a customer, an operator and the books do, in a process that has no app.adoption.
WITHOUT = """
import sys
from app import create_app
from app.config import Config
from app.data import Store
from app.data.client import make_client
from app.domain.accounts import NOT_ADOPTED
from app.domain.errors import BalanceUnexplained
from app.services import books, queue, tasks
from app.web.visitors import adopter, visitor
from tests.originals import EMAIL
from tests.support import NOW, FakeSender, FakeStripe, make_account, make_operators

assert visitor() is None and adopter() is None
config = Config.from_env()
store = Store(make_client(config, endpoint_url=config.dynamodb_endpoint_url), config.table_prefix, adopter())
app = create_app(config, store=store, sender=FakeSender(), stripe=FakeStripe())
assert "adopt" not in app.test_cli_runner().invoke(args=["accounts", "--help"]).output
assert app.test_client().get("/").status_code == 200

account = make_account(store, "new@example.com", credits=100)
task = tasks.submit(store, account, "Look at the roof", now=NOW).task
make_operators(store, "op@example.com")
queue.claim(store, "op@example.com", task.task_id, now=NOW, minutes=30)
queue.complete(store, "op@example.com", task.task_id, "It leaks.", now=NOW)
assert store.accounts.get("new@example.com").credits_balance == 90

old = store.accounts.get(EMAIL)  # can be read, and nothing moves it
assert old.unexplained == NOT_ADOPTED and old.credits_balance == 100
try:
    tasks.submit(store, old, "A task", now=NOW)
except BalanceUnexplained:
    pass
else:
    sys.exit("a balance that nothing explains was moved")
assert [found.subject for found in books.check(store)] == [EMAIL]
print("all well")
"""


def test_the_app_works_with_the_folder_deleted(tmp_path, dynamodb_url, empty_store):
    put_account(empty_store, balance=100)
    ignored = shutil.ignore_patterns("adoption", "__pycache__", ".*", "var")
    for folder in ("app", "tests", "scripts"):
        shutil.copytree(APP.parent / folder, tmp_path / folder, ignore=ignored)
    secrets = {"JWT_SECRET": "k" * 64, "STRIPE_SECRET_KEY": "sk_test_suite", "STRIPE_WEBHOOK_SECRET": "whsec_suite"}
    settings = os.environ | app_settings("http://dashboard.test", dynamodb_url) | secrets
    run = [sys.executable, "-c", WITHOUT]

    done = subprocess.run(run, cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip().endswith("all well")
    assert empty_store.accounts.get(EMAIL).unexplained is None  # and with the folder its first read adopts it
