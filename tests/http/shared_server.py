"""The app as it is deployed, where all wait for a slot as long as it takes, and a line stands after a moment."""

from app.web.deps import KEY
from app.web.work_queue import Kind, Limit
from app.wsgi import app

_slots = app.extensions[KEY].places._slots
_slots._patience_seconds = 60
_limits = {kind: Limit(wait=60, burst=60) for kind in Kind} | {Kind.POLL: Limit(wait=60, burst=0.2)}
del _limits[Kind.BEGUN]
for _line in (_slots._queue._line, _slots._queue._beyond):
    _line._limits = _limits
