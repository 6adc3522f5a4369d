"""The app as it is deployed, where polls and pages wait a moment for a slot, and who does something for a minute."""

from app.web.deps import KEY
from app.web.work_queue import Kind, Limit
from app.wsgi import app

_slots = app.extensions[KEY].places._slots
_slots._patience_seconds = 60
_limits = {
    Kind.POLL: Limit(wait=0.05, burst=0.05),
    Kind.PAGE: Limit(wait=0.1, burst=0.1),
    Kind.CHANGE: Limit(wait=60, burst=60),
    Kind.PAID: Limit(wait=60, burst=60),
}
for _line in (_slots._queue._line, _slots._queue._beyond):
    _line._limits = _limits
