"""A child process of the local run: its log, its start, its restart with back-off and its stop."""

import contextlib
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from scripts.local.aws import CHILD, REPO

LOG_BYTES = 5_000_000
TAIL_LINES = 20
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
STEADY_SECONDS = 60.0
# Such lines stay in the log file; the terminal is for what someone should look at. The last one is granian's hint that
# there are more threads than cores: they are there to wait for the database.
ROUTINE = re.compile(
    r'\[(?:INFO|DEBUG)\]|\b(?:INFO|DEBUG)\b|"level": ?"(?:info|debug)"|If this configuration is intentional',
    re.IGNORECASE,
)


def heed_no_stop() -> None:
    """For the end of a process that has stopped: a second signal, which a busy machine delivers late, would make a
    crash of it. Python takes its own handlers away while it ends; this stays.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def say(text: str) -> None:
    """A line for the person at the terminal, who may have closed it."""
    with contextlib.suppress(OSError, ValueError):
        print(text, flush=True)


class Process:
    """One long-running child, restarted when it ends by itself. Start it from the main thread only."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log_dir: Path,
        parent_pid: int,
        *,
        echo: bool = False,
        stop_seconds: float = 5.0,
    ) -> None:
        self.name = name
        self.log_path = log_dir / f"{name}.log"
        self._command = [*CHILD, str(parent_pid), *command]
        self._environment = dict(environment)
        self._echo = echo
        self._stop_seconds = stop_seconds
        self._child: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._pause = FIRST_PAUSE
        self._started = 0.0
        self._again_at = 0.0

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Start it with its output going to its log, in a process group of its own, so that Ctrl-C reaches only us."""
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        self._started = time.monotonic()
        self._tail.clear()
        self._child = subprocess.Popen(
            self._command,
            cwd=REPO,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            process_group=0,
        )
        self._reader = threading.Thread(target=self._read_output, args=(self._child,), daemon=True)
        self._reader.start()

    def tail(self) -> str:
        """The last lines it wrote, for an error message."""
        if self._reader is not None:
            self._reader.join(timeout=1.0)
        return "\n".join(f"  | {line}" for line in self._tail)

    def keep_alive(self) -> None:
        """To be called again and again: starts it anew when it has ended, each time after a longer pause."""
        now = time.monotonic()
        if self.alive:
            if now - self._started > STEADY_SECONDS:
                self._pause = FIRST_PAUSE
            return
        if self._again_at == 0.0:
            status = self._child.returncode if self._child else None
            say(f"[{self.name}] ended with status {status}, again in {self._pause:g} s. Its log: {self.log_path}")
            say(self.tail())
            self._again_at = now + self._pause
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
        elif now >= self._again_at:
            self._again_at = 0.0
            self.start()

    def restart(self) -> None:
        """Stop it in order and start it at once, also when it was waiting to be started again."""
        self.stop(lambda: False)
        self._pause, self._again_at = FIRST_PAUSE, 0.0
        self.start()

    def ask_to_stop(self) -> None:
        """SIGTERM; `stop` waits for what it is still doing."""
        if self._child is not None and self.alive:
            self._child.terminate()

    def stop(self, in_a_hurry: Callable[[], bool]) -> None:
        """SIGTERM, some time to finish what it is doing, then SIGKILL."""
        if self._child is None:
            return
        self.ask_to_stop()
        deadline = time.monotonic() + self._stop_seconds
        while self.alive and time.monotonic() < deadline and not in_a_hurry():
            time.sleep(0.02)
        if self.alive:
            self._child.kill()
        self._child.wait()
        if self._reader is not None:
            self._reader.join(timeout=1.0)

    def _read_output(self, child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        with self.log_path.open("a", encoding="utf-8") as log:
            for line in child.stdout:
                log.write(line)
                log.flush()
                self._tail.append(line.rstrip())
                if self._echo and line.strip() and not ROUTINE.search(line[:400]):
                    say(f"[{self.name}] {line.rstrip()}")


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]
