"""Every metric there is: its name, its unit, its labels and what it says. docs/metrics.md has the same table.

Labels have few values each, whatever is asked of the server: the template of a route and never its path, the name of a
table, a kind. Nobody's address, id or words are ever one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .cells import Part

COUNTER, HISTOGRAM, GAUGE, UP_AND_DOWN = "counter", "histogram", "gauge", "up and down"
QUICK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
SLOW = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)
Labels = dict[str, str]
Told = Callable[[float, Labels], Any]  # what OpenTelemetry's instrument takes

ALL: dict[str, Instrument] = {}


class Instrument:
    """One metric. Where nothing is switched on `add`, `record` and `set` do nothing.

    `unit` is OpenTelemetry's: `s`, or a word in braces. `shared`: the scrape of one server gives it, from what its
    workers have counted; others are read from the store, or come over OTLP alone.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        unit: str,
        labels: tuple[str, ...],
        says: str,
        *,
        bounds: tuple[float, ...] = (),
        shared: bool = True,
    ) -> None:
        self.kind, self.name, self.unit, self.labels, self.says = kind, name, unit, labels, says
        self.bounds, self.shared = bounds, shared
        self.part: Part | None = None
        self.told: Told | None = None
        ALL[name] = self

    @property
    def prometheus_name(self) -> str:
        """As Prometheus names what comes to it over OTLP, too.

        https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#otlp-metric-points-to-prometheus
        """
        name = self.name.replace(".", "_") + ("_seconds" if self.unit == "s" else "")
        return name + ("_total" if self.kind == COUNTER else "")

    @property
    def numbers(self) -> int:
        """How many a series has: of a histogram its buckets, all beyond them, and the sum."""
        return len(self.bounds) + 2 if self.kind == HISTOGRAM else 1

    def key(self, values: Labels) -> bytes:
        """Raises KeyError for a label that is missing."""
        return b"\0".join(text.encode() for text in (self.name, *[values[label] for label in self.labels]))

    def add(self, amount: float = 1, **values: str) -> None:
        """To a counter, or up and down."""
        if self.part is not None and self.shared:
            self.part.add(self.key(values), ((0, amount),), 1)
        if self.told is not None:
            self.told(amount, values)

    def record(self, amount: float, **values: str) -> None:
        """Into a histogram."""
        if self.part is not None and self.shared:
            bucket = next((place for place, bound in enumerate(self.bounds) if amount <= bound), len(self.bounds))
            self.part.add(self.key(values), ((bucket, 1.0), (len(self.bounds) + 1, amount)), self.numbers)
        if self.told is not None:
            self.told(amount, values)

    def set(self, amount: float, **values: str) -> None:
        """How it stands now."""
        if self.part is not None and self.shared:
            self.part.set(self.key(values), amount)
        if self.told is not None:
            self.told(amount, values)


def labels_of(instrument: Instrument, key: bytes) -> Labels:
    return dict(zip(instrument.labels, key.decode().split("\0")[1:], strict=True))


REQUESTS = Instrument(
    HISTOGRAM,
    "dashboard.request.duration",
    "s",
    ("route", "method", "status"),
    "Requests by the template of their route, and seconds until their answer began.",
    bounds=QUICK,
)
STORE_CALLS = Instrument(
    HISTOGRAM,
    "dashboard.dynamodb.duration",
    "s",
    ("action", "outcome"),
    "Calls to DynamoDB, with all tries of each.",
    bounds=QUICK,
)
STORE_TRIES = Instrument(
    COUNTER,
    "dashboard.dynamodb.tries",
    "{try}",
    ("action", "table", "outcome"),
    "Tries of calls to DynamoDB: ok, refused by a condition, throttled, failed.",
)
STORE_UNITS = Instrument(
    COUNTER,
    "dashboard.dynamodb.units",
    "{unit}",
    ("action", "table"),
    "Capacity units that DynamoDB says it has used.",
)
LEDGER_MOVES = Instrument(
    COUNTER, "dashboard.ledger.moves", "{row}", ("kind",), "Rows that this process has written to ledgers."
)
LEDGER_CREDITS = Instrument(
    COUNTER,
    "dashboard.ledger.credits",
    "{credit}",
    ("kind", "way"),
    "Credits that those rows have moved: into accounts (in) and out of them (out).",
)
PAYMENT_DELAY = Instrument(
    HISTOGRAM,
    "dashboard.payment.delay",
    "s",
    (),
    "Seconds from Stripe's word of a payment to its credits.",
    bounds=SLOW,
)
OUTSIDE_CALLS = Instrument(
    HISTOGRAM,
    "dashboard.outside.duration",
    "s",
    ("service", "call", "outcome"),
    "Calls to Stripe, SES and S3, as who asked met them: ok, refused, failed (or not asked at all).",
    bounds=(*QUICK, 30.0, 60.0),
)
BREAKERS = Instrument(
    GAUGE,
    "dashboard.breakers.open",
    "{worker}",
    ("service",),
    "Workers that leave a service alone because it does not answer.",
)
SLOTS_USED = Instrument(UP_AND_DOWN, "dashboard.slots.used", "{slot}", (), "Requests at work, of all workers.")
SLOTS_WAITING = Instrument(
    UP_AND_DOWN, "dashboard.slots.waiting", "{request}", (), "Requests that wait for a work slot."
)
WAITERS = Instrument(
    UP_AND_DOWN, "dashboard.waiters", "{request}", (), "Requests that wait for news (`?wait=`), without a slot."
)
SLOTS_REFUSED = Instrument(
    COUNTER,
    "dashboard.slots.refused",
    "{request}",
    ("kind", "why"),
    "Requests told to come again (503) for want of a work slot: poll, page, change, paid (Stripe's webhooks); for more "
    "is asked than can be done (busy), or by one account more than its share while others wait (share).",
)
WRONG_SIGNATURES = Instrument(
    COUNTER,
    "dashboard.webhooks.refused",
    "{webhook}",
    ("why",),
    "Webhooks whose signature none of our secrets made.",
)
CSP_REPORTS = Instrument(
    COUNTER,
    "dashboard.csp.reports",
    "{report}",
    ("directive",),
    "Reports of browsers that refused something by our policy. Anybody can send one.",
)
ALERTS = Instrument(
    COUNTER, "dashboard.alerts", "{line}", ("kind",), "Lines of the log that an alarm rings for, by their alert."
)
ERRORS = Instrument(COUNTER, "dashboard.errors", "{line}", (), "Errors in the log.")
MAILS_OFFERED = Instrument(
    COUNTER,
    "dashboard.mails",
    "{mail}",
    ("kind", "outcome"),
    "Mails that were offered to SES: sent, put off, given up. Of the mail sender, so over OTLP alone.",
)
WEBHOOKS_SENT = Instrument(
    COUNTER,
    "dashboard.webhooks.sent",
    "{try}",
    ("outcome",),
    "Events sent to customers' endpoints: sent, put off, given up, dropped; paused: endpoints. Of the sender alone.",
)
COMMANDS = Instrument(
    HISTOGRAM,
    "dashboard.commands.duration",
    "s",
    ("command", "status"),
    "Scheduled commands that have ended. Of their own processes, so over OTLP alone.",
    bounds=SLOW,
)
OLDEST = Instrument(
    GAUGE,
    "dashboard.oldest",
    "s",
    ("what",),
    "How long the oldest has waited: mail, task, check, payment (parked), webhook (due, not taken); ses: how long SES "
    "takes none.",
    shared=False,
)
WAITING = Instrument(
    GAUGE,
    "dashboard.waiting",
    "{thing}",
    ("what",),
    "How many wait: mail and mail_failed up to 100, webhook up to 100 a shard, task and task_in_progress up to 1,000 a "
    "shard; webhook_paused: endpoints that we paused.",
    shared=False,
)
MISSED = Instrument(
    GAUGE,
    "dashboard.missed",
    "s",
    (),
    "How long ago something was found at Stripe that had never reached us.",
    shared=False,
)
LOOKED = Instrument(
    GAUGE,
    "dashboard.looked",
    "s",
    (),
    "How old what is said of waiting is: the mail sender looks every minute.",
    shared=False,
)
COMMAND_ENDED = Instrument(
    GAUGE, "dashboard.command.ended", "s", ("command",), "How long ago a scheduled command ended.", shared=False
)
COMMAND_STATUS = Instrument(
    GAUGE, "dashboard.command.status", "{status}", ("command",), "The status that it ended with.", shared=False
)
WRONG = Instrument(
    GAUGE, "dashboard.doctor.wrong", "{finding}", (), "What the doctor's last examination found wrong.", shared=False
)
EXAMINED = Instrument(GAUGE, "dashboard.doctor.age", "s", (), "How old the doctor's last examination is.", shared=False)
BOOKS = Instrument(
    GAUGE, "dashboard.books.differences", "{difference}", (), "What the last check of the books found.", shared=False
)
STORE_READ = Instrument(
    GAUGE, "dashboard.store.read", "{answer}", (), "1 where what the store says could be read for this.", shared=False
)
DROPPED = Instrument(
    COUNTER,
    "dashboard.metrics.dropped",
    "{call}",
    (),
    "What was not counted for want of room: more series than there can be.",
    shared=False,
)

# What the log may say under "alert", in any process.
ALERT_KINDS = ["clock", "doctor", "edge", "ledger", "mail", "mail_failed", "missed", "parked", "sale", "webhook"]


def begin() -> None:
    """Counters that a rule looks for a growth of are there from the start: from nothing to 1 is no growth."""
    for kind in ALERT_KINDS:
        ALERTS.add(0, kind=kind)
    for kind in ("poll", "page", "change", "paid"):
        for why in ("busy", "share"):
            SLOTS_REFUSED.add(0, kind=kind, why=why)
    ERRORS.add(0)
