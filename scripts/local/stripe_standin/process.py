"""The stand-in as a process of its own, for tests and scripts: `with StripeStandIn(webhook_url=…) as stripe: …`"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scripts.local.control_call import control

ROOT = Path(__file__).resolve().parents[3]
CHILD = ROOT / "scripts" / "local" / "child.py"
START_SECONDS = 120.0  # for a loaded machine; it is there after a second on a quiet one


class ControlClient:
    """The control API of a stand-in that runs, wherever it was started."""

    url: str

    def control(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """POST `body` to /_control/`path`; GET it when there is no body."""
        return control(self.url, path, body)

    def pay(self, session_id: str, **how: Any) -> dict[str, Any]:
        """Pay a session as its hosted page would; `how` as in POST /_control/pay."""
        answer: dict[str, Any] = self.control("pay", {"session": session_id, **how})
        return answer

    def wait_until_idle(self, seconds: float = 10.0) -> None:
        """Return once every webhook that is not withheld was delivered and every planned change has happened."""
        if not self.control(f"idle?seconds={seconds}")["idle"]:
            raise TimeoutError(f"webhooks still under way: {self.control('webhooks')}")

    def events(self, *types: str) -> list[dict[str, Any]]:
        """Events, oldest first."""
        query = "&".join(f"type={kind}" for kind in types)
        found: list[dict[str, Any]] = self.control(f"events?{query}")["events"]
        return found


class StripeStandIn(ControlClient):
    """Starts the stand-in on a free port with its own state directory, and stops it at the end."""

    def __init__(
        self,
        *,
        webhook_url: str | None = None,
        webhook_secret: str = "whsec_standin_for_tests",  # noqa: S107
        secret_key: str = "sk_test_standin_for_tests",  # noqa: S107
        port: int = 0,
        state_dir: Path | None = None,
        settle_seconds: float = 0.3,
        retry_seconds: float = 0.2,
    ) -> None:
        self.webhook_url = webhook_url
        self.webhook_secret = webhook_secret
        self.secret_key = secret_key
        self.port = port
        self._settle_seconds = settle_seconds
        self._retry_seconds = retry_seconds
        self._temporary = None if state_dir else tempfile.TemporaryDirectory(prefix=f"stripe-standin-{os.getpid()}-")
        self.state_dir = state_dir or Path(self._temporary.name if self._temporary else "")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:  # type: ignore[override]
        return f"http://127.0.0.1:{self.port}"

    @property
    def api_base(self) -> str:
        """The value for STRIPE_API_BASE."""
        return self.url

    def start(self) -> None:
        """Start the process; after `kill` on the same port and with the same state."""
        ready = self.state_dir / "ready"
        ready.unlink(missing_ok=True)
        command = [
            *(sys.executable, str(CHILD), str(os.getpid()), sys.executable, "-m", "scripts.local.stripe_standin"),
            *("--port", str(self.port), "--state", str(self.state_dir), "--ready-file", str(ready)),
            *("--webhook-url", self.webhook_url or "", "--webhook-secret", self.webhook_secret),
            *("--secret-key", self.secret_key, "--settle-seconds", str(self._settle_seconds)),
            *("--retry-seconds", str(self._retry_seconds)),
        ]
        with (self.state_dir / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise RuntimeError(f"The stand-in for Stripe did not start: {self.log()}")
            time.sleep(0.02)
        self.port = int(ready.read_text().rsplit(":", 1)[1])

    def log(self) -> str:
        path = self.state_dir / "log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""

    def kill(self) -> None:
        """End the process at once, as a power cut would; the state stays."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self._temporary is not None:
            self._temporary.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
