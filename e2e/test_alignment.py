"""Lines that begin where the page begins, rows that stay rows, and the first words of a task, whatever its script."""

from __future__ import annotations

import itertools

import pytest
from playwright.sync_api import Locator, Page

from e2e.pages import Dashboard, SignIn
from e2e.pages import world as w
from e2e.pages.eyes import overflow_of

HEBREW = "סכם את הדוח הרבעוני בחמש נקודות, בבקשה! " * 4
TEXT = """(element, [from, to]) => {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const node = walker.nextNode(), range = document.createRange();
  range.setStart(node, from); range.setEnd(node, to ?? node.data.trimEnd().length);
  return range.getBoundingClientRect().toJSON();
}"""


@pytest.fixture
def look(world, open_browser):
    """Open a page of the furnished world as somebody, at a width."""

    def open_it(who: str, path: str, width: int = 1280) -> Page:
        page = open_browser(reduced_motion="reduce", viewport={"width": width, "height": 900})
        page.context.add_cookies([world.cookies[who]])
        page.goto(path.format(**world.names))
        return page

    return open_it


def text_of(element: Locator, begin: int = 0, end: int | None = None) -> dict[str, float]:
    """Where the words themselves stand, without the padding around them."""
    return dict(element.evaluate(TEXT, [begin, end]))


def left_of(element: Locator) -> float:
    return float(element.evaluate("element => element.getBoundingClientRect().left"))


def tops_of(elements: Locator) -> set[int]:
    return {round(top) for top in elements.evaluate_all("all => all.map(each => each.getBoundingClientRect().top)")}


def test_a_quiet_button_begins_where_what_is_above_it_begins(look):
    answer = look(w.OPERATOR, "/admin/tasks/{working}")
    unsent = look(w.CAREFUL, "/unsent")

    preview = answer.get_by_role("button", name="Preview")
    assert text_of(preview)["left"] == pytest.approx(left_of(answer.locator("#result")), abs=1)
    thrown = unsent.get_by_role("button", name="Throw it away").first
    assert text_of(thrown)["left"] == pytest.approx(left_of(unsent.locator("main h1")), abs=1)


@pytest.mark.parametrize("width", [320, 375, 1280])
def test_the_desk_begins_with_the_page_and_its_rows_of_tabs_stay_rows(look, width):
    page = look(w.OPERATOR, "/admin", width)
    begins = left_of(page.locator("main h1"))
    views = page.locator("#queue .views a")

    assert text_of(page.locator(".tabs a").first)["left"] == pytest.approx(begins, abs=3)
    assert text_of(views.first)["left"] == pytest.approx(begins, abs=3)
    assert len(tops_of(views)) == 1
    assert len(tops_of(page.locator("nav[aria-label=Main] a"))) == 1
    assert (
        overflow_of(page) == 0
    )  # the tabs scroll, and the page does not, also with a word for screen readers in the last


def test_what_is_hidden_takes_no_room(look):
    """The element that asks for news stands before the first line of the card."""
    page = look(w.OPERATOR, "/admin/tasks/{pending}")

    above = "card => card.querySelector('.head').getBoundingClientRect().top - card.getBoundingClientRect().top"
    padding = "card => parseFloat(getComputedStyle(card).paddingTop)"
    state = page.locator("#state")
    assert state.evaluate(above) == pytest.approx(state.evaluate(padding), abs=2)


def test_on_a_phone_a_task_has_the_width_of_its_row(look):
    page = look(w.ADA, "/dashboard", 320)

    row = page.locator("#task-rows li", has_text="Donau")
    widths = row.evaluate("row => [row.clientWidth, row.querySelector('a').clientWidth]")
    assert widths[1] >= 0.8 * widths[0]


def test_the_way_back_stands_at_the_left_also_alone(look):
    page = look(w.ADA, "/dashboard?cursor={cursor}")

    newest = page.get_by_role("link", name="Newest")
    assert left_of(newest) == pytest.approx(left_of(page.locator("#history-title")), abs=1)


def test_a_row_shows_the_first_words_of_a_task_in_any_script(site, page):
    dashboard: Dashboard = SignIn(page).enter(site.states.tasks(completed=1, text=HEBREW))

    row = dashboard.rows.locator("a").first
    box, first = row.evaluate("element => element.getBoundingClientRect().toJSON()"), text_of(row.locator("bdi"), 0, 3)
    assert row.evaluate("element => getComputedStyle(element.firstElementChild).textOverflow") == "ellipsis"
    assert box["left"] <= first["left"]
    assert first["right"] <= box["right"] + 1


def test_fields_of_a_filter_stand_a_gap_apart_also_beneath_each_other(look):
    page = look(w.ADA, "/dashboard?status=completed&sort=oldest", 320)

    boxes = page.locator("#filter .more .field").evaluate_all("all => all.map(each => each.getBoundingClientRect())")
    gap = page.locator("#filter .more .inline").evaluate("element => parseFloat(getComputedStyle(element).rowGap)")
    apart = [below["top"] - above["bottom"] for above, below in itertools.pairwise(boxes)]
    assert apart == pytest.approx([gap] * 3, abs=1)


def test_words_under_the_chart_do_not_run_together(look):
    page = look(w.ADA, "/dashboard", 320)

    first, last = (text_of(page.locator(".spend figcaption > span").nth(number)) for number in (0, 1))
    in_days = page.locator(".spend figcaption > span").first.evaluate(
        "element => element.getBoundingClientRect().right"
    )
    assert last["top"] >= first["bottom"] or last["left"] - in_days >= 8


def test_the_last_line_of_a_list_is_the_edge_of_its_card(look):
    page = look(w.OPERATOR, "/admin/tasks/{working}")

    last = page.locator("section[aria-labelledby=customer-title] .list li").last
    assert last.evaluate("element => getComputedStyle(element).borderBottomWidth") == "0px"
