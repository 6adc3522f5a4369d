"""Sign-up, sign-in and password forms."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import HiddenField, PasswordField, StringField

from app.domain.accounts import check_new_password, normalise_email

from .base import rule


class LoginForm(FlaskForm):
    email = StringField("E-mail")
    password = PasswordField("Password")
    next = HiddenField()


class SignupForm(FlaskForm):
    email = StringField("E-mail", validators=[rule(normalise_email)])
    password = PasswordField("Password", validators=[rule(check_new_password)])


class PasswordForm(FlaskForm):
    password = PasswordField("New password", validators=[rule(check_new_password)])
    link = HiddenField()  # a mark of the mailed link that this form was shown for


class EmailForm(FlaskForm):
    email = StringField("E-mail", validators=[rule(normalise_email)])
