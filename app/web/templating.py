"""What templates are given: filters, addresses, and elements that a list shows too often for a macro."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, cast

from flask import Flask, g, url_for
from flask.templating import Environment
from jinja2 import Template, nodes
from jinja2.visitor import NodeTransformer
from markupsafe import Markup, escape
from werkzeug.routing import BuildError, MapAdapter

from app.config import Config
from app.domain.charts import HEIGHT, WIDE, Chart, columns, stacked
from app.domain.clock import utcnow
from app.domain.formatting import (
    FILTERS,
    credits,
    dollars,
    elapsed,
    exact_time,
    iso_time,
    listed,
    month_name,
    relative_time,
    signed_credits,
)
from app.domain.tasks import TaskLine
from app.web import csrf, deps
from app.web.markdown import render_markdown
from app.web.static_files import content_hash

PLAIN_ID = re.compile(r"[A-Za-z0-9_-]+")  # reads the same in an address
PLACE = "the-id-goes-here"
YEAR = 12  # months
TAGS_OF_A_ROW = 3  # the others are counted; the task itself names all

PILLS = {
    status: Markup(f'<span class="pill {status}">{word}</span>')  # noqa: S704 # nosec B704 - words of our own
    for status, word in {
        "pending": "Pending",
        "in-progress": "In progress",
        "completed": "Completed",
        "cancelled": "Cancelled",
        "rejected": "Rejected",
    }.items()
}


def time_element(moment: datetime) -> Markup:
    """A moment in words, with the exact time for machines and for the curious."""
    return Markup(_time_tag(moment, utcnow()))  # noqa: S704 # nosec B704 - no text from outside


def _time_tag(moment: datetime, now: datetime) -> str:
    return f'<time datetime="{iso_time(moment)}" title="{exact_time(moment)}">{relative_time(moment, now)}</time>'


def status_pill(status: str) -> Markup:
    """A status: a shape and a word, never colour alone."""
    return PILLS.get(status) or Markup('<span class="pill">{}</span>').format(status)


def exact_time_element(moment: datetime) -> Markup:
    """The other way round: the exact time in words, where somebody looks at one thing."""
    words, ago = exact_time(moment), relative_time(moment)
    return Markup(f'<time datetime="{iso_time(moment)}" title="{ago}">{words}</time>')  # noqa: S704 # nosec B704 - no text from outside


def plot(chart: Chart, colours: Sequence[str], name: str, sentence: str, each: str = "day by day") -> Markup:
    """Axis, columns and, for a pointer, a finger or the keyboard, the value of each column. All text is of our own."""
    axis, width = chart.axis, max(len(chart.values), 1) * WIDE - 1
    ticks = [axis.top, axis.middle, 0] if axis else [0]
    lines = f"M0 0h{width}M0 {HEIGHT // 2}h{width}M0 {HEIGHT}h{width}" if axis else f"M0 {HEIGHT}h{width}"
    drawn = zip(colours, chart.paths, strict=False)  # no path of what has no sample yet
    paths = "".join(f'<path class="{c}" d="{d}"/>' for c, d in drawn if d)
    values = "".join(f"<li><span>{words}</span></li>" if words else "<li></li>" for words in chart.values)
    listed = f'<ol tabindex="0" aria-label="{name}, {each}">{values}</ol>' if axis else ""
    return Markup(  # noqa: S704 # nosec B704 - numbers and words of our own
        f'<div class="plot"><p aria-hidden="true">{"".join(f"<span>{credits(tick)}</span>" for tick in ticks)}</p>'
        f'<div><svg viewBox="0 0 {width} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{sentence}">'
        f'<path class="lines" d="{lines}"/>{paths}</svg>{listed}</div></div>'
    )


def chart_of(days: Sequence[Any], parts: Sequence[tuple[str, str, str]], money: bool = False) -> Chart:
    """Of days with a number for each of `parts`: (attribute, word, colour). `money`: credits, also in dollars."""
    rows = [[getattr(day, name) for name, _, _ in parts] for day in days]
    words = []
    for day, row in zip(days, rows, strict=True):
        told = [f"{credits(value)} {word}" for value, (_, word, _) in zip(row, parts, strict=True) if value > 0]
        worth = f", {dollars(sum(max(value, 0) for value in row))}" if money else ""
        words.append(f"{day.day.day} {day.day:%b}: {', '.join(told)}{worth}")
    return stacked(rows, words)


def chart_of_waits(samples: Sequence[int]) -> Chart:
    """Of seconds, the oldest first."""
    return columns(samples, [elapsed(seconds) for seconds in samples])


def chart_of_months(months: Sequence[Any]) -> Chart:
    """Of what was owed when each month ended, in credits; room for a year at least."""
    levels = [max(line.closing, 0) for line in months]
    words = [f"{month_name(line.month)}: {credits(line.closing)} credits, {dollars(line.closing)}" for line in months]
    spare = max(YEAR - len(months), 0)
    return columns([*levels, *[0] * spare], [*words, *[""] * spare])


def _task_row(line: TaskLine, now: datetime, address: str, mark: str) -> str:
    """`address`: of any task, with PLACE for its id."""
    id = line.task_id
    address = address.replace(PLACE, id)
    if not PLAIN_ID.fullmatch(id):
        id, address = escape(id), escape(url_for("tasks.show", task_id=id))
    cost = signed_credits(-line.credits_spent) if line.credits_spent else "free"
    if line.credits_spent and line.status in ("cancelled", "rejected"):
        cost = "given back"
    return (
        f'<li id="task-{id}"{mark}>\n'
        f'<a href="{address}"><bdi>{escape(listed(line.title))}</bdi></a>\n{status_pill(line.status)}\n'
        f'<span class="when">{_time_tag(line.created_at, now)}</span>\n<span class="cost">{cost}</span>\n'
        f"{_labels(line) if line.reference or line.tags else ''}</li>"
    )


def _labels(line: TaskLine) -> str:
    reference = f"<bdi>{escape(line.reference)}</bdi> " if line.reference else ""
    tags = " ".join(f'<span class="tag"><bdi>{escape(tag)}</bdi></span>' for tag in line.tags[:TAGS_OF_A_ROW])
    unsaid = len(line.tags) - TAGS_OF_A_ROW
    more = f' <span>+{unsaid}<span class="vh"> more tags</span></span>' if unsaid > 0 else ""
    return f'<p class="labels">{reference}{tags}{more}</p>\n'


class Pages(Environment):
    """Flask's environment, where `url_for("credits.show")` and `static_url("app.css")` are put into the text of a
    template as it is compiled: they say the same on every page of a process, and are most of what a page asks for.
    """

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        static_url = cast("Callable[[str], str]", self.globals["static_url"])
        written = _Written(static_url, self.app.url_map.bind("")).visit(source)
        return super()._generate(written, *args, **kwargs)

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """In one dict: each page copies them, and Jinja's chain of two looks up name after name in Python. What is
        added to the environment later is not seen by a template that is loaded, which Jinja advises against anyway.
        """
        return {**self.globals, **(d or {})}


class _Written(NodeTransformer):
    def __init__(self, static_url: Callable[[str], str], addresses: MapAdapter) -> None:
        self._ways: dict[str, Callable[[str], str]] = {"static_url": static_url, "url_for": addresses.build}

    def visit_Call(self, node: nodes.Call) -> nodes.Expr:
        self.generic_visit(node)
        way = self._ways.get(getattr(node.node, "name", ""))
        more = node.kwargs or node.dyn_args or node.dyn_kwargs
        if way and not more and len(node.args) == 1 and isinstance(node.args[0], nodes.Const):
            with suppress(BuildError):  # it has parts, which only the request knows
                return nodes.Const(way(node.args[0].value))
        return node


class Parts(Template):
    """A template whose macros are made once. Jinja asks at each `from … import` whether it was loaded with globals of
    its own, which none is; a page imports often, for a block does not see what stands around it.
    """

    def _get_default_module(self, ctx: Any = None) -> Any:
        return self._module or super()._get_default_module(ctx)


PARTS = {
    "plot": plot,
    "chart_of": chart_of,
    "chart_of_waits": chart_of_waits,
    "chart_of_months": chart_of_months,
    "time_element": time_element,
    "exact_time_element": exact_time_element,
    "status_pill": status_pill,
}


def register(app: Flask, config: Config) -> None:
    app.jinja_env.filters.update(FILTERS)
    app.jinja_env.filters["markdown"] = render_markdown
    app.jinja_env.template_class = Parts
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    static_folder = Path(str(app.static_folder))

    @cache  # most of a page's addresses are these
    def static_url(filename: str) -> str:
        """The address of a static file with a hash of its contents, so that it may be cached for ever."""
        parts = {"filename": filename, "v": content_hash(static_folder / filename)}
        return app.url_map.bind("").build("static", parts)

    @cache
    def known_url(endpoint: str, name: str | None = None) -> str:
        parts: dict[str, Any] = {name: PLACE} if name else {}
        return url_for(endpoint, **parts)

    def fast_url_for(endpoint: str, **values: Any) -> str:
        """As Flask's; what a page names a dozen times, a view without parts or with an id, is built once."""
        if not values:
            return known_url(endpoint)
        if len(values) == 1:
            ((name, value),) = values.items()
            if (
                isinstance(value, str)
                and PLAIN_ID.fullmatch(value)
                and f"/{PLACE}" in (url := known_url(endpoint, name))
            ):
                return url.replace(PLACE, value)
        return url_for(endpoint, **values)

    def task_rows(lines: Iterable[TaskLine], fresh: bool = False) -> Markup:
        """Tasks in a list: the history on the dashboard, and the fragment that adds a new one to it. No macro: they are
        most of what a dashboard says.
        """
        now, address, mark = utcnow(), known_url("tasks.show", "task_id"), ' class="fresh"' if fresh else ""
        return Markup("".join(_task_row(line, now, address, mark) for line in lines))  # noqa: S704 # nosec B704 - what comes from outside is escaped

    given = {"app_url": config.app_url, "support_email": config.support_email}
    app.jinja_env.globals.update(PARTS, static_url=static_url, url_for=fast_url_for, task_rows=task_rows, **given)
    app.jinja_env.globals["csrf_token"] = csrf.token
    app.jinja_env.globals["doctor_is_red"] = lambda: deps.get().doctors_dot.is_red(utcnow())  # operators' pages ask

    @app.context_processor
    def who() -> dict[str, Any]:
        account = g.get("account")
        theme = account.theme if account else "system"
        return {"account": account, "theme": theme, "csrf_token": csrf.token}
