"""A link by which an operator gets past the maintenance page: the Worker's src/signature.js reads it."""

from __future__ import annotations

import hmac
import time
from hashlib import sha256

PURPOSE = "impacteragi edge pass v1"
LONGEST_HOURS = 24  # the Worker takes none that is good for longer


def pass_link(app_url: str, secret: str, *, hours: float) -> str:
    """Whoever opens it may look around until then, in that browser; it signs nobody in."""
    until = int(time.time() + hours * 3600)
    mac = hmac.new(secret.encode(), f"{PURPOSE}\n{until}".encode(), sha256).hexdigest()
    return f"{app_url}/.edge/pass?until={until}&mac={mac}"
