"""The forms of the account page and of the second factor."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import BooleanField, HiddenField, PasswordField, StringField, ValidationError

from app.domain.accounts import MAX_LOW_BALANCE, check_new_password
from app.domain.text import compact

from .base import rule


class ChangePasswordForm(FlaskForm):
    current_password = PasswordField("Current password")
    new_password = PasswordField("New password", validators=[rule(check_new_password)])


class SettingsForm(FlaskForm):
    low_balance_threshold = StringField("Alert threshold")
    theme = StringField("Theme")
    shortcuts = BooleanField("Keyboard", false_values=("", "off", None))

    @property
    def threshold(self) -> int:
        return int(compact(self.low_balance_threshold.data))

    def validate_low_balance_threshold(self, field: StringField) -> None:
        text = compact(field.data)
        if not (text.isascii() and text.isdigit() and len(text) < 9):
            raise ValidationError(f"Use a whole number from 0 to {MAX_LOW_BALANCE:,}.")


class DeleteForm(FlaskForm):
    password = PasswordField("Your password")


class PasswordAgainForm(FlaskForm):
    """The password again, before the second factor is changed."""

    password = PasswordField("Your password")


class SecondFactorCodeForm(FlaskForm):
    code = StringField("Code")


class PasskeyForm(FlaskForm):
    """`credential` is what the browser's authenticator answered, as JSON: passkeys.js fills it in."""

    name = StringField("Name")
    credential = HiddenField()
