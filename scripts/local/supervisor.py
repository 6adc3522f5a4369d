"""Start everything the dashboard needs on one machine, keep it running, and stop it in order.

`scripts/run` becomes this process. Children never outlive it, not even when it is killed with SIGKILL; what they had
acknowledged by then is in the journal (scripts/local/journal.py).
"""

import argparse
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from scripts.local.aws import CHILD, is_ready
from scripts.local.parts import commands
from scripts.local.ports import answers, wait_until, wait_until_free
from scripts.local.processes import Process, heed_no_stop, say
from scripts.local.reload import Changes
from scripts.local.settings import (
    LOCK_FILE,
    REPO,
    LocalSettings,
    SettingsError,
    keep_run_environment,
    local_settings,
)

PORT_SECONDS = 4.0
LOCK_SECONDS = 5.0
START_SECONDS = 180.0
PROGRESS_SECONDS = 10.0
WATCH_SECONDS = 0.2
HEALTH_SECONDS = 30.0  # one answer of the app, whose first needs each table described
ASKED = ("aws", "stripe")  # by the app, the mail sender and the mailbox


class StartError(Exception):
    """The run cannot start; the message is for the person at the terminal."""


class Stopped(Exception):
    """Someone asked the run to stop while it was still starting."""


class Supervisor:
    """One local run, from the first port check to the last child's end."""

    def __init__(self, settings: LocalSettings, *, reload: bool = False) -> None:
        self.settings = settings
        self._commands = commands(settings)
        self._changes = Changes(REPO / "app") if reload else None
        self._stop = threading.Event()
        self._hurry = False
        self._lock = -1
        self._processes: list[Process] = []
        self._pid = os.getpid()

    def handle_signal(self, number: int, _frame: FrameType | None) -> None:
        """The first signal stops in order, a second one at once."""
        self._hurry = self._stop.is_set()
        self._stop.set()

    def run(self) -> int:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.handle_signal)
        try:
            self._lock = self._take_lock()
            self._check_ports()
            keep_run_environment(self.settings.var_dir, self.settings.environment)
            sign_ins = self._start_all()
            say(self._summary(sign_ins))
            while not self._stop.wait(WATCH_SECONDS):
                for process in self._processes:
                    process.keep_alive()
                if self._changes:
                    self._reload(self._changes.take())
        except Stopped:
            pass
        except StartError as error:
            print(error, file=sys.stderr, flush=True)
            return 1
        finally:
            self._stop_all()
        return 0

    def _reload(self, changed: list[str]) -> None:
        """Start anew what runs the app's code: a worker keeps the templates that it has read."""
        if not changed:
            return
        say(f"Changed: {', '.join(changed[:3])}{' ...' if len(changed) > 3 else ''}. The app starts anew ...")
        for process in self._processes:
            if process.name in ("web", "mail", "books", "doctor"):
                process.restart()

    # Before anything is started

    def _take_lock(self) -> int:
        """One run for one VAR_DIR; an earlier run that is just ending gets some time."""
        lock = os.open(self.settings.var_dir / LOCK_FILE, os.O_CREAT | os.O_RDWR, 0o600)
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    holder = os.pread(lock, 20, 0).decode() or "unknown"
                    raise StartError(
                        f"VAR_DIR {self.settings.var_dir} is in use by another scripts/run (process {holder}): "
                        "stop that one, or set VAR_DIR to another folder."
                    ) from None
                self._pause(0.1)
            else:
                os.ftruncate(lock, 0)
                os.pwrite(lock, str(self._pid).encode(), 0)
                return lock

    def _check_ports(self) -> None:
        names: dict[int, str] = {}
        for name, port in self.settings.ports_in_use.items():
            if port in names:
                raise StartError(f"{names[port]} and {name} are both {port}: set one of them to another port.")
            names[port] = name
            if not wait_until_free(port, PORT_SECONDS):
                raise StartError(
                    f"Port {port} is taken by another program: stop that program, or set {name} to a free port."
                )
            self._check_stop()

    # Starting

    def _start_all(self) -> list[dict[str, str]]:
        settings = self.settings
        if settings.runs_aws:
            say("Starting local AWS ...")
            aws_port = settings.ports["LOCAL_AWS_PORT"]
            self._wait_for(self._add("aws"), lambda: is_ready(aws_port))
            if settings.runs_mailbox:
                self._step("The sender address", "sender")
        if settings.runs_stripe:
            say("Starting the Stripe stand-in ...")
            stripe = self._add("stripe")
        if settings.runs_mailbox:
            port = settings.ports["LOCAL_MAILBOX_PORT"]
            self._wait_for(self._add("mailbox"), lambda: answers(port, "/healthz") == 200)
        say("Creating the tables ...")
        self._step("Creating the tables", "setup")
        if settings.demo_month:
            self._wait_for(stripe, lambda: answers(settings.ports["LOCAL_STRIPE_PORT"], "/_control/health") == 200)
        say("Making the demo accounts ...")
        seeded = self._step("Making the demo accounts", "demo")
        sign_ins = [json.loads(line) for line in seeded.splitlines() if line.startswith("{")]
        say(f"Starting the app with {settings.workers} workers ...")
        web = self._add("web", echo=True, stop_seconds=25.0)
        self._wait_for(web, lambda: answers(settings.ports["PORT"], "/healthz", HEALTH_SECONDS) == 200)
        self._add("mail", echo=True)
        self._add("books", echo=True)
        self._add("doctor")
        return sign_ins

    def _add(self, name: str, *, echo: bool = False, stop_seconds: float = 5.0) -> Process:
        command = self._commands[name]
        log_dir = self.settings.var_dir / "log"
        environment = self.settings.environment
        process = Process(name, command, environment, log_dir, self._pid, echo=echo, stop_seconds=stop_seconds)
        self._processes.append(process)
        process.start()
        return process

    def _wait_for(self, process: Process, ready: Callable[[], bool]) -> None:
        """Return once it is ready. On a busy machine that takes a while: say so, and go on waiting."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if wait_until(ready, PROGRESS_SECONDS, lambda: process.alive and not self._stop.is_set()):
                return
            self._check_stop()
            if not process.alive:
                break
            say(f"  still waiting for the {process.name} process, which is slow to start ...")
        reason = f"has not answered for {START_SECONDS:.0f} s" if process.alive else "ended while starting"
        raise StartError(f"The {process.name} process {reason}. Its last lines ({process.log_path}):\n{process.tail()}")

    def _step(self, purpose: str, name: str) -> str:
        """Run a command to its end and return what it printed; its error output goes to setup.log."""
        log_path = self.settings.var_dir / "log" / "setup.log"
        next_word = time.monotonic() + PROGRESS_SECONDS
        with log_path.open("ab") as log:
            start = log.tell()
            with subprocess.Popen(
                [*CHILD, str(self._pid), *self._commands[name]],
                cwd=REPO,
                env=dict(self.settings.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                process_group=0,
            ) as child:
                while True:
                    try:
                        output, _ = child.communicate(timeout=WATCH_SECONDS)
                        break
                    except subprocess.TimeoutExpired:
                        if self._stop.is_set():
                            child.kill()
                            raise Stopped from None
                        if time.monotonic() > next_word:
                            say(f"  {purpose[0].lower()}{purpose[1:]} takes its time on this machine, and goes on ...")
                            next_word += PROGRESS_SECONDS
        if child.returncode != 0:
            problem = log_path.read_bytes()[start:].decode("utf-8", "replace").strip().splitlines()[-20:]
            raise StartError("\n".join([f"{purpose} failed (whole message: {log_path}):", *problem]))
        self._check_stop()
        return output.decode("utf-8", "replace")

    # Stopping

    def _stop_all(self) -> None:
        """All that ask others at once; then those that are asked, when nobody needs an answer any more."""
        if self._processes:
            say("Stopping ...")
        asked = [process for process in self._processes if process.name in ASKED]
        asking = [process for process in self._processes if process.name not in ASKED]
        for together in (asking, asked):
            for process in together:
                process.ask_to_stop()
            for process in together:
                process.stop(lambda: self._hurry)
        if self._processes:
            say(f"Stopped. Everything is kept in {self.settings.var_dir}.")

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped

    def _pause(self, seconds: float) -> None:
        self._stop.wait(seconds)
        self._check_stop()

    def _summary(self, sign_ins: list[dict[str, str]]) -> str:
        settings, environment = self.settings, self.settings.environment
        rows = [("App", environment["APP_URL"])]
        if settings.runs_mailbox:
            rows.append(("Mailbox", settings.url("LOCAL_MAILBOX_PORT")))
        stripe = environment.get("STRIPE_API_BASE", "api.stripe.com, with your key")
        rows.append(("Stripe stand-in" if settings.runs_stripe else "Stripe", stripe))
        dynamodb = f"{environment['DYNAMODB_ENDPOINT_URL']}  region {environment['AWS_REGION']}"
        rows.append(("DynamoDB", dynamodb + (", any credentials" if settings.runs_aws else "")))
        if token := environment.get("METRICS_TOKEN"):
            rows.append(("Metrics", f"{environment['APP_URL']}/metrics  bearer token {token}"))
        rows += [(f"Demo {row['role']}", f"{row['email']}  password {row['password']}") for row in sign_ins]
        rows.append(("State and logs", str(settings.var_dir)))
        rows.append(("To stop", f"Ctrl-C, or: kill {self._pid}"))
        width = max(len(name) for name, _ in rows) + 2
        lines = [f"  {name:<{width}}{value}" for name, value in rows]
        return "\n".join(["", "The dashboard is ready.", "", *lines, ""])


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/run", description="Serve the dashboard on this machine.")
    parser.add_argument("--reload", action="store_true", help="start the app anew when a file of app/ changes")
    arguments = parser.parse_args()
    try:
        settings = local_settings(os.environ)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        return Supervisor(settings, reload=arguments.reload).run()
    finally:
        heed_no_stop()


if __name__ == "__main__":
    sys.exit(main())
