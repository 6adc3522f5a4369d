"""`python -m scripts.local.demo`: the demo accounts, with their month; prints a line of JSON for each account."""

from __future__ import annotations

import json
import os
from typing import Any

from app import create_app
from app.config import Config
from app.domain.clock import utcnow
from app.services import seed
from app.web import deps
from scripts.local.control_call import control
from scripts.local.states.here import check

from .make import LENGTH, Month, is_wanted


def main() -> None:
    config = Config.from_env(os.environ)
    check(config)
    app = create_app(config)
    with app.app_context():
        found, begin = deps.get(), utcnow() - LENGTH
        password = os.environ.get("DEMO_PASSWORD")
        lines = list(seed.demo(found.store, found.passwords, password=password, now=begin))
        if is_wanted(found, utcnow()):
            Month(found, deps.named_sales(), _stand_in).make()
    for line in lines:
        print(json.dumps(line))


def _stand_in(path: str, body: dict[str, Any] | None) -> Any:
    return control(os.environ["STRIPE_API_BASE"], path, body)


if __name__ == "__main__":
    main()
