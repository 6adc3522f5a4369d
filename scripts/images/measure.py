"""Run the image's files as production does, and measure: size, CPU to the first answer, memory of a worker."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.images.build import BuildError
from scripts.images.packages import size
from scripts.local.aws import REPO, LocalAws
from scripts.local.cpu_seconds import spent
from scripts.local.ports import answers, free_port, wait_until
from scripts.local.processes import say
from scripts.local.settings import app_settings

APP_UID = 10001
START_SECONDS = 120.0
SECRETS = {
    "JWT_SECRET": "0c5d1f9e7ab8426390" * 3,
    "STRIPE_SECRET_KEY": "sk_test_" + "0c5d1f9e7ab8426390" * 2,
    "STRIPE_WEBHOOK_SECRET": "whsec_" + "0c5d1f9e7ab8426390" * 2,
}


@dataclass(frozen=True)
class Figures:
    packages: int  # bytes
    app: int
    first_answer: float | None = None  # CPU seconds
    workers: tuple[tuple[int, int], ...] = ()  # PSS and USS of each, bytes, after some pages

    def rows(self) -> Iterator[tuple[str, str]]:
        yield "packages", f"{self.packages / 1e6:.1f} MB"
        yield "app, with its fonts and its bytecode", f"{self.app / 1e6:.1f} MB"
        yield "of ours together", f"{(self.packages + self.app) / 1e6:.1f} MB"
        if self.first_answer is not None:
            yield "CPU from the start to the first 200 of /readyz", f"{self.first_answer:.2f} s"
        for pss, uss in self.workers:
            yield "a worker: its share of memory, and what is its alone", f"{pss / 1e6:.1f} MB, {uss / 1e6:.1f} MB"


def measured(srv: Path, workers: int) -> Figures:
    """With no workers the files alone: those of another machine cannot be run here."""
    packages = size(srv / "packages")
    app = size(srv) - packages
    if not workers:
        return Figures(packages, app)
    with LocalAws() as aws:
        environment = environment_of(srv) | app_settings("http://dashboard.test", aws.endpoint_url) | SECRETS
        try_all(srv, environment)
        with served(srv, workers, environment) as (server, first_answer):
            return Figures(packages, app, first_answer, tuple(memory(worker) for worker in children(server)))


def try_all(srv: Path, environment: dict[str, str]) -> None:
    """Load whatever the app uses out of the image's files. Raises BuildError."""
    say("Loading all that is used out of it ...")
    tried = subprocess.run(
        [sys.executable, "-S", str(REPO / "scripts/images/trial.py")],
        cwd=srv, env={**environment, "PYTHONPATH": f"{srv / 'packages'}:{srv}"}, capture_output=True, text=True,
    )  # fmt: skip
    if tried.returncode:
        raise BuildError(f"Something that the app uses is not in the image:\n{tried.stderr.strip()[-2000:]}")


def environment_of(srv: Path) -> dict[str, str]:
    """What the Dockerfile's last stage sets."""
    last = (REPO / "Dockerfile").read_text(encoding="utf-8").rpartition("\nFROM ")[2]
    found = dict(re.findall(r'(\w+)=("[^"\\]*"|\S+)', last.partition("\nENV ")[2].partition("\nEXPOSE")[0]))
    own = {name: value.strip('"').replace("/srv", str(srv)) for name, value in found.items()}
    return {"PATH": os.environ["PATH"], **own}


@contextmanager
def served(srv: Path, workers: int, environment: dict[str, str]) -> Iterator[tuple[int, float]]:
    """The server as the image's command starts it, as the image's user where we may become it, on files that it cannot
    write; its process and what it has spent until it was ready. Stopped with SIGTERM, which must end it with 0."""
    made = subprocess.run(
        [sys.executable, "-S", "scripts/setup_db.py"], cwd=srv, env=environment, capture_output=True, text=True
    )
    if made.returncode:
        raise BuildError(f"The tables could not be made from the image's files: {made.stderr.strip()[-1000:]}")
    port = free_port()
    root = os.geteuid() == 0 and may_run(sys.executable)
    if root:
        srv.parent.chmod(0o755)
        subprocess.run(["chmod", "-R", "a-w,a+rX", str(srv)], check=True)
    command = [sys.executable, "-S", "-m", "app.web.serve", "--port", str(port), "--workers", str(workers)]
    say(f"Starting it with {workers} workers{f' as user {APP_UID}' if root else ''} ...")
    log = srv.parent / "server.log"
    with log.open("wb") as lines:
        server = subprocess.Popen(
            command, cwd=srv, env=environment, stdout=lines, stderr=lines,
            user=APP_UID if root else None, group=APP_UID if root else None, extra_groups=[] if root else None,
        )  # fmt: skip
    try:
        ready = wait_until(lambda: answers(port, "/readyz") == 200, START_SECONDS, lambda: server.poll() is None)
        first_answer = spent(server.pid)
        if not ready:
            raise BuildError(f"The server did not get ready: {log.read_text(errors='replace')[-2000:]}")
        for path in ("/", "/login", "/signup", "/healthz") * 10:
            answers(port, path)
        time.sleep(1)  # what a worker does once, after its first requests
        yield server.pid, first_answer
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            status = server.wait(timeout=40)
        except subprocess.TimeoutExpired:
            server.kill()
            status = server.wait()
    if status:
        raise BuildError(
            f"The server ended with {status} on SIGTERM, not with 0: {log.read_text(errors='replace')[-1000:]}"
        )


def may_run(program: str) -> bool:
    """Whether the image's user could, too: a Python in somebody's home is for them alone."""
    try:
        return subprocess.run([program, "-c", ""], user=APP_UID, group=APP_UID, extra_groups=[]).returncode == 0
    except PermissionError:
        say(f"{program} is not for user {APP_UID}: the server is run as this user instead.")
        return False


def children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def memory(process: int) -> tuple[int, int]:
    """PSS and USS in bytes (https://docs.kernel.org/filesystems/proc.html, smaps_rollup)."""
    found = dict(re.findall(r"^(\w+): +(\d+) kB", Path(f"/proc/{process}/smaps_rollup").read_text(), re.MULTILINE))
    return int(found["Pss"]) * 1024, (int(found["Private_Clean"]) + int(found["Private_Dirty"])) * 1024
