"""The Idempotency-Key: one reader, so that each odd key gets the same clear answer everywhere."""

from __future__ import annotations

from app.domain.errors import Malformed
from app.domain.tasks import MAX_IDEMPOTENCY_KEY, check_idempotency_key

IDEMPOTENCY_KEY = "Idempotency-Key"


def check_key(key: str) -> str:
    """The key under which a repeat is the same request, as its header has it.

    Raises Malformed for one that is there but empty: granian hands a header with a character outside ASCII on as empty
    text, and a client that believes to have sent a key would be charged for each retry.
    """
    if not key.strip():
        raise Malformed(
            f"The {IDEMPOTENCY_KEY} is empty or not ASCII: send 1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters, "
            "or no such header. Nothing was charged."
        )
    return check_idempotency_key(key)
