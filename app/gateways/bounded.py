"""Sessions of `requests` on whose connections a whole answer is bounded, through a proxy as well."""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import HTTPAdapter

from app.data.connections import bound_pools


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *given: Any, **named: Any) -> None:
        super().init_poolmanager(*given, **named)
        bound_pools(self.poolmanager)

    def proxy_manager_for(self, *given: Any, **named: Any) -> Any:
        return bound_pools(super().proxy_manager_for(*given, **named))


def bounded_session() -> requests.Session:
    session = requests.Session()
    session.mount("https://", _Adapter())
    session.mount("http://", _Adapter())
    return session
