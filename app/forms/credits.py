"""Buying credits and redeeming codes."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import HiddenField, StringField

from app.domain.codes import normalise_code

from .base import IdempotencyKey, rule


class BuyForm(FlaskForm):
    pack = HiddenField()


class RedeemForm(FlaskForm):
    code = StringField("Code", validators=[rule(normalise_code)])
    request_id = IdempotencyKey(required=False)
