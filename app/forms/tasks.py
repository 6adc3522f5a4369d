"""The composer and the filter of the history."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import HiddenField, TextAreaField, ValidationError

from app.domain.errors import Malformed
from app.domain.tasks import check_description, check_request_id

from .base import rule, unix_newlines


class TaskForm(FlaskForm):
    description = TextAreaField(filters=[unix_newlines], validators=[rule(check_description)])
    request_id = HiddenField()

    def validate_request_id(self, field: HiddenField) -> None:
        try:
            check_request_id(field.data or "")
        except Malformed as error:
            raise ValidationError(error.message) from error
