"""What an operator writes becomes text with structure, never markup of the writer's own."""

import pytest
from bs4 import BeautifulSoup

from app.web.markdown import render_markdown

ALLOWED = {
    *("p", "br", "hr", "blockquote", "pre", "code", "em", "strong", "s", "ul", "ol", "li", "a"),
    *("h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}


def test_markdown_becomes_structure_when_it_is_well_meant():
    html = str(render_markdown("# Title\n\n**Bold** and `code`\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n1. one\n2. two"))

    assert '<h3 dir="auto">Title</h3>' in html
    assert "<strong>Bold</strong>" in html
    assert "<td>1</td>" in html
    assert '<ol dir="auto">' in html


def test_a_link_gives_nothing_away_when_it_is_followed():
    (link,) = BeautifulSoup(render_markdown("[here](https://example.com/a?b=1&c=2)"), "html.parser").find_all("a")

    assert link["href"] == "https://example.com/a?b=1&c=2"
    assert set(link["rel"]) == {"noopener", "noreferrer", "nofollow"}


@pytest.mark.parametrize(
    "attack",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "![x](https://example.com/pixel.png)",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "[x](vbscript:msgbox)",
        "<a href='javascript:alert(1)'>x</a>",
        "[a](https://e.com 'x\" onmouseover=\"alert(1)')",
        '```"><script>alert(1)</script>\nx\n```',
        "<svg/onload=alert(1)>",
        "<iframe src=//evil></iframe>",
        "| <b onclick=x> |\n|---|\n| <style>*{}</style> |",
        "<!-- --!><img src=x onerror=alert(1)> -->",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "[x]: javascript:alert(1)\n[x]",
        "<form action=/logout><button>",
    ],
)
def test_nothing_of_the_writers_own_markup_survives_when_it_is_hostile(attack):
    soup = BeautifulSoup(render_markdown(attack), "html.parser")

    for tag in soup.find_all(True):
        assert tag.name in ALLOWED
        assert set(tag.attrs) <= {"href", "dir", "title", "rel", "start"}
        assert tag.get("href", "https:").startswith(("http:", "https:", "mailto:"))


def test_rendering_ends_when_the_nesting_is_deep():
    assert len(str(render_markdown(">" * 5000 + "x"))) < 500_000
    assert str(render_markdown("[" * 5000))
