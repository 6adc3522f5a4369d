"""What time it is for the store: every answer of DynamoDB, a refusal too, carries a Date header."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from app.domain.clock import machine_now
from app.domain.clock_reading import ClockReading
from app.domain.errors import StoreUnavailable

from .answers import date_of


def read_clock(client: Any, table: str, now: Callable[[], datetime] = machine_now) -> ClockReading | None:
    """Compare this machine's own clock by one free call; None when the answer has no date. Raises StoreUnavailable.

    Not through `call`: a signature that is refused because of the clock is the answer that matters most.
    """
    began = time.monotonic()  # the clock in question may be set while the answer is on its way
    try:
        answer = client.describe_table(TableName=table)
    except ClientError as refusal:
        answer = refusal.response
    except (BotoCoreError, ResponseParserError, ValueError) as error:
        raise StoreUnavailable from error
    round_trip = timedelta(seconds=time.monotonic() - began)
    answered_at = now()
    stated = date_of(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}))
    return ClockReading.of(stated, answered_at, round_trip) if stated else None
