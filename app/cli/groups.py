"""What every group of commands has in common: a person at a terminal reads a sentence, never a traceback."""

from __future__ import annotations

import logging
from typing import Any

import click
from flask.cli import AppGroup

from app.data.client import OutOfReach, Refused
from app.domain.errors import DomainError, StoreUnavailable
from app.domain.text import trimmed

log = logging.getLogger(__name__)


class Pasted(click.ParamType[str]):
    """An id as it was pasted, without what nobody sees around it."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return trimmed(str(value)) or self.fail("it is empty", param, ctx)


class Group(AppGroup):
    """Ends with 1 and a sentence for what is refused, cannot be read, or is out of reach; click's own 2 for usage."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DomainError as error:
            raise click.ClickException(error.message) from error
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{name}{error.strerror or 'It cannot be read or written.'}") from error
        except UnicodeError as error:
            raise click.ClickException("What was typed or read is no text that can be kept.") from error
        except OverflowError as error:
            raise click.ClickException("A number or a date is too large.") from error
        except Refused as error:
            log.error("command refused by AWS: %s", error)
            code = error.response.get("Error", {}).get("Code", "")
            raise click.ClickException(f"AWS refuses this ({code}). Check what was typed.") from error
        except OutOfReach as error:
            log.error("AWS out of reach: %s", type(error).__name__)
            raise click.ClickException(StoreUnavailable.message) from error
