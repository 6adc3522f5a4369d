"""Operators see what the doctor has found last, and a red dot while something is wrong; no page looks itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.domain.clock import utcnow
from app.domain.doctor import RIGHT, UNKNOWN, WRONG, Finding
from app.services import doctor
from app.services.doctor import keeping
from tests.routes.browser import Browser
from tests.support import make_account

FINE = Finding(RIGHT, "The tables are there.", "", "tables")
BAD = Finding(WRONG, "There is no bucket <results>.", "python scripts/setup_db.py", "bucket")
UNTOLD = Finding(UNKNOWN, "SES does not tell.", "give the role ses:GetAccount", "mail quota")


@pytest.fixture
def op(store, app) -> Browser:
    make_account(store, "op@example.com", role="admin")
    browser = Browser(app)
    browser.enter("op@example.com")
    return browser


@pytest.fixture
def keep(store, config, app):
    def kept(*findings: Finding, ago: timedelta = timedelta()) -> None:
        doctor.keep(store, config, findings, every_seconds=300, now=utcnow() - ago)
        app.extensions["impacteragi"].doctors_dot._next_look = 0.0  # its minute is over

    return kept


def words(page: Any) -> str:
    return " ".join(page.select_one("main").get_text().split())


def dot(page: Any) -> bool:
    return page.select_one("nav[aria-label=Operators] a[href='/admin/system'] .red") is not None


def test_nobody_has_looked_yet(op):
    page = op.page("/admin/system")

    assert "Nobody has looked yet." in words(page)
    assert not dot(page)


def test_what_is_wrong_comes_first_with_the_command_that_mends_it(op, keep):
    keep(FINE, UNTOLD, BAD, ago=timedelta(minutes=4))

    page = op.page("/admin/system")

    assert "Something is wrong. Found 4 minutes ago." in words(page)
    assert [heading.get_text() for heading in page.select("main h2")] == ["Wrong", "Unknown", "Right"]
    assert [code.get_text() for code in page.select("main dd code")] == [BAD.mend, UNTOLD.mend]
    assert BAD.sentence in words(page)


def test_a_green_one_is_said_with_its_age(op, keep):
    keep(FINE, ago=timedelta(minutes=2))

    page = op.page("/admin/system")

    assert "Nothing is wrong. Found 2 minutes ago." in words(page)
    assert not dot(page)


def test_an_old_one_is_told_as_such_however_green(op, keep):
    keep(FINE, ago=timedelta(hours=2))

    page = op.page("/admin/system")

    assert "This is old: it was found 2 hours ago, and nobody has looked since." in words(page)
    assert "Nothing is wrong" not in words(page)
    assert dot(op.page("/admin/overview"))


def test_every_operators_page_has_the_dot_and_a_customers_has_none(op, keep, store):
    keep(BAD)

    for path in ("/admin", "/admin/customers", "/admin/finance"):
        page = op.page(path)
        link = page.select_one("nav[aria-label=Operators] a[href='/admin/system']")
        assert dot(page), path
        assert (link.get_text(), link.select_one(".red")["aria-label"]) == ("System", "Something is wrong")
    assert op.page("/dashboard").select_one(".red") is None


def test_the_dot_costs_a_read_a_minute_and_not_one_a_page(op, keep, monkeypatch, store):
    keep(BAD)
    looks = []
    find = store.doctor.find
    monkeypatch.setattr(store.doctor, "find", lambda: (looks.append(1), find())[1])

    for _ in range(5):
        op.page("/admin/overview")

    assert len(looks) == 1


def test_a_page_waits_for_no_slow_store_and_shows_what_is_known(app, store, monkeypatch, keep):
    keep(BAD)
    dot_of = app.extensions["impacteragi"].doctors_dot
    assert dot_of.is_red(utcnow())
    monkeypatch.setattr(keeping, "PATIENCE_SECONDS", 0)
    dot_of._next_look = 0.0

    assert dot_of.is_red(utcnow()), "while the next look is under way"


def test_who_only_reads_the_page_asks_nobody(op, keep, monkeypatch):
    keep(FINE)
    monkeypatch.setattr(doctor.examination, "aside", lambda *given: pytest.fail("a check was made in a request"))

    assert "Nothing is wrong" in words(op.page("/admin/system"))


# How a request came


def test_how_a_request_came_is_said_to_nobody_without_a_proof(client):
    for proof in ("", "x", "eyJ"):
        assert client.get("/healthz/as-seen", headers={doctor.LOOK_HEADER: proof}).status_code == 404
