"""The end of a process that was asked to stop."""

from __future__ import annotations

import signal


def heed_no_stop() -> None:
    """Once it has stopped, a second signal changes nothing: Python lets go of its handlers while it ends, and a signal
    that a busy machine delivers late would kill it then, which looks like a crash.
    """
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
