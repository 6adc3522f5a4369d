"""Errors in the shape in which Stripe's API sends them."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An answer of the API that is not a success."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        decline_code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind
        self.code = code
        self.param = param
        self.decline_code = decline_code

    def body(self) -> dict[str, Any]:
        error: dict[str, Any] = {"type": self.kind, "message": self.message}
        for name in ("code", "param", "decline_code"):
            if value := getattr(self, name):
                error[name] = value
        return {"error": error}


def missing_object(kind: str, object_id: str, *, param: str = "id", status: int = 404) -> ApiError:
    return ApiError(f"No such {kind}: '{object_id}'", status=status, code="resource_missing", param=param)
