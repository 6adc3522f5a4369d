"""From a click to the first frame that shows what it changed, in Chromium, against the app as it is served."""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from playwright.sync_api import Locator, Page, sync_playwright

from app.domain.clock import utcnow
from app.domain.tasks import Task
from app.services import tasks
from scripts.benchmarks.world import Visitor, World
from scripts.local.ports import HOST

TIMES = 15
BROWSERS = ("/usr/bin/chromium-headless-shell", "/usr/bin/chromium")
# Arming names an element; the clock starts with the click or the choice, and stops in the frame after the element is
# there and says something else, be it in the same document or in the next one.
WATCH = """
    const { timeOrigin } = performance;
    const said = (selector) => document.querySelector(selector)?.outerHTML.slice(0, 400) ?? "";
    const start = (event) => {
      if (sessionStorage.armed) sessionStorage.started ||= timeOrigin + event.timeStamp;
    };
    const look = () => {
      const { armed, before, started } = sessionStorage;
      const now = armed && started ? said(armed) : "";
      if (!now || now === before) return;
      sessionStorage.clear();
      requestAnimationFrame(() => {
        const painted = new MessageChannel();
        painted.port1.onmessage = () => console.debug("shown after", timeOrigin + performance.now() - started);
        painted.port2.postMessage(null);
      });
    };
    window.arm = (selector) => Object.assign(sessionStorage, { armed: selector, before: said(selector), started: "" });
    for (const name of ["click", "change"]) addEventListener(name, start, true);
    new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true });
"""


@dataclass
class Shown:
    """Milliseconds of each time, and the machine's load (of one minute) as the act was begun and as it was over."""

    milliseconds: list[float]
    load: tuple[float, float]

    @property
    def median(self) -> float:
        return statistics.median(self.milliseconds)

    @property
    def note(self) -> str:
        fastest, slowest = min(self.milliseconds), max(self.milliseconds)
        return f"{fastest:.0f}–{slowest:.0f} ms; load {self.load[0]:.1f}–{self.load[1]:.1f}"


def measure(world: World, customer: Visitor, operator: Visitor) -> dict[str, Shown]:
    """Each act TIMES times, by its name. `customer` needs a few pages of history."""
    port = world.start_server(world.aws.port, 2)
    found = {}
    for who, acts in ((customer, CUSTOMERS), (operator, OPERATORS)):
        with _browser(port, who) as page:
            for name, act in acts.items():
                before, each = os.getloadavg()[0], act(world, page, customer)
                found[name] = Shown([next(each) for _ in range(TIMES)], (before, os.getloadavg()[0]))
    return found


@contextmanager
def _browser(port: int, who: Visitor) -> Iterator[Page]:
    with sync_playwright() as started:
        installed = next(filter(os.path.exists, BROWSERS), None)
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = started.chromium.launch(executable_path=installed, args=sandbox)
        context = browser.new_context(base_url=f"http://{HOST}:{port}", viewport={"width": 1280, "height": 800})
        name, _, value = who.cookie.partition("=")
        context.add_cookies([{"name": name, "value": value, "url": f"http://{HOST}:{port}"}])
        context.add_init_script(WATCH)
        yield context.new_page()
        browser.close()


def _shown_after(page: Page, act: Callable[[], object], changes: str) -> float:
    """Milliseconds from the act's click until the element `changes` is there and different."""
    page.evaluate("selector => window.arm(selector)", changes)
    with page.expect_console_message(lambda message: message.text.startswith("shown after ")) as told:
        act()
    return float(told.value.text.rpartition(" ")[2])


NEWEST = "#task-rows li:first-child a"


def _open_dashboard(page: Page) -> None:
    page.goto("/dashboard", wait_until="networkidle")


def submit(world: World, page: Page, customer: Visitor) -> Iterator[float]:
    _open_dashboard(page)
    for number in range(10**6):
        page.locator("#description").fill(f"Draft letter {number} of {'abcdefghijklmnop'[number % 16] * 9}, two pages")
        yield _shown_after(page, page.locator("#submit-task").click, NEWEST)


def filtered(world: World, page: Page, customer: Visitor) -> Iterator[float]:
    """Follows `submit`: the newest tasks are pending, the older ones completed."""
    _open_dashboard(page)
    status = page.locator("#status")
    while True:
        for value in ("completed", ""):
            yield _shown_after(page, lambda value=value: status.select_option(value), NEWEST)  # type: ignore[misc]


def paged(world: World, page: Page, customer: Visitor) -> Iterator[float]:
    _open_dashboard(page)
    while True:
        for label in ("Older", "Newest"):
            yield _shown_after(page, page.locator(".pager").get_by_role("link", name=label).click, NEWEST)


def claim(world: World, page: Page, customer: Visitor) -> Iterator[float]:
    for task in _waiting(world, customer):
        page.goto(f"/admin/tasks/{task.task_id}", wait_until="networkidle")
        yield _shown_after(page, _button(page, "Claim for").click, "#answer #result")


def complete(world: World, page: Page, customer: Visitor) -> Iterator[float]:
    for task in _waiting(world, customer):
        page.goto(f"/admin/tasks/{task.task_id}", wait_until="networkidle")
        _button(page, "Claim for").click()
        page.locator("#result").fill("## Done\n\nThe second one, for its warranty.")
        page.wait_for_load_state("networkidle")
        yield _shown_after(page, _button(page, "Complete the task").click, "main [role=status]")


def _waiting(world: World, customer: Visitor) -> Iterator[Task]:
    for number in range(10**6):
        account = world.store.accounts.get(customer.account.email)
        yield tasks.submit(world.store, account, f"{number}. Compare the three quotes", now=utcnow()).task


def _button(page: Page, words: str) -> Locator:
    return page.get_by_role("button", name=words)


Act = Callable[[World, Page, Visitor], Iterator[float]]
CUSTOMERS: dict[str, Act] = {"submit": submit, "filter": filtered, "page": paged}
OPERATORS: dict[str, Act] = {"claim": claim, "complete": complete}
