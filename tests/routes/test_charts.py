"""Charts as they stand in a page."""

from bs4 import BeautifulSoup

from app.domain.charts import stacked
from app.domain.ledger_figures import LedgerFigures, Month
from app.web.templating import chart_of_months, plot

NOTHING = LedgerFigures()


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


def test_months_have_an_axis_a_value_each_and_room_for_a_year():
    closings = [0, 120, -30, 400]
    months = [Month(f"2026-0{number}", closing, NOTHING) for number, closing in enumerate(closings, 1)]

    chart = chart_of_months(months)

    assert chart.axis.top == 400
    assert chart.values[:4] == ["", "February 2026: 120 credits, $1.20", "", "April 2026: 400 credits, $4.00"]
    assert len(chart.values) == 12
    assert chart.paths == ["M10 800h9v-240h-9zM30 800h9v-800h-9z"]
    assert len(chart_of_months([Month("2026-01", 1, NOTHING)] * 14).values) == 14
    assert chart_of_months([Month("2026-01", 0, NOTHING)]).axis is None
