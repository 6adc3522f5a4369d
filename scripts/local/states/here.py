"""The states of the run that this process belongs to: development on this machine, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .made import CannotMake

if TYPE_CHECKING:
    from app.config import Config

    from .makers import Control, States


def states_of(environ: Mapping[str, str], control: Control) -> States:
    """Raises CannotMake for settings of anything but a development run over local AWS."""
    from app import create_app  # what only speaks Stripe does not wait for it
    from app.config import Config, ConfigError

    from .makers import States

    try:
        config = Config.from_env(environ)
    except ConfigError as error:
        raise CannotMake(f"These are no settings of a run: {error}") from error
    check(config)
    return States(create_app(config).extensions["impacteragi"], control)


def check(config: Config) -> None:
    if config.is_production:
        raise CannotMake("No state is made in production.")
    for url in (config.dynamodb_endpoint_url, config.ses_endpoint_url, config.s3_endpoint_url, config.stripe_api_base):
        if not is_here(url):
            raise CannotMake("States are made where all of AWS and Stripe is local.")


def is_here(url: str | None) -> bool:
    host = urlsplit(url or "").hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
