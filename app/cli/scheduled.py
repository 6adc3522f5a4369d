"""What commands that a clock runs have in common: the log tells how each ended, and so does the store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from time import perf_counter
from typing import ParamSpec

import click

from app.domain.clock import utcnow
from app.services.heartbeats import note_command
from app.telemetry.instruments import COMMANDS
from app.web import deps

log = logging.getLogger(__name__)

Given = ParamSpec("Given")


def name_of(context: click.Context) -> str:
    """`books check`; a command without a group has a name of one word."""
    group = context.parent if context.parent and context.parent.parent else None
    return f"{group.info_name} {context.info_name}" if group else str(context.info_name)


def scheduled(command: Callable[Given, None]) -> Callable[Given, None]:
    """Log the end of a command with its status: alarms count these lines (deploy/aws/service.yaml)."""

    @wraps(command)
    def logged(*args: Given.args, **kwargs: Given.kwargs) -> None:
        context = click.get_current_context()
        status, began = 1, perf_counter()
        try:
            command(*args, **kwargs)
            status = 0
        finally:
            COMMANDS.record(perf_counter() - began, command=name_of(context), status=str(status))
            log.info("command ended", extra={"command": name_of(context), "status": status})
            note_command(deps.store(), name_of(context), status, utcnow())

    return logged
