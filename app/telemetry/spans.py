"""The parts of a trace: a request, the verb of a service in it, the calls that it makes to DynamoDB, Stripe, SES, S3.

A span holds names of ours and nothing that a person has given: no address, no id, no token, no words of a task, and of
an error its type alone. What a caller says of a trace of its own is not believed: each begins here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

Given = ParamSpec("Given")
T = TypeVar("T")
INTERNAL, SERVER, CLIENT = "INTERNAL", "SERVER", "CLIENT"


class Tracing:
    tracer: Tracer | None = None


tracing = Tracing()
_NOTHING: AbstractContextManager[None] = nullcontext()


def span(name: str, kind: str = INTERNAL, *, within: bool = False, **about: str) -> AbstractContextManager[Any]:
    """A span around a block, which is handed it, or None. `within`: only inside of another one."""
    if tracing.tracer is None:
        return _NOTHING
    return _span(tracing.tracer, name, kind, within, about)


@contextmanager
def _span(tracer: Tracer, name: str, kind: str, within: bool, about: dict[str, str]) -> Iterator[Any]:
    from opentelemetry.trace import SpanKind, Status, StatusCode, get_current_span

    if within and not get_current_span().get_span_context().is_valid:
        yield None
        return
    with tracer.start_as_current_span(
        name,
        kind=SpanKind[kind],
        attributes={key.replace("__", "."): value for key, value in about.items()},
        record_exception=False,  # its message may hold an address, its trace a token
        set_status_on_exception=False,
    ) as found:
        try:
            yield found
        except BaseException as error:
            found.set_attribute("error.type", type(error).__name__)
            found.set_status(Status(StatusCode.ERROR))
            raise


def verb(work: Callable[Given, T]) -> Callable[Given, T]:
    """What a service does for somebody: a span of its own, named by module and function."""
    name = f"{work.__module__.rpartition('.')[2]}.{work.__qualname__}"

    @wraps(work)
    def told(*args: Given.args, **kwargs: Given.kwargs) -> T:
        if tracing.tracer is None:
            return work(*args, **kwargs)
        with span(name):
            return work(*args, **kwargs)

    return told
