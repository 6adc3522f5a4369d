"""What is asked of who makes, moves or tests a webhook endpoint, by a page or by the API."""

from __future__ import annotations

from flask import g

from app.domain.webhooks import Endpoint
from app.services.throttle import KEYS_BY_ACCOUNT
from app.web import deps
from app.web.password_again import check_password


def count() -> None:
    """Raises RateLimited."""
    deps.get().throttle.hit(KEYS_BY_ACCOUNT, "webhooks", g.account.email, said="You have asked for many webhooks.")


def check_move(endpoint: Endpoint, url: str, password: str) -> None:
    """Another address takes the password, as a new endpoint does. Raises BadCredentials and RateLimited."""
    if url != endpoint.url:
        check_password(password)
        count()
