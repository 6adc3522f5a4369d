"""Forms of the finance pages."""

from __future__ import annotations

from datetime import datetime

from flask import Request
from flask_wtf import FlaskForm
from wtforms import StringField, ValidationError
from wtforms.validators import InputRequired, NumberRange

from app.domain.accounts import normalise_email
from app.domain.clock import month_of
from app.domain.codes import MAX_CODE_CREDITS, normalise_code
from app.domain.errors import Malformed
from app.domain.payment_list import STATES, PaymentFilter
from app.domain.payments import MAX_CREDITS_BY_HAND
from app.domain.text import shows

from .base import Day, IdempotencyKey, WholeNumber, rule
from .paging import read_month, read_search

MAX_REASON = 500


def read_payment_filter(request: Request, now: datetime) -> PaymentFilter:
    """This month, unless another is named, or a search with none. Raises Malformed."""
    q, month, state = read_search(request), read_month(request), request.args.get("state", "")
    if state and state not in STATES:
        raise Malformed(f"state must be one of {', '.join(STATES)}.")
    return PaymentFilter(month or ("" if q else month_of(now)), q, state)


class ReasonForm(FlaskForm):
    reason = StringField("Reason")

    def validate_reason(self, field: StringField) -> None:
        if not shows(field.data or ""):
            raise ValidationError("Say why: the reason goes into the audit log.")
        if len(field.data) > MAX_REASON or "\x00" in field.data:
            raise ValidationError(f"At most {MAX_REASON} characters.")


class CreditForm(ReasonForm):
    request_id = IdempotencyKey(required=False)
    email = StringField("Account (e-mail)", validators=[rule(normalise_email)])
    credits = WholeNumber(
        "Credits",
        such_as="1000",
        validators=[
            InputRequired("Say how many credits."),
            NumberRange(1, MAX_CREDITS_BY_HAND, f"From 1 to {MAX_CREDITS_BY_HAND:,} credits."),
        ],
    )


class PromotionalCodeForm(FlaskForm):
    request_id = IdempotencyKey(required=False)
    code = StringField("Code", validators=[rule(normalise_code)])
    credits = WholeNumber(
        "Credits for each account",
        such_as="100",
        validators=[
            InputRequired("Say how many credits."),
            NumberRange(1, MAX_CODE_CREDITS, f"From 1 to {MAX_CODE_CREDITS:,} credits."),
        ],
    )
    max_uses = WholeNumber(
        "Accounts that may redeem it",
        such_as="50",
        validators=[InputRequired("Say how often."), NumberRange(1, 1_000_000, "From 1 to 1,000,000 times.")],
    )
    expires_at = Day("First day it is over", validators=[InputRequired("Say until when.")])
    note = StringField("Note")
