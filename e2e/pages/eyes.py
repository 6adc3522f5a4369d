"""What every page is held to: accessible, within its width, valid HTML, and still while it loads."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Literal

import html5lib
from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.sync_api import BrowserContext, Page

WIDTHS = (320, 1200)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
# Everything that axe knows, and also what it leaves out unless asked: targets of at least 24 by 24 pixels.
RULES = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
# A mail is a part of somebody else's page: it needs no landmarks of its own.
MAIL_RULES = {
    "resultTypes": ["violations"],
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
}
# A scheme changes colours and nothing else.
COLOURS = {
    "resultTypes": ["violations"],
    "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
}
# html5lib knows HTML as of 2014.
SINCE_ALLOWED = {"unexpected-token-in-doctype"}
WATCH_SHIFTS = """
    window.shifts = [];
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts.push(entry.value);
    }).observe({ type: "layout-shift", buffered: true });
"""


def problems(page: Page, name: str, rules: dict[str, Any] = RULES, dark: dict[str, Any] = COLOURS) -> list[str]:
    """Violations of axe and sideways scrolling, at each width and in each scheme, of a page that is loaded once."""
    found = []
    page.evaluate(AXE_SCRIPT)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            if (overflow := overflow_of(page)) > 0:
                found.append(f"{name}, {width} px, {scheme}: {overflow} px too wide")
            result = violations(page, rules if scheme == "light" else dark)
            if result.violations_count:
                found.append(f"{name}, {width} px, {scheme}:\n{result.generate_report()}")
    return found


def violations(page: Page, rules: dict[str, Any]) -> AxeResults:
    """Those alone: what passes is a hundred times as long."""
    return AxeResults(page.evaluate(f"axe.run({json.dumps(rules)}).then(({{ violations }}) => ({{ violations }}))"))


def overflow_of(page: Page) -> int:
    """Pixels that the page is wider than its window."""
    wider: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return wider


def html_problems(text: str, name: str) -> list[str]:
    """What a strict parser has to say, ids that are used twice, and references that lead nowhere."""
    parser = html5lib.HTMLParser(namespaceHTMLElements=False)
    elements = list(parser.parse(text).iter())
    found = [f"{name}: {code} {data} at {at}" for at, code, data in parser.errors if code not in SINCE_ALLOWED]
    ids = Counter(element.get("id") for element in elements if "id" in element.attrib)
    found += [f"{name}: two of #{key}" for key, count in ids.items() if count > 1]
    for attribute in ("for", "form", "aria-labelledby", "aria-describedby", "aria-controls"):
        for element in elements:
            missing = set(element.get(attribute, "").split()) - set(ids)
            found += [f"{name}: {attribute}={key}" for key in missing]
    if (headings := sum(element.tag == "h1" for element in elements)) != 1:
        found.append(f"{name}: {headings} h1")
    return found


def watch_shifts(context: BrowserContext) -> None:
    """Note every shift of the layout from the very beginning: as a part of the browser, so the policy lets it in."""
    context.add_init_script(WATCH_SHIFTS)


def shift_of(page: Page) -> float:
    return float(page.evaluate("window.shifts.reduce((sum, one) => sum + one, 0)"))
