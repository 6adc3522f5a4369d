"""The app as it is deployed, none of whose slots is free and whose callers have little patience: a full server."""

from app.web.deps import KEY
from app.web.work_slots import SLOTS
from app.wsgi import app

_slots = app.extensions[KEY].places._slots
_slots._patience_seconds = 0.05
for _ in range(SLOTS):
    assert _slots._take()
