"""Local AWS on a loaded machine: ready means answered, set-up waits, and what goes wrong is a sentence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from scripts.local.aws import REPO, LocalAws, is_ready, keep_or_put_back
from scripts.local.ports import answers
from tests.local.local_run import alive
from tests.support import make_account

SETTINGS = {
    "APP_ENV": "development",
    "APP_URL": "http://127.0.0.1:8000",
    "JWT_SECRET": "newest-signing-key-of-the-test-suite",
    "STRIPE_SECRET_KEY": "sk_test_suite",
    "STRIPE_WEBHOOK_SECRET": "whsec_newest",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}


@contextmanager
def half_loaded(status_of_dynamodb: int) -> Iterator[int]:
    """What ministack is for its first seconds on a busy machine: healthy, and its services are not there yet."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self) -> None:
            self.send_response(status_of_dynamodb)
            self.send_header("Content-Length", "0")
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.threat(108)
@pytest.mark.parametrize(("status", "ready"), [(200, True), (500, False), (503, False)])
def test_ready_is_what_has_answered_a_real_call(status, ready):
    with half_loaded(status) as port:
        assert answers(port, "/_ministack/health") == 200
        assert is_ready(port) is ready


@pytest.mark.threat(108)
def test_set_up_is_patient_with_a_store_that_takes_seconds_for_each_answer(empty_store, proxy):
    """Three seconds are more than a request of the app waits for one try; here it waits, and says what it does."""
    empty_store.client.delete_table(TableName="ImpacterAGI_Outbox")
    proxy.delay_seconds = 3
    proxy.every("delay", "ListTables", "CreateTable")

    done = subprocess.run(
        [sys.executable, "scripts/setup_db.py"],
        cwd=REPO,
        env={"PATH": os.environ["PATH"]} | SETTINGS | {"DYNAMODB_ENDPOINT_URL": proxy.url},
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "1 tables are being made ..." in done.stdout
    assert empty_store.table_differences() == []


def test_each_kept_state_comes_back_under_its_own_name(store, dynamodb_url):
    port = urlsplit(dynamodb_url).port

    for number, name in enumerate(("one", "both")):
        make_account(store, f"{number}@example.com")
        assert keep_or_put_back(port, "keep", name)

    for name, known in (("one", 1), ("both", 2), ("one", 1)):
        assert keep_or_put_back(port, "back", name)
        assert len(list(store.accounts.every())) == known
    assert not keep_or_put_back(port, "back", "none")


@pytest.mark.threat(108)
@pytest.mark.parametrize("fault", ["cut", "error", "garbage", "throttle"])
def test_set_up_ends_in_a_sentence_when_the_store_does_not_answer(empty_store, proxy, fault):
    proxy.every(fault)

    done = subprocess.run(
        [sys.executable, "scripts/setup_db.py"],
        cwd=REPO,
        env={"PATH": os.environ["PATH"]} | SETTINGS | {"DYNAMODB_ENDPOINT_URL": proxy.url},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith(f"The tables could not be made at {proxy.url}")


@pytest.mark.threat(108)
def test_the_sender_address_ends_in_a_sentence_when_ses_does_not_answer():
    done = subprocess.run(
        [sys.executable, "-m", "scripts.local.sender_identity"],
        cwd=REPO,
        env={"PATH": os.environ["PATH"], "MAIL_FROM": "a@example.com", "SES_ENDPOINT_URL": "http://127.0.0.1:9"}
        | SETTINGS,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("SES at http://127.0.0.1:9 cannot be reached")


@pytest.mark.threat(98)
def test_one_stop_after_another_ends_it_once_and_without_a_word(tmp_path: Path) -> None:
    """Ctrl-C reaches all of a terminal's processes, and the supervisor's own stop comes while they are ending."""
    with (tmp_path / "log").open("wb") as log:
        aws = LocalAws(data_dir=tmp_path / "data", log=log).start()
        deadline = time.monotonic() + 60
        while alive(aws.pid) and time.monotonic() < deadline:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                aws.send_signal(number)
            time.sleep(0.0005)
        assert aws.stop() == 0
    assert (tmp_path / "log").read_text() == ""
