"""Pages and fragments from one markup: the whole page, or the block that HTMX asked for."""

from collections.abc import Sequence
from typing import Any

from flask import Response, make_response, render_template, request
from jinja2_fragments.flask import render_block
from markupsafe import Markup

SITE = "ImpacterAGI"  # ends the title of every page
_OUT_OF_BAND = Markup(' data-hx-swap-oob="outerMorph"')


def is_fragment_request() -> bool:
    """True when HTMX asks for a part of a page; its history restores and body swaps want the whole."""
    headers = request.headers
    return headers.get("HX-Request") == "true" and headers.get("HX-Request-Type") != "full"


def render(
    template: str,
    block: str | None = None,
    *,
    oob: Sequence[str] = (),
    partials: Sequence[str] = (),
    **context: Any,
) -> Response:
    """Return the page, or its named block when HTMX asked for a part.

    A fragment may carry more: `oob` names further blocks of the same template and `partials` whole templates, each
    swapped out of band. Their root element prints the variable `oob`, which marks it for HTMX.
    """
    if block is None or not is_fragment_request():
        body = render_template(template, **context)
    else:
        extra = {**context, "oob": _OUT_OF_BAND}
        parts = [render_block(template, block, **context)]
        parts += [render_block(template, name, **extra) for name in oob]
        parts += [render_template(name, **extra) for name in partials]
        body = "\n".join(part.strip() for part in parts)
    return _varying(body)


def render_screen(
    template: str, block: str, *, address: str = "", above: Sequence[str] = (), **context: Any
) -> Response:
    """Another screen in place of what stands in the open page's `main`: HTMX shows it as if it had gone to `address`.

    `above` are templates that the layout puts over the block, which does not see what its layouts set. Without
    JavaScript it is the whole page.
    """
    if not is_fragment_request():
        return make_response(render_template(template, **context))
    inside = {**context, "fragment": True}
    title = f"<title>{render_block(template, 'title', **inside).strip()} · {SITE}</title>"
    parts = [title, *(render_template(name, **inside) for name in above), render_block(template, block, **inside)]
    response = _varying("\n".join(parts))
    if address:
        response.headers["HX-Push-Url"] = address
    return response


def render_beside(template: str, *, oob: Sequence[str], partials: Sequence[str] = (), **context: Any) -> Response:
    """Parts alone, each swapped out of band: the target stays as it is."""
    extra = {**context, "oob": _OUT_OF_BAND}
    parts = [render_block(template, name, **extra) for name in oob]
    return _varying("\n".join(parts + [render_template(name, **context) for name in partials]))


def _varying(body: str) -> Response:
    """An answer that is another one for a browser than for HTMX."""
    response = make_response(body)
    response.headers["Vary"] = "HX-Request"  # it has none yet, so none has to be read first
    return response
