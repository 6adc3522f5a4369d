"""What commands that a clock runs have in common: the log tells how each ended."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import click

log = logging.getLogger(__name__)

Given = ParamSpec("Given")


def scheduled(command: Callable[Given, None]) -> Callable[Given, None]:
    """Log the end of a command with its status: alarms count these lines (deploy/aws/service.yaml)."""

    @wraps(command)
    def logged(*args: Given.args, **kwargs: Given.kwargs) -> None:
        context = click.get_current_context()
        status = 1
        try:
            command(*args, **kwargs)
            status = 0
        finally:
            group = context.parent.info_name if context.parent else ""
            log.info("command ended", extra={"command": f"{group} {context.info_name}", "status": status})

    return logged
