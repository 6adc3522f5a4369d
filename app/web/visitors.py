"""What joins the app for a time: packages that are found by their place and known to nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import click

from app.config import Config
from app.data import Store
from app.data.base import Adopter
from app.data.client import make_client


def visitor(name: str = "app.adoption") -> ModuleType | None:
    """The package, or None once its folder is deleted. One that is there and broken raises what broke it."""
    return import_module(name) if find_spec(name) else None


def adopter() -> Adopter | None:
    found = visitor()
    return found.adopter if found else None


def open_store(config: Config) -> Store:
    """The store that settings name, with whoever makes old rows whole."""
    client = make_client(config, endpoint_url=config.dynamodb_endpoint_url)
    return Store(client, config.table_prefix, adopter())


def add_commands(groups: Iterable[click.Group]) -> None:
    found = visitor()
    commands = found.commands if found else {}
    for group in groups:
        for command in commands.get(group.name, ()):
            group.add_command(command)
