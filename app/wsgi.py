"""The WSGI app, as `python -m app.web.serve` imports it. A wrong setting ends the process with a sentence."""

import sys

from app import create_app
from app.config import ConfigError
from app.web import deps

try:
    app = create_app()
    with app.app_context():
        deps.get().clock.check_at_start(deps.store())
except ConfigError as error:
    sys.exit(f"Configuration: {error}")
