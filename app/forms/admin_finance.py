"""Forms of the finance pages."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import HiddenField, StringField, ValidationError
from wtforms.validators import InputRequired, NumberRange

from app.domain.accounts import normalise_email
from app.domain.codes import MAX_CODE_CREDITS, normalise_code
from app.domain.payments import MAX_CREDITS_BY_HAND
from app.domain.text import shows

from .base import Day, WholeNumber, rule

MAX_REASON = 500


class ReasonForm(FlaskForm):
    reason = StringField("Reason")

    def validate_reason(self, field: StringField) -> None:
        if not shows(field.data or ""):
            raise ValidationError("Say why: the reason goes into the audit log.")
        if len(field.data) > MAX_REASON or "\x00" in field.data:
            raise ValidationError(f"At most {MAX_REASON} characters.")


class CreditForm(ReasonForm):
    request_id = HiddenField()
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
    request_id = HiddenField()
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
