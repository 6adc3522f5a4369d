"""Checks of what customers are told: whom to write to, and what holds between them and whoever runs this."""

from __future__ import annotations

from collections.abc import Iterator

from app.domain.doctor import Finding, not_asked, right, wrong

from .patient import Check, Patient


def whom_to_write_to(patient: Patient) -> Iterator[Finding]:
    if not patient.config.is_production:
        yield not_asked("In development nobody needs an address to write to.")
    elif not patient.config.support_email:
        sentence = "SUPPORT_EMAIL is not set: where pages and mails say “write to us” no address stands."
        yield wrong(sentence, "SUPPORT_EMAIL=<an address>; on AWS the parameter SupportEmail of service.yaml")
    else:
        yield right(f"Customers write to {patient.config.support_email}.")


def texts(patient: Patient) -> Iterator[Finding]:
    if not patient.config.is_production:
        yield not_asked("In development contact, terms and privacy may say that they are not filled in.")
        return
    for name in patient.texts.not_filled_in:
        sentence = f"PAGES_DIR: there is no {name}.md, so /{name} says that it is not filled in yet."
        yield wrong(sentence, f"PAGES_DIR=<a folder with {name}.md> (docs/operating.md, Who runs it)")
    if not patient.texts.not_filled_in:
        yield right("Contact, terms and privacy are filled in.")


CHECKS = (
    Check("support address", whom_to_write_to, before_release=False),
    Check("texts", texts, before_release=False),
)
