"""The same states, made by the panel of a run that is running: `scripts/run` of this folder or of another."""

from __future__ import annotations

from typing import Any

from scripts.local.control_call import ControlError, control

from .made import CannotMake, Made


class DistantStates:
    """`states.owing(days=3)` as States has it, with the panel at this address."""

    def __init__(self, panel: str) -> None:
        self._panel = panel

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda **given: self._make(name, given)

    def leave(self, email: str) -> None:
        """As States.leave."""
        self._ask("leave", {"email": email})

    def _make(self, name: str, given: dict[str, Any]) -> Made:
        return Made(**self._ask(f"states/{name}", given))

    def _ask(self, path: str, given: dict[str, Any]) -> Any:
        try:
            return control(self._panel, path, given)
        except ControlError as error:
            said = error.body["error"]["message"] if isinstance(error.body, dict) else error
            raise CannotMake(str(said)) from error
