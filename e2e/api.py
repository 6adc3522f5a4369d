"""The JSON API, for what a journey wants to know or has others do: it works against any server."""

from __future__ import annotations

from typing import Any, Self

import httpx
import pyotp

from scripts.local.states.made import PASSWORD, Made


class Api:
    """One account's calls, signed in at the first of them. An operator's second factor is `secret`."""

    def __init__(self, url: str, who: Made | str, password: str = PASSWORD):
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=60)
        self._email = who if isinstance(who, str) else who.email
        self._password = password
        self._secret = "" if isinstance(who, str) else who.names.get("secret", "")

    def close(self) -> None:
        self._client.close()

    def user(self) -> dict[str, Any]:
        return self.ask("GET", "/api/user")

    @property
    def credits(self) -> int:
        return int(self.user()["credits"])

    def tasks(self) -> list[dict[str, Any]]:
        """Newest first."""
        return list(self.ask("GET", "/api/tasks?limit=100")["tasks"])

    def task(self, task_id: str) -> dict[str, Any]:
        return self.ask("GET", f"/api/tasks/{task_id}")

    def entries(self) -> list[tuple[str, int]]:
        """Type and amount of each row of the ledger, oldest first."""
        found = self.ask("GET", "/api/transactions?limit=100")["transactions"]
        return [(entry["type"], entry["amount"]) for entry in reversed(found)]

    def payment(self) -> str:
        """The payment that the newest purchase came from."""
        found = self.ask("GET", "/api/transactions?type=purchase&limit=1")["transactions"]
        return str(found[0]["stripe_payment_intent"])

    def submit(self, description: str) -> str:
        return str(self.ask("POST", "/api/tasks", description=description)["task_id"])

    def claim(self, task_id: str) -> Self:
        self.ask("POST", f"/api/admin/tasks/{task_id}/claim", minutes=30)
        return self

    def release(self, task_id: str) -> Self:
        self.ask("POST", f"/api/admin/tasks/{task_id}/release")
        return self

    def ask(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        if "Authorization" not in self._client.headers:
            self._sign_in()
        answer = self._client.request(method, path, json=body if method == "POST" else None)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        body_of: dict[str, Any] = answer.json()
        return body_of

    def _sign_in(self) -> None:
        proof = {"code": pyotp.TOTP(self._secret).now()} if self._secret else {}
        credentials = {"email": self._email, "password": self._password} | proof
        answer = self._client.post("/api/auth/login", json=credentials)
        assert answer.status_code == 200, answer.text
        self._client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
