"""Signatures with a time in them, by the clock that dates what is stored: it need not be this machine's."""

from __future__ import annotations

import hmac
from hashlib import sha256

import itsdangerous
from itsdangerous.encoding import base64_encode, int_to_bytes, want_bytes

from app.domain.clock import utcnow

LEEWAY_SECONDS = 10  # between the clocks of two machines, as for tokens


class Signer(itsdangerous.TimestampSigner):
    """Dates a signature a little early: a machine that is a moment behind would refuse it as one from the future."""

    def get_timestamp(self) -> int:
        return int(utcnow().timestamp())

    def sign(self, value: str | bytes) -> bytes:
        moment = base64_encode(int_to_bytes(self.get_timestamp() - LEEWAY_SECONDS))
        return itsdangerous.Signer.sign(self, want_bytes(value) + want_bytes(self.sep) + moment)


class TimedSerializer(itsdangerous.URLSafeTimedSerializer):
    default_signer = Signer


def derive_key(secret: str, purpose: str) -> str:
    """A key of its own for each use, so that a cookie can never be taken for a token."""
    return hmac.new(secret.encode(), purpose.encode(), sha256).hexdigest()
