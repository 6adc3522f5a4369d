"""Start and stop the local AWS (ministack) as a process of its own: in memory for tests, or with a durable journal."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Self

from scripts.local.ports import HOST, answers, free_port, wait_until

REPO = Path(__file__).resolve().parents[2]
CHILD = [sys.executable, "-I", "-S", str(Path(__file__).with_name("child.py"))]
START_SECONDS = 120.0
# ministack says that it is healthy before it has loaded a service; the first call to each loads it, which takes many
# seconds on a busy machine. So each is asked first, as a client would: (method, path, body, headers).
FIRST_CALLS = {
    "dynamodb": ("POST", "/", b"{}", {"X-Amz-Target": "DynamoDB_20120810.ListTables"}),
    "ses": ("GET", "/v2/email/identities", None, {}),
    "s3": ("GET", "/", None, {}),
}
ANSWER_SECONDS = 30.0


def aws_command(port: int, data_dir: Path | None = None) -> list[str]:
    """The command line of the local AWS; without a data folder it keeps nothing."""
    command = [*CHILD, str(os.getpid()), sys.executable, "-m", "scripts.local.aws_server", "--port", str(port)]
    return command if data_dir is None else [*command, "--data", str(data_dir)]


def is_ready(port: int) -> bool:
    """Whether DynamoDB, SES and S3 have each given a real answer."""
    for service, (method, path, body, headers) in FIRST_CALLS.items():
        signed = f"AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host"
        headers = {**headers, "Authorization": f"{signed}, Signature=0"}
        if answers(port, path, ANSWER_SECONDS, method=method, body=body, headers=headers) != 200:
            return False
    return True


def keep_or_put_back(port: int, act: Literal["keep", "back"], name: str = "") -> bool:
    """Keep the tables of a local AWS as they are under a name, or put them back to what was kept (snapshot.py)."""
    return answers(port, f"/_local/{act}/{name}", ANSWER_SECONDS, method="POST") == 200


class LocalAws:
    """A local AWS on loopback, gone when this process goes. Start it from a thread that outlives it.

    with LocalAws() as aws: boto3.client("dynamodb", endpoint_url=aws.endpoint_url, ...)
    """

    def __init__(self, port: int | None = None, data_dir: Path | None = None, log: IO[bytes] | None = None) -> None:
        self.port = port or free_port()
        self.data_dir = data_dir
        self.endpoint_url = f"http://{HOST}:{self.port}"
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("the local AWS is not started")
        return self._process.pid

    def start(self, seconds: float = START_SECONDS) -> Self:
        """Start it and return once it answers."""
        self._process = process = subprocess.Popen(
            aws_command(self.port, self.data_dir),
            cwd=REPO,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        if not wait_until(lambda: is_ready(self.port), seconds, lambda: process.poll() is None):
            status = process.poll()
            self.kill()
            reason = "did not answer in time" if status is None else f"ended with status {status}"
            raise RuntimeError(f"the local AWS on port {self.port} {reason}")
        return self

    def reset(self) -> None:
        """Forget every table, item, identity and mail; takes milliseconds."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=ANSWER_SECONDS)
        with contextlib.closing(connection):
            connection.request("POST", "/_ministack/reset")
            status = connection.getresponse().status
        if status != 200:
            raise RuntimeError(f"the local AWS answered {status} to a reset")

    def send_signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it the polite way and return its exit status; kill it when that takes too long."""
        if self._process is None:
            return 0
        self.send_signal(number)
        try:
            return self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.wait()

    def kill(self) -> None:
        """SIGKILL: what it acknowledged must be there after the next start."""
        if self._process is not None:
            self.send_signal(signal.SIGKILL)
            self._process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill() if self.data_dir is None else self.stop()
