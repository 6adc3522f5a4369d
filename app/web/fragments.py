"""Pages and fragments from one markup: the whole page, or the block that HTMX asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flask import Response, current_app, make_response, render_template, request
from jinja2.runtime import Context
from markupsafe import Markup

SITE = "ImpacterAGI"  # ends the title of every page
_OUT_OF_BAND = Markup(' data-hx-swap-oob="outerMorph"')


def is_fragment_request() -> bool:
    """True when HTMX asks for a part of a page; its history restores and body swaps want the whole."""
    headers = request.headers
    return headers.get("HX-Request") == "true" and headers.get("HX-Request-Type") != "full"


class Parts:
    """Blocks of one template, and whole templates that stand beside them, made from variables that are gathered once.

    Raises KeyError for a block that the template itself does not have. With `beside` the variables are those of the
    other one, and these.
    """

    def __init__(self, template: str, variables: dict[str, Any], *, beside: Parts | None = None) -> None:
        self._jinja = current_app.jinja_env
        self._template = self._jinja.get_template(template)
        self._context: Context
        if beside:
            self._context = beside._context.derived(variables)
        else:
            current_app.update_template_context(variables := {**variables})
            self._context = self._template.new_context(variables)

    def block(self, name: str) -> str:
        return self._jinja.concat(self._template.blocks[name](self._context))

    def whole(self, name: str) -> str:
        """Raises ValueError for a template with blocks, which are its own."""
        template = self._jinja.get_template(name)
        if template.blocks:
            raise ValueError(f"{name} has blocks")
        return self._jinja.concat(template.root_render_func(self._context.derived()))


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
        parts = Parts(template, context)
        marked = Parts(template, {"oob": _OUT_OF_BAND}, beside=parts)
        found = [parts.block(block), *map(marked.block, oob), *map(marked.whole, partials)]
        body = "\n".join(part.strip() for part in found)
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
    parts = Parts(template, {**context, "fragment": True})
    title = f"<title>{parts.block('title').strip()} · {SITE}</title>"
    response = _varying("\n".join([title, *map(parts.whole, above), parts.block(block)]))
    if address:
        response.headers["HX-Push-Url"] = address
    return response


def render_beside(template: str, *, oob: Sequence[str], partials: Sequence[str] = (), **context: Any) -> Response:
    """Parts alone, each swapped out of band: the target stays as it is."""
    parts = Parts(template, context)
    marked = Parts(template, {"oob": _OUT_OF_BAND}, beside=parts)
    return _varying("\n".join([*map(marked.block, oob), *map(parts.whole, partials)]))


def _varying(body: str) -> Response:
    """An answer that is another one for a browser than for HTMX."""
    response = make_response(body)
    response.headers["Vary"] = "HX-Request"  # it has none yet, so none has to be read first
    return response
