"""The forms of the account page and of the second factor."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    HiddenField,
    PasswordField,
    SelectMultipleField,
    StringField,
    ValidationError,
)
from wtforms.validators import Optional

from app.domain.accounts import MAX_LOW_BALANCE, check_new_password, normalise_email
from app.domain.mails import OPTIONAL
from app.domain.text import compact
from app.services.webhooks import Wishes

from .base import WholeNumber, rule


class ChangePasswordForm(FlaskForm):
    current_password = PasswordField("Current password")
    new_password = PasswordField("New password", validators=[rule(check_new_password)])
    keys_too = BooleanField("API keys")


class ChangeEmailForm(FlaskForm):
    new_email = StringField("New e-mail address", validators=[rule(normalise_email)])
    password = PasswordField("Your password", id="email-password")  # another form of the page has one, too


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


class MailsForm(FlaskForm):
    """A field for each kind of mail that one may do without, by its name."""

    task_completed = BooleanField("A task is done")
    task_rejected = BooleanField("A task could not be done, and its credits are back")
    low_balance = BooleanField("The balance has fallen below what the settings say")
    receipt = BooleanField("Receipts of what you buy")

    @classmethod
    def showing(cls, unwanted: frozenset[str]) -> MailsForm:
        return cls(formdata=None, data={kind: kind not in unwanted for kind in OPTIONAL})

    @property
    def kinds(self) -> list[BooleanField]:
        return [self[kind] for kind in OPTIONAL]

    @property
    def unwanted(self) -> frozenset[str]:
        return frozenset(field.name for field in self.kinds if not field.data)


class DeleteForm(FlaskForm):
    password = PasswordField("Your password")


class KeyForm(FlaskForm):
    """A new API key. `may` are its scopes; without a number it has no limit, and with 0 days it does not run out."""

    name = StringField("Name")
    may = SelectMultipleField("What it may do", choices=[], validate_choice=False, id="scopes")
    credits_a_month = WholeNumber("Credits a month", such_as="500", validators=[Optional()])
    days = WholeNumber("Runs out", such_as="90", default=0)
    password = PasswordField("Your password", id="key-password")


class EndpointForm(FlaskForm):
    """A webhook endpoint, new or changed. `types` are the events that it wants; the service says what is wrong."""

    url = StringField("Address")
    name = StringField("Name")
    types = SelectMultipleField("Events", choices=[], validate_choice=False)
    password = PasswordField("Your password", id="endpoint-password")

    @property
    def wishes(self) -> Wishes:
        return Wishes(self.url.data or "", tuple(self.types.data or ()), self.name.data or "")


class PasswordAgainForm(FlaskForm):
    """The password again, before the second factor is changed."""

    password = PasswordField("Your password")


class SecondFactorCodeForm(FlaskForm):
    code = StringField("Code")


class PasskeyForm(FlaskForm):
    """`credential` is what the browser's authenticator answered, as JSON: passkeys.js fills it in."""

    name = StringField("Name")
    credential = HiddenField()
