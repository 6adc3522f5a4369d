"""A restore to one moment by DynamoDB itself (point-in-time recovery), every table into a fresh prefix.

Safe to repeat and to break off: a table that DynamoDB has begun is waited for, and one of another moment is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from app.data.recovery import Recovery
from app.data.table_copies import TableCopies
from app.data.table_setup import create_tables
from app.data.tables import ALL
from app.domain.clock import to_iso
from app.domain.errors import InvalidInput

LOOK_SECONDS = 15.0


def run(
    source: Recovery,
    target: Recovery,
    copies: TableCopies,
    moment: datetime,
    *,
    say: Callable[[str], None] = lambda line: None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Every table as it was at that second. `copies`: of the target's prefix.

    Raises InvalidInput where a table cannot be put back to it, or stands in the target and is of something else;
    StoreUnavailable.
    """
    moment = moment.replace(microsecond=0)
    mark = f"{source.prefix} {to_iso(moment)[:19]}Z"
    lacking = []
    for table in ALL:
        window = source.window(table.suffix)
        if window is None:
            lacking.append(f"{source.prefix}{table.suffix} has no point-in-time recovery")
        elif not window.earliest <= moment <= window.latest:
            span = f"{to_iso(window.earliest)[:19]} to {to_iso(window.latest)[:19]}"
            lacking.append(f"{source.prefix}{table.suffix} can be put back to {span} (UTC)")
    if lacking:
        raise InvalidInput(f"No restore to {to_iso(moment)[:19]}: {'; '.join(lacking)}.")
    begun = [table.suffix for table in ALL if _is_begun(source, target, copies, table.suffix, moment, mark)]
    for table in ALL:
        if table.suffix not in begun:
            source.restore(table.suffix, target.prefix, moment)
            say(f"{table.suffix}: DynamoDB restores it")
    _wait(target, say, sleep)
    for table in ALL:
        copies.mark(table.suffix, mark)
    create_tables(copies.client, copies.prefix, say=say, replace=False, expiring=False)  # an index of this release


def _is_begun(source: Recovery, target: Recovery, copies: TableCopies, table: str, moment: datetime, mark: str) -> bool:
    state = target.state(table)
    if not state:
        return False
    if target.restored_from(table) == (source.prefix + table, moment):
        return True
    if state == "ACTIVE" and copies.mark_of(table) == mark:
        return True
    raise InvalidInput(f"{target.prefix}{table} is there and not of this restore: restore into a prefix that is fresh.")


def _wait(target: Recovery, say: Callable[[str], None], sleep: Callable[[float], None]) -> None:
    while waiting := [table.suffix for table in ALL if target.state(table.suffix) != "ACTIVE"]:
        say(f"waiting for DynamoDB: {', '.join(waiting)}")
        sleep(LOOK_SECONDS)
