"""How fast this machine exports, verifies and restores: python -m scripts.benchmarks.backup --rows 20000.

Ledger rows as they lie in the store, in an empty local AWS. The figures of docs/operating.md are from here.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from app.config import Config
from app.data.client import make_client
from app.data.codec import encode_item
from app.data.table_copies import TableCopies
from app.data.table_setup import create_tables
from app.domain.clock import to_iso, utcnow
from app.gateways.depots import Folder
from app.services.backup import looking, own_export, restoring
from scripts.benchmarks.world import CREDENTIALS, SECRET
from scripts.local.aws import LocalAws
from scripts.local.settings import app_settings

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
ROWS_OF_ACCOUNT = 200


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    rows = parser.parse_args().rows
    os.environ.update(CREDENTIALS)
    with LocalAws() as aws, tempfile.TemporaryDirectory() as folder:
        measure(aws.endpoint_url, Path(folder), rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'memory, at most':<24}{peak:>8,.0f} MB")
    return 0


def measure(url: str, folder: Path, rows: int) -> None:
    settings = app_settings("http://127.0.0.1:1", url)
    settings |= {"JWT_SECRET": SECRET, "STRIPE_SECRET_KEY": "sk_test_x", "STRIPE_WEBHOOK_SECRET": "whsec_x"}
    config = Config.from_env(settings)
    client = make_client(config, endpoint_url=url, patient=True)
    create_tables(client, "Before_")
    before, after, depot = TableCopies(client, "Before_"), TableCopies(client, "After_"), Folder(folder / "depot")
    for begin in range(0, rows, 1_000):
        before.put("Transactions", [ledger_row(number) for number in range(begin, min(begin + 1_000, rows))])
    done = timed("export, both readings", rows, lambda: own_export.export(before, depot, clock=utcnow, name="now"))
    assert done.torn == ()
    backup = looking.look(depot, "now")
    timed("verify", rows, lambda: looking.read(depot, backup))
    assert backup.faults == []
    # The whole way: read through, the tables made, rows put, compared.
    differences = timed("restore", rows, lambda: restoring.run(depot, backup, after, folder / "checkpoint.json"))
    assert differences == []


def ledger_row(number: int) -> dict[str, Any]:
    account, place = divmod(number, ROWS_OF_ACCOUNT)
    return encode_item(
        {
            "transaction_id": f"spend#task_{number:012d}",
            "user_email": f"customer-{account}@example.com",
            "type": "spend",
            "amount": -10,
            "balance_after": 10 * (ROWS_OF_ACCOUNT - place),
            "sequence": place + 1,
            "timestamp": to_iso(BEGAN + timedelta(seconds=number)),
            "description": "Compare the three quotes and say which is best value",
            "task_id": f"task_{number:012d}",
        }
    )


def timed(name: str, rows: int, act: Callable[[], Any]) -> Any:
    began, busy = time.perf_counter(), time.process_time()
    found = act()
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    print(f"{name:<24}{seconds:>8,.1f} s {rows / seconds:>10,.0f} rows a second; {busy:,.1f} s of CPU here", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
