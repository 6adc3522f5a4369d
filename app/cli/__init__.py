"""The command line: `flask --app app.wsgi …`, one file for each group of commands."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property

import click
from flask.cli import AppGroup


class Commands(AppGroup):
    """The commands of this package, imported when one is asked for: a server asks for none.

    `add` is handed the groups then, and may add commands of others to them.
    """

    def __init__(self, name: str, add: Callable[[Iterable[click.Group]], None]) -> None:
        super().__init__(name)
        self._add = add

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self._every.get(cmd_name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._every)

    @cached_property
    def _every(self) -> dict[str, click.Command]:
        from app.cli.every import COMMANDS, GROUPS

        self._add(GROUPS)
        return {command.name: command for command in COMMANDS if command.name}
