"""Second factors: which code of an authenticator is right now, and what a recovery code looks like."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime

import pyotp

from .text import compact

STEP_SECONDS = 30
DRIFT_STEPS = 1  # a clock half a minute off still works: https://datatracker.ietf.org/doc/html/rfc6238#section-5.2
RECOVERY_CODES = 10
ISSUER = "ImpacterAGI"
MAX_PASSKEY_NAME = 40


def new_totp_secret() -> str:
    return pyotp.random_base32()  # 160 bits


def totp_uri(secret: str, email: str) -> str:
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER)


def totp_counter(secret: str, code: str, now: datetime, last_used: int) -> int | None:
    """The time step that `code` belongs to, or None: wrong, too old, or not newer than the last one that was used."""
    totp = pyotp.TOTP(secret)
    current = int(now.timestamp()) // STEP_SECONDS
    steps = range(current - DRIFT_STEPS, current + DRIFT_STEPS + 1)
    matching = [step for step in steps if hmac.compare_digest(totp.generate_otp(step), code)]
    return next((step for step in matching if step > last_used), None)


def digits(code: object) -> str | None:
    """The six digits that a person typed or pasted, spaces or not; None when it is no such code."""
    text = compact(code)
    return text if len(text) == 6 and text.isascii() and text.isdigit() else None


def new_recovery_codes() -> list[str]:
    """Ten codes of 120 bits, in groups that can be read out."""
    return [_grouped(base64.b32encode(secrets.token_bytes(15)).decode().lower()) for _ in range(RECOVERY_CODES)]


def recovery_hash(code: object) -> str | None:
    """What the store keeps of a code, however it was spaced or capitalised; None when it cannot be one."""
    text = compact(code).lower().replace("-", "")
    if len(text) != 24 or not text.isascii() or not text.isalnum():
        return None
    return hashlib.sha256(f"recovery:{text}".encode()).hexdigest()[:40]


def proven_since(password_hash: str | None, recovery_codes: Iterable[str]) -> str:
    """Changes when the owner proves himself by other means than the authenticator: a new password, a recovery code."""
    return hashlib.sha256("\n".join([password_hash or "", *sorted(recovery_codes)]).encode()).hexdigest()[:16]


def _grouped(text: str) -> str:
    return "-".join(text[start : start + 6] for start in range(0, len(text), 6))
