"""The process of the local AWS: pinned ministack on loopback, with the journal in front when it has a data folder."""

import argparse
import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

from scripts.local.ports import HOST
from scripts.local.processes import heed_no_stop
from scripts.local.settings import CREDENTIALS

REMOVES_EXPIRED = "dynamodb-ttl-reaper"


def configure(host: str, port: int, data_dir: Path | None) -> None:
    """Settings that ministack reads at import: one address, no side listeners, no docker, quiet."""
    settings = {
        "BIND_HOST": host,
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "PERSIST_STATE": "0",
        "DOCKER_HOST": "unix:///nonexistent/docker.sock",
        "LOG_LEVEL": "WARNING",
        "S3_PERSIST": "0",
        "STATE_DIR": f"{os.devnull}/none",  # else services that nobody uses leave a folder in /tmp
    }
    if data_dir is not None:
        settings |= {"S3_PERSIST": "1", "S3_DATA_DIR": str(data_dir / "s3"), "STATE_DIR": str(data_dir / "state")}
    # The key that whoever started this process signs with is the one that is known here; the rest is not its business.
    settings |= {name: os.environ.get(name) or known for name, known in CREDENTIALS.items()}
    if token := os.environ.get("AWS_SESSION_TOKEN"):
        settings["AWS_SESSION_TOKEN"] = token
    for name in [name for name in os.environ if name.startswith(("AWS_", "MINISTACK_"))]:
        del os.environ[name]
    os.environ.update(settings)


@contextmanager
def nothing_expires() -> Iterator[None]:
    """Import ministack without its thread that removes, once a minute, what has expired by the real time.

    Tests have days of their own, and a row must not go in the middle of one: what is expired is theirs to see.
    """
    start = threading.Thread.start

    def unless_it_removes(thread: threading.Thread) -> None:
        if thread.name != REMOVES_EXPIRED:
            start(thread)

    with patch.object(threading.Thread, "start", unless_it_removes):
        yield


async def serve(host: str, port: int, data_dir: Path | None) -> None:
    """Serve until a stop signal; open requests are answered first."""
    import ministack.app
    from hypercorn.asyncio import serve as hypercorn_serve
    from hypercorn.config import Config

    application: Any = ministack.app.app
    if data_dir is None:
        from scripts.local.snapshot import Snapshot

        application = Snapshot().around(application)
    else:
        from scripts.local.journal import Journal

        application = Journal(data_dir / "journal.jsonl").around(application)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Not add_signal_handler: a second signal that meets the loop closing is written to a pipe that is closed by then.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    config = Config()
    config.bind = [f"{host}:{port}"]
    config.keep_alive_timeout = 75
    config.graceful_timeout = 2
    config.loglevel = "WARNING"
    gc.collect()
    gc.freeze()  # what was imported stays: it is not looked through for garbage again and again
    await hypercorn_serve(application, config, shutdown_trigger=stop.wait)
    heed_no_stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default=HOST, help="another address than loopback: in a container of one's own")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, help="folder of the journal; without it everything is in memory only")
    arguments = parser.parse_args()
    configure(arguments.host, arguments.port, arguments.data)
    with nullcontext() if arguments.data else nothing_expires():  # the part that is DynamoDB is imported here
        from scripts.local.journal import JournalError

    try:
        asyncio.run(serve(arguments.host, arguments.port, arguments.data))
    except JournalError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
