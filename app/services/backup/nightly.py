"""The nightly backup on AWS: DynamoDB exports every table to S3, all of one moment, while customers are at work.

A night has one plan (`plan.json`): its moment. A repeat finds it, and finds the exports that it has begun: it waits for
those, and begins anew only what has failed. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.HowItWorks.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from app.data.recovery import COMPLETED, FAILED, Export, Recovery
from app.data.table_copies import TableCopies
from app.data.tables import ALL
from app.domain.clock import from_iso, to_iso
from app.domain.errors import DomainError, InvalidInput, NotFound
from app.gateways.depots import Depot

from . import looking
from .looking import Backup, Fault

PLAN = "plan.json"
RESULTS = "results/"
LOOK_SECONDS = 20.0
LONGEST = timedelta(hours=8)  # a token of AWS's holds as long
LAST_NIGHT = timedelta(hours=26)
ARRIVES_WITHIN = timedelta(hours=1)  # a replica; S3 says that most come within fifteen minutes


class ExportFailed(DomainError):
    """What DynamoDB says of the exports that did not end well."""

    code = "export_failed"


@dataclass(frozen=True, slots=True)
class Plan:
    name: str
    moment: datetime
    begun_at: datetime


def export(
    recovery: Recovery,
    copies: TableCopies,
    depot: Depot,
    *,
    clock: Callable[[], datetime],
    say: Callable[[str], None] = lambda line: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Backup:
    """Tonight's exports to their end; what their manifests say. Safe to repeat, also beside itself.

    Raises InvalidInput where a table cannot be exported, ExportFailed, StoreUnavailable, DepotUnavailable.
    """
    plan = _plan(recovery, depot, clock())
    say(f"{plan.name}: all tables as they were at {to_iso(plan.moment)[:19]} (UTC)")
    exports = {table.suffix: _begin(recovery, copies, depot, plan, table.suffix) for table in ALL}
    while waiting := [table for table, one in exports.items() if one.state not in (COMPLETED, FAILED)]:
        say(f"{len(exports) - len(waiting)} of {len(exports)} tables are exported; waiting for {', '.join(waiting)}")
        if clock() - plan.begun_at > LONGEST:
            raise ExportFailed(f"DynamoDB has not ended in {LONGEST}: {', '.join(waiting)}. Look at its console.")
        sleep(LOOK_SECONDS)
        exports |= {table: recovery.export(exports[table].arn) for table in waiting}
    if failed := [
        f"{table}: {one.failure or 'no reason given'}" for table, one in exports.items() if one.state == FAILED
    ]:
        raise ExportFailed(f"DynamoDB could not export {'; '.join(failed)}. Running it again begins these anew.")
    return looking.look(depot, plan.name)


def _plan(recovery: Recovery, depot: Depot, now: datetime) -> Plan:
    name = to_iso(now)[:10]
    moment = _moment(recovery)
    plan = json.dumps({"moment": to_iso(moment), "begun_at": to_iso(now)}).encode()
    if depot.write_new(f"{name}/{PLAN}", plan):
        return Plan(name, moment, now)
    try:
        told = json.loads(depot.read(f"{name}/{PLAN}"))
        return Plan(name, from_iso(told["moment"]), from_iso(told["begun_at"]))
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"{depot}/{name}/{PLAN} cannot be read: remove it, and tonight's backup begins anew."
        ) from error


def _moment(recovery: Recovery) -> datetime:
    """The last second that every table can be exported of."""
    windows = {table.suffix: recovery.window(table.suffix) for table in ALL}
    if lacking := [table for table, window in windows.items() if window is None]:
        raise InvalidInput(f"Without point-in-time recovery DynamoDB exports nothing: {', '.join(lacking)}.")
    known = [window for window in windows.values() if window]
    moment = min(window.latest for window in known).replace(microsecond=0)
    if moment < max(window.earliest for window in known):
        raise InvalidInput(
            "No moment is in every table's recovery yet: it was just switched on for one. Try in an hour."
        )
    return moment


def _begin(recovery: Recovery, copies: TableCopies, depot: Depot, plan: Plan, table: str) -> Export:
    named = copies.find(table)
    if named is None:
        raise InvalidInput(f"There is no table {copies.prefix}{table}: nothing more was exported.")
    prefix = f"{depot.prefix}{plan.name}"
    before = [one for one in recovery.exports_since(named.arn, plan.begun_at) if one.prefix == prefix]
    if alive := [one for one in before if one.state != FAILED]:
        return alive[-1]
    # An AWS account may have several deployments, begun by the same second of their clocks.
    of_this = sha256(f"{named.arn} {depot.bucket} {prefix}".encode()).hexdigest()[:12]
    token = f"{plan.name}-{plan.begun_at:%H%M%S}-{of_this}-{len(before)}"
    return recovery.begin_export(named.arn, bucket=depot.bucket, prefix=prefix, moment=plan.moment, token=token)


def last_night(depot: Depot, now: datetime) -> Backup:
    """The newest backup; a fault of it is that it is too old, or that there is none."""
    found = looking.names(depot)
    if not found:
        return Backup("", faults=[Fault(str(depot), "there is no backup")])
    backup = looking.look(depot, found[-1])
    moments = [one.summary.moment for one in backup.exports.values() if one.summary.moment]
    if moments and now - min(moments) > LAST_NIGHT:
        what = f"the newest is of {to_iso(min(moments))[:16]} (UTC): last night's is missing"
        backup.faults.append(Fault(backup.name, what))
    return backup


def not_copied(here: Depot, there: Depot, now: datetime) -> Iterator[tuple[str, str]]:
    """Files of results that the copy lacks or has otherwise, with what is wrong; none of the last hour, which may still
    be on their way. S3 lists both in the order of their names, so none is held.
    """
    others = there.names(RESULTS)
    other = next(others, None)
    for name, size in here.names(RESULTS):
        while other is not None and other[0] < name:
            other = next(others, None)
        what = ""
        if other is None or other[0] != name:
            what = "it is not in the copy"
        elif other[1] != size:
            what = f"{size:,} bytes here, {other[1]:,} in the copy"
        if what and _is_settled(here, name, now):
            yield name, what


def _is_settled(here: Depot, name: str, now: datetime) -> bool:
    try:
        return now - here.written_at(name) > ARRIVES_WITHIN
    except NotFound:  # removed meanwhile
        return False
