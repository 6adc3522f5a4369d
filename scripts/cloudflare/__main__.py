"""`scripts/edge …`: see deploy/cloudflare/README.md."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import click

from app.domain.cloudflare import Difference
from app.domain.doctor import CannotTell
from app.gateways.cloudflare import API, Cloudflare, Refused, RightMissing, TokenRefused
from app.services import cloudflare
from app.services.cloudflare import Step

from .passes import LONGEST_HOURS, pass_link

RIGHTS = {
    "Zone": "Read (the plan, the zone's id)",
    "Zone Settings": "Edit",
    "Bot Management": "Edit",
    "Transform Rules": "Edit (the managed transforms)",
    "Zone WAF": "Edit (custom rules, rate limiting)",
    "Config Rules": "Edit",
    "Cache Rules": "Edit",
    "DNS": "Edit",
    "Workers Routes": "Read",
}
URL = click.option("--url", envvar="APP_URL", default="https://dashboard.impacteragi.com", show_default=True)


@click.group()
def main() -> None:
    """Cloudflare in front of the dashboard."""


@main.command()
@URL
@click.option("--origin", default="", help="Where the record leads: the output Origin of the service stack.")
@click.option("--dry-run", is_flag=True, help="Show what differs and change nothing; ends with 1 if anything does.")
@click.option("--api", envvar="CLOUDFLARE_API", default=API, hidden=True)
def settings(url: str, origin: str, dry_run: bool, api: str) -> None:
    """Set Cloudflare to the table of app/domain/cloudflare.py. Can be repeated, and goes on where it was stopped.

    Needs CLOUDFLARE_API_TOKEN and CLOUDFLARE_ZONE (the zone's id or its name). Other hosts' rules stay as they are; the
    zone's own settings are every host's.

    Ends with 0 when all is as it should be, 1 when something is not, 2 when Cloudflare could not be asked.
    """
    token, zone = (os.environ.get(name, "").strip() for name in ("CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ZONE"))
    if not token or not zone:
        raise click.UsageError(f"Set CLOUDFLARE_API_TOKEN and CLOUDFLARE_ZONE.\n{rights()}")
    host = urlsplit(url).hostname
    if not host:
        raise click.UsageError(f"--url must be the public address, like https://dashboard.example.com, not {url!r}.")
    client = Cloudflare(token, zone, api=api.rstrip("/"), say=click.echo)
    try:
        left = sum([not done for done in each(client, host, origin, dry_run)])
    except TokenRefused as reason:
        raise Unanswered(f"Cloudflare does not take the token. {reason}\n{rights()}") from None
    except CannotTell as reason:
        raise Unanswered(f"{reason}. What is set stays set: run it again, and it goes on from here.") from None
    click.echo(f"Not as it should be: {left}." if left else "All is as it should be.")
    sys.exit(1 if left else 0)


def each(client: Cloudflare, host: str, origin: str, dry_run: bool) -> Iterator[bool]:
    """Whether each is as it should be now. What one of them is refused keeps no other from its turn."""
    families: dict[str, Callable[[], Iterator[Step]]] = {
        "settings": lambda: cloudflare.settings(client),
        "rules": lambda: cloudflare.rules(client, host),
        "way": lambda: cloudflare.way(client, host, origin),
    }
    for name, steps in families.items():
        try:
            for step in steps():
                yield one(step, dry_run)
        except (RightMissing, Refused) as reason:  # of the plan, or of the zone itself
            click.echo(f"  FAILED   {name}: {said(reason)}")
            yield False


def one(step: Step, dry_run: bool) -> bool:
    try:
        difference = step.look()
        if difference is None:
            click.echo(f"  right    {step.name}")
            return True
        click.echo(f"  {'differs' if dry_run or difference.by_hand else 'setting'}  {words(difference)}")
        if dry_run or difference.by_hand:
            return False
        step.mend()
        if left := step.look():
            click.echo(f"  FAILED   {step.name}: Cloudflare has taken it, and says {left.is_} all the same")
            return False
    except (RightMissing, Refused) as reason:
        click.echo(f"  FAILED   {step.name}: {said(reason)}")
        return False
    click.echo(f"  set      {step.name}")
    return True


def words(difference: Difference) -> str:
    found = f"{difference.name}: {difference.is_}; wanted: {difference.wanted} ({difference.why})"
    return found + (f". By hand: {difference.by_hand}" if difference.by_hand else "")


def said(reason: Exception) -> str:
    if isinstance(reason, RightMissing):
        return f"the token has no right to it. {reason}. It needs, for this zone: {', '.join(RIGHTS)}"
    return str(reason)


def rights() -> str:
    rows = "\n".join(f"  {name}: {right}" for name, right in RIGHTS.items())
    return f"The token needs, for this zone alone:\n{rows}\nWith Read in each place it can be looked at (--dry-run)."


class Unanswered(click.ClickException):
    exit_code = 2


@main.command("pass")
@click.option("--hours", type=click.FloatRange(0.1, LONGEST_HOURS), default=2.0, show_default=True, help="Good for.")
@URL
def pass_(hours: float, url: str) -> None:
    """Print a link by which one browser gets past the maintenance page. Needs EDGE_SECRET, the Worker's."""
    secret = os.environ.get("EDGE_SECRET", "").strip()
    if not secret:
        raise click.ClickException("EDGE_SECRET is not set: give it the value that the Worker has.")
    click.echo(pass_link(url.rstrip("/"), secret, hours=hours))


if __name__ == "__main__":
    main(prog_name="scripts/edge")
