"""`scripts/edge …`: see deploy/cloudflare/README.md."""

from __future__ import annotations

import os

import click

from .passes import LONGEST_HOURS, pass_link


@click.group()
def main() -> None:
    """Cloudflare in front of the dashboard."""


@main.command("pass")
@click.option("--hours", type=click.FloatRange(0.1, LONGEST_HOURS), default=2.0, show_default=True, help="Good for.")
@click.option("--url", envvar="APP_URL", default="https://dashboard.impacteragi.com", show_default=True)
def pass_(hours: float, url: str) -> None:
    """Print a link by which one browser gets past the maintenance page. Needs EDGE_SECRET, the Worker's."""
    secret = os.environ.get("EDGE_SECRET", "").strip()
    if not secret:
        raise click.ClickException("EDGE_SECRET is not set: give it the value that the Worker has.")
    click.echo(pass_link(url.rstrip("/"), secret, hours=hours))


if __name__ == "__main__":
    main(prog_name="scripts/edge")
