"""The WSGI app, as `python -m app.serve` imports it. A wrong setting ends the process with a sentence."""

import sys

from app import create_app, deps
from app.config import ConfigError

try:
    app = create_app()
    with app.app_context():
        deps.get().clock.check_at_start(deps.store())
except ConfigError as error:
    sys.exit(f"Configuration: {error}")
