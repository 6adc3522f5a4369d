"""What a month costs at three sizes, and how fast it may go before a key of DynamoDB gets too hot: scripts/scaling.

Units and bytes are those of the app's own calls and rows (acts.py); how often each act happens is assumed, below.
Nothing is asked of AWS. Prices are list prices of us-east-1.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from app.domain.mails import DUE_SHARDS
from scripts.growth.acts import Act, Measured, measure

# https://aws.amazon.com/dynamodb/pricing/on-demand/ and https://aws.amazon.com/ses/pricing/
WRITE_USD, READ_USD = 0.625 / 1e6, 0.125 / 1e6  # a request unit
STORED_USD, FREE_GB, RECOVERY_USD = 0.25, 25, 0.20  # a GB and month; point-in-time recovery is on top
MAIL_USD = 0.10 / 1_000
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
KEY_WRITES, KEY_READS, PARTITION_GB = 1_000, 3_000, 10
MONTH_SECONDS = 30 * 86_400
GB = 1e9

MONTHS = 24  # in which what is there has come about
PEAK = 10  # times the mean of a month
# How often an act happens for each task.
FOR_A_TASK = {
    "open the dashboard": 1.0,
    "poll, nothing new": 20.0,  # a minute beside an open task
    "poll, something new": 2.0,  # taken up, done
    "submit a task": 1.0,
    "read a task": 1.0,
    "look at the queue": 2.0,
    "claim a task": 1.0,
    "complete a task": 1.0,
    "tell of a task that is done": 1.0,
    "buy a pack": 0.01,  # 1,000 credits are a hundred tasks
    "send its receipt": 0.01,
}
FOR_AN_ACCOUNT = {"sign in": 2.0, "search for a customer": 0.02}  # a month
FOR_A_NEW_ACCOUNT = {"sign up": 1.0, "send a mail": 1.0}
SHARDS = {"due#n": DUE_SHARDS, "pending#n": 4, "in-progress#n": 4}
FIGURE_SHARDS = 64
# Rows that stay, for each: of the table, and so of its indexes. A mail stays 90 days.
ROWS_OF_A_TASK = {"Tasks": 1.0, "Results": 1.0, "Transactions": 1.01, "Audit": 2.0, "Payments": 0.01}
MAIL_MONTHS = 3


@dataclass(frozen=True)
class Size:
    name: str
    accounts: int
    tasks: int

    @property
    def tasks_a_month(self) -> float:
        return self.tasks / MONTHS

    def acts(self) -> dict[str, float]:
        """How often each happens in a month."""
        new = self.accounts / MONTHS
        found: dict[str, float] = defaultdict(float)
        for often, of in ((FOR_A_TASK, self.tasks_a_month), (FOR_AN_ACCOUNT, self.accounts), (FOR_A_NEW_ACCOUNT, new)):
            for act, times in often.items():
                found[act] += times * of
        found["look for mails in vain"] = MONTH_SECONDS  # a sender that has nothing to send looks once a second
        return dict(found)


SIZES = (
    Size("a thousand accounts", 1_000, 100_000),
    Size("fifty thousand", 50_000, 5_000_000),
    Size("a million", 1_000_000, 100_000_000),
)


@dataclass(frozen=True)
class Month:
    """Of one size: units, bytes and US$ of a month, and the least partitions of the largest table."""

    size: str
    tasks_a_second: float
    peak: float
    writes: float
    reads: float
    gigabytes: float
    partitions: int
    usd: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.usd.values())


def a_month(size: Size, measured: Measured) -> Month:
    acts = size.acts()
    writes = sum(measured.acts[act].write * times for act, times in acts.items())
    reads = sum(measured.acts[act].read * times for act, times in acts.items())
    stored = _stored(size, measured)
    gigabytes = sum(sum(parts.values()) for parts in stored.values()) / GB
    nightly = (
        sum(parts[""] for name, parts in stored.items() if name in CHECKED) / 4_096 * 30
    )  # strong: a unit for 4 KB
    mails = size.tasks_a_month * 1.01 + size.accounts / MONTHS
    usd = {
        "writes": writes * WRITE_USD,
        "reads": reads * READ_USD,
        "nightly check": nightly * READ_USD,
        "storage": max(0.0, gigabytes - FREE_GB) * STORED_USD,
        "recovery": gigabytes * RECOVERY_USD,
        "mail": mails * MAIL_USD,
    }
    mean = size.tasks_a_month / MONTH_SECONDS
    largest = max(max(parts.values()) for parts in stored.values()) / GB
    by_rate = mean * PEAK * _most_writes(measured) / KEY_WRITES
    partitions = max(1, math.ceil(largest / PARTITION_GB), math.ceil(by_rate))
    return Month(size.name, mean, mean * PEAK, writes, reads + nightly, gigabytes, partitions, usd)


CHECKED = ("Users", "Transactions", "Tasks", "Payments", "Results", "Figures")


def _stored(size: Size, measured: Measured) -> dict[str, dict[str, float]]:
    """Bytes of each table, and of its indexes."""
    of_accounts = measured.rows["Users"][0]
    rows: dict[str, float] = {name: times * size.tasks for name, times in ROWS_OF_A_TASK.items()}
    rows["Users"] = size.accounts
    rows["SearchKeys"] = size.accounts * measured.rows["SearchKeys"][0] / of_accounts
    rows["Outbox"] = size.tasks_a_month * MAIL_MONTHS
    return {
        name: {part: of_one * times for part, of_one in measured.rows[name][1].items()} for name, times in rows.items()
    }


def _most_writes(measured: Measured) -> float:
    """Units that a task writes, in all tables together: more than any table has."""
    return sum(measured.acts[act].write * times for act, times in FOR_A_TASK.items())


# Hot keys


@dataclass(frozen=True)
class HotKey:
    where: str
    key: str
    shards: int
    writes: float  # a task
    reads: float

    @property
    def breaks_at(self) -> float:
        """Tasks a second, submitted, done and told of, at which one shard takes no more."""
        most = max(self.writes / KEY_WRITES, self.reads / KEY_READS) / self.shards
        return 1 / most if most else math.inf

    def share(self, tasks_a_second: float) -> float:
        return tasks_a_second / self.breaks_at


def usd_for_1000(act: Act) -> float:
    """What DynamoDB charges on demand for a thousand of an act, both releases' places of mails written."""
    return 1_000 * (act.read * READ_USD + act.write * WRITE_USD)


def hot_keys(acts: Mapping[str, Act]) -> list[HotKey]:
    """Keys that many accounts share, hottest first. What no task causes counts as often as it happens beside one."""
    writes: dict[tuple[str, str], float] = defaultdict(float)
    reads: dict[tuple[str, str], float] = defaultdict(float)
    often = FOR_A_TASK | {"sign up": 0.01, "sign in": 0.02}  # at a million accounts and a hundred million tasks
    for act, times in often.items():
        for where, units in acts[act].shared_writes.items():
            writes[where] += units * times
        for where, units in acts[act].shared_reads.items():
            if act != "look at the queue":  # a few operators look, however many tasks there are
                reads[where] += units * times
    found = [HotKey(*where, _shards(*where), writes[where], reads[where]) for where in sorted({*writes, *reads})]
    return sorted(found, key=lambda key: key.breaks_at)


def _shards(where: str, key: str) -> int:
    return FIGURE_SHARDS if where == "Figures" else SHARDS.get(key, 1)


# Telling


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def tell(measured: Measured, alone: Measured) -> str:
    months = [a_month(size, measured) for size in SIZES]
    sizes = table(
        ["", *(month.size for month in months)],
        [
            ["accounts; tasks in all", *(f"{size.accounts:,}; {size.tasks:,}" for size in SIZES)],
            [
                "tasks a second, mean; at the peak",
                *(f"{month.tasks_a_second:.2f}; {month.peak:.1f}" for month in months),
            ],
            ["write units a month", *(f"{month.writes / 1e6:,.1f} M" for month in months)],
            ["read units a month", *(f"{month.reads / 1e6:,.1f} M" for month in months)],
            ["stored, with indexes", *(f"{month.gigabytes:,.1f} GB" for month in months)],
            ["partitions of the largest table, at least", *(str(month.partitions) for month in months)],
            *([f"US$: {name}", *(f"{month.usd[name]:,.2f}" for month in months)] for name in months[0].usd),
            ["**US$ a month**", *(f"**{month.total:,.2f}**" for month in months)],
        ],
    )
    acts = table(
        ["act", "RCU", "WCU", "WCU with `OUTBOX_ONE_KEY=0`", "US$ for 1,000"],
        [
            [name, f"{act.read:g}", f"{act.write:g}", f"{alone.acts[name].write:g}", f"{usd_for_1000(act):.4f}"]
            for name, act in measured.acts.items()
        ],
    )
    rows = table(
        ["table", "bytes of a row", "with its indexes"],
        [
            [name, f"{parts['']:,.0f}", f"{sum(parts.values()):,.0f}"]
            for name, (_, parts) in sorted(measured.rows.items())
        ],
    )
    keys = table(
        ["table or index", "key", "shards", "WCU, RCU a task", "at 50 tasks a second", "breaks at tasks a second"],
        [
            [
                *(key.where, f"`{key.key}`", str(key.shards), f"{key.writes:.3g}, {key.reads:.3g}"),
                *(f"{key.share(50):.1%}", f"{key.breaks_at:,.0f}"),
            ]
            for key in hot_keys(measured.acts)
            if key.breaks_at < 1e6
        ],
    )
    return f"## A month\n\n{sizes}\n\n## Acts\n\n{acts}\n\n## Rows\n\n{rows}\n\n## Keys\n\n{keys}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/scaling", description=__doc__)
    parser.add_argument("--json", action="store_true", help="the months and the keys as JSON")
    options = parser.parse_args()
    print("Doing each act once, with its calls counted ...", file=sys.stderr, flush=True)
    measured, alone = measure(alone=False), measure(alone=True)
    if options.json:
        months = [asdict(a_month(size, measured)) for size in SIZES]
        print(json.dumps({"months": months, "keys": [asdict(key) for key in hot_keys(measured.acts)]}, indent=2))
    else:
        print(tell(measured, alone))
    return 0


if __name__ == "__main__":
    sys.exit(main())
