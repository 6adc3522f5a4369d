"""The password again, before something that changes how an account is entered or where it is reached."""

from __future__ import annotations

from flask import g

from app.domain.errors import InvalidInput
from app.services import accounts
from app.web import deps
from app.web.sessions import current_session_key


def check_password(password: str) -> None:
    """Raises BadCredentials; InvalidInput where this session (or this mailbox) must be proven first."""
    account = g.account
    with deps.get().throttle.password_again(current_session_key()):
        accounts.check_password(deps.get().passwords, account, password)
    if not account.confirmed:
        raise InvalidInput("Confirm your e-mail address first: the link is in your mailbox.")
    if account.has_second_factor and g.session.mfa_at is None:
        raise InvalidInput("Prove the second factor that you have first.")
