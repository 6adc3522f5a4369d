"""Markdown of an operator as safe HTML: no HTML of its own, no images, links that give nothing away."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from markupsafe import Markup

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

# An answer is read on our own pages, so it may look like text and nothing else: no style, no class, no id.
_TAGS = {
    *("p", "br", "hr", "blockquote", "pre", "code", "em", "strong", "s", "ul", "ol", "li", "a"),
    *("h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}
_DIRECTED = {"p", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "table"}
_ATTRIBUTES = {"a": {"href", "title"}, "ol": {"start"}} | {tag: {"dir"} for tag in _DIRECTED - {"ol"}}
_ATTRIBUTES["ol"].add("dir")
_SCHEMES = {"http", "https", "mailto"}


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt  # where it is used: what it compiles costs each start as much as 25 modules

    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def render_markdown(text: str, deeper: int = 2) -> Markup:
    """What markdown-it makes of `text`, and of that only what the lists above allow.

    Headings go as many levels `deeper` as the page has of its own, and none is an h1: each page has one already.
    """
    import nh3

    parser = _parser()
    tokens = parser.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{max(2, min(int(token.tag[1]) + deeper, 6))}"
        if token.level == 0 and token.nesting == 1 and token.tag in _DIRECTED:
            # Each block runs the way of its first letter. Not those within it: `auto` does not look into them.
            token.attrSet("dir", "auto")
    html = parser.renderer.render(tokens, parser.options, {})
    return Markup(  # nosec B704 # noqa: S704 - this is what nh3 is for
        nh3.clean(
            html,
            tags=_TAGS,
            attributes=_ATTRIBUTES,
            url_schemes=_SCHEMES,
            link_rel="noopener noreferrer nofollow",
        )
    )
