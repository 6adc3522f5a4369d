"""The front page promises what the product keeps, and says what it has measured."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from time import monotonic

from app import create_app
from app.config import Pack
from app.data.threads import Readers
from app.domain.errors import StoreUnavailable
from app.domain.tasks import MAX_DESCRIPTION, REDO_WINDOW
from app.services.figures import KEPT_SECONDS, PUBLIC_SAMPLES, Usual, UsualTime
from tests.routes.browser import Browser
from tests.support import NOW, FakeSender


def finish(store, tasks: int, minutes: int = 27) -> None:
    for _ in range(tasks):
        store.updates.figures.note_turnaround(NOW, NOW + timedelta(minutes=minutes))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def words(browser: Browser) -> str:
    return " ".join(browser.page("/").select_one("main").text.split())


def test_the_time_that_tasks_take_is_told_once_enough_were_measured(store, app):
    finish(store, PUBLIC_SAMPLES - 1)
    assert "How long it takes is measured, and told once" in words(Browser(app))
    finish(store, 1)

    said = words(Browser(create_app(app.extensions["impacteragi"].config, store=store, sender=FakeSender())))

    assert "Of the last 20 tasks that were completed, half took 27 minutes or less; that is measured" in said


def test_however_many_come_the_store_is_looked_at_once_in_a_while(browser, calls):
    browser.get("/")
    with calls() as made:
        for _ in range(20):
            browser.get("/")

    assert made == []


def test_what_is_known_is_kept_while_the_store_is_down_and_asked_for_again_later(store, monkeypatch):
    finish(store, PUBLIC_SAMPLES)
    clock, looks = Clock(), []
    usual = UsualTime(store, Readers(1), clock)
    known = usual.known()

    def down() -> None:
        looks.append(clock.now)
        raise StoreUnavailable

    monkeypatch.setattr(store.figures, "turnarounds", down)
    for clock.now in (KEPT_SECONDS - 1, KEPT_SECONDS, KEPT_SECONDS + 1, 2 * KEPT_SECONDS):
        assert usual.known() == known == Usual(27, PUBLIC_SAMPLES)

    assert looks == [KEPT_SECONDS, 2 * KEPT_SECONDS]


def test_nobody_waits_for_a_store_that_does_not_answer(store):
    class Stuck(Readers):
        def begin(self, read):
            return Future()

    class Busy(Readers):
        def begin(self, read):
            return None

    for readers in (Stuck(1), Busy(1)):
        started = monotonic()
        assert UsualTime(store, readers).known() is None
        assert monotonic() - started < 2


def test_what_it_says_of_a_task_is_what_holds_for_one(browser):
    said = words(browser)

    assert f"text, up to {MAX_DESCRIPTION:,} characters" in said
    assert f"if you ask within {REDO_WINDOW.days} days; not a second time" in said
    assert "attachment" not in said, "a customer can send none"


def test_what_is_shown_is_the_pack_that_is_for_sale(config, store, stripe):
    config = replace(config, packs=(Pack("pack-500", 500, 500),))

    page = Browser(create_app(config, store=store, sender=FakeSender(), stripe=stripe)).page("/")

    shown = list(page.select_one(".voucher").stripped_strings)
    assert shown == ["Prepaid voucher", "500", "credits", "about 50 tasks", "$5.00", "1¢ a credit"]


def test_it_loads_no_script(browser):
    assert not browser.page("/").select("script")
