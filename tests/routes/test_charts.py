"""Charts as they stand in a page."""

from bs4 import BeautifulSoup

from app.domain.charts import stacked
from app.web.templating import plot


def drawn(chart) -> BeautifulSoup:
    return BeautifulSoup(plot(chart, ["leaf"] * len(chart.paths), "Waits", "Nothing yet."), "html.parser")


def test_an_empty_chart_is_a_picture_of_some_width():
    page = drawn(stacked([], []))

    assert page.svg["viewbox"] == "0 0 9 800"
    assert page.ol is None


def test_each_column_that_shows_has_its_value_in_words():
    page = drawn(stacked([[1], [0], [3]], ["one", "none", "three"]))

    assert [item.get_text() for item in page.select("ol li")] == ["one", "", "three"]
    assert page.ol["tabindex"] == "0"
