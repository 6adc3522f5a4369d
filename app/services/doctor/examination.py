"""An examination: every check, beside one another, each with a time of its own. It writes nothing of ours."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooSlow
from dataclasses import replace
from time import monotonic

from app.data.client import OutOfReach, Refused
from app.data.threads import aside
from app.domain.doctor import CannotTell, Finding, not_asked, unknown
from app.domain.errors import DomainError

from . import backup, cloudflare, files, mail, metrics, payments, people, reach, secrets, store, work
from .patient import Check, Patient

log = logging.getLogger(__name__)

FAMILIES: dict[str, tuple[Check, ...]] = {
    "store": store.CHECKS,
    "files": files.CHECKS,
    "backup": backup.CHECKS,
    "mail": mail.CHECKS,
    "payments": payments.CHECKS,
    "reach": reach.CHECKS,
    "cloudflare": cloudflare.CHECKS,
    "secrets": secrets.CHECKS,
    "work": work.CHECKS,
    "people": people.CHECKS,
    "metrics": metrics.CHECKS,
}
CHECKS = tuple(check for checks in FAMILIES.values() for check in checks)


def examine(
    patient: Patient, *, before_release: bool = False, checks: Iterable[Check] = (), families: Iterable[str] = ()
) -> list[Finding]:
    """What every check finds, in their order; a check is asked once, whatever it meets. Raises nothing of theirs.

    `before_release` leaves out what only a release can mend. `checks` or `families` alone are asked where any is named.
    """
    wanted = [*checks, *(check for family in families for check in FAMILIES[family])] or list(CHECKS)
    began = monotonic()
    begun = [(check, _begin(check, patient, before_release)) for check in wanted]
    return [finding for check, look in begun for finding in _found(check, look, began)]


def _begin(check: Check, patient: Patient, before_release: bool) -> Future[list[Finding]] | None:
    if before_release and not check.before_release:
        return None
    return aside(lambda: list(check.look(patient)), f"doctor: {check.name}")


def _found(check: Check, look: Future[list[Finding]] | None, began: float) -> Iterator[Finding]:
    for finding in _answer(check, look, began):
        yield replace(finding, name=check.name)


def _answer(check: Check, look: Future[list[Finding]] | None, began: float) -> list[Finding]:
    if look is None:
        return [not_asked("Not before a release, which may be what mends it.")]
    try:
        return look.result(max(0.0, began + check.seconds - monotonic()))
    except TooSlow:
        return [unknown(f"No answer within {check.seconds:g} s.")]
    except CannotTell as reason:
        return [unknown(_sentence(str(reason)), reason.mend)]
    except (DomainError, Refused, OutOfReach) as error:
        return [unknown(*_refused(error))]
    except Exception as error:
        log.exception("a check of the doctor broke off", extra={"check": check.name})
        return [unknown(f"The check itself broke off ({type(error).__name__}): the log has its trace.")]


def _refused(error: Exception) -> tuple[str, str]:
    """What a service of AWS has said, where that is known: our own sentence is for customers."""
    said = getattr(error, "response", None) or getattr(error.__cause__, "response", None)
    code = said.get("Error", {}).get("Code", "") if isinstance(said, dict) else ""
    if code.startswith("AccessDenied"):
        return f"AWS refuses to tell ({code}).", "give the role what CommandRole of deploy/aws/service.yaml has"
    if code:
        return f"AWS does not tell ({code}).", ""
    if isinstance(error, DomainError):
        return _sentence(error.message.partition(". ")[0]), ""
    return f"AWS does not answer ({type(error).__name__}).", ""


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + ("" if words.endswith((".", "!", "?")) else ".")
