"""Start the stand-in for Stripe: `python -m scripts.local.stripe_standin --help`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from .options import HOST, BadOption, Options
from .server import serve


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.local.stripe_standin",
        description="A stand-in for Stripe on this machine. No money moves. See docs/stripe.md.",
    )
    parser.add_argument("--host", default=HOST, help="another address than loopback: in a container of one's own")
    parser.add_argument("--port", type=int, default=4242, help="port, 0 for any (default 4242)")
    parser.add_argument("--state", type=Path, required=True, help="directory that keeps payments between runs")
    parser.add_argument("--webhook-url", default="", help="where events go, on this machine; empty for nowhere")
    parser.add_argument("--webhook-secret", default=os.environ.get("STRIPE_WEBHOOK_SECRET", "").partition(",")[0])
    parser.add_argument("--secret-key", default=os.environ.get("STRIPE_SECRET_KEY", ""))
    parser.add_argument("--settle-seconds", type=float, default=4.0, help="how long a bank debit takes (default 4)")
    parser.add_argument(
        "--retry-seconds", type=float, default=1.0, help="first wait after a failed webhook (default 1)"
    )
    parser.add_argument("--states", action="store_true", help="make states in the run whose settings these are")
    parser.add_argument("--ready-file", type=Path, help="written with the address once it listens")
    given = parser.parse_args(arguments)
    options = Options(
        state=given.state,
        secret_key=given.secret_key,
        webhook_secret=given.webhook_secret,
        webhook_url=given.webhook_url or None,
        host=given.host,
        port=given.port,
        settle_seconds=given.settle_seconds,
        retry_seconds=given.retry_seconds,
        states=given.states,
    )
    try:
        options.check()
        serve(options, given.ready_file)
    except BadOption as error:
        print(f"stripe stand-in: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"stripe stand-in: cannot listen on {given.host}:{given.port}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
