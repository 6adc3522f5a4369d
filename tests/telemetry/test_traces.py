"""A trace tells what was done and how long it took, and nothing of whom it was done for."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app import create_app
from app.domain.clock import utcnow
from app.services.mail import deliver_due
from app.telemetry import otlp
from app.telemetry.spans import span
from app.telemetry.switch import switch
from app.web import deps
from scripts.local.settings import app_settings
from tests.conftest import COMPILED_TEMPLATES
from tests.http.server import REPO, SETTINGS
from tests.routes.browser import Browser
from tests.support import PASSWORD, all_mails, make_account, make_operators, post_webhook, session_event

SERVICES = Path(__file__).parents[2] / "app/services"
EMAIL, WORDS, ANSWER, GUEST = "ada@example.com", "Zusammenfassung für Žofie", "Das Ergebnis", "guest@example.net"


class Told:
    """What a collector would get."""

    def __init__(self) -> None:
        self.spans, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        otlp.use(MeterProvider([self.reader]), tracers)
        switch.on = True

    @property
    def by_name(self) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for each in self.spans.get_finished_spans():
            found.setdefault(each.name, []).append(each)
        return found

    def parents(self, name: str) -> list[set[str]]:
        """The names of all that each of these spans lies in."""
        by_id = {each.context.span_id: each for each in self.spans.get_finished_spans()}
        found = []
        for each in self.by_name[name]:
            above = set()
            while each.parent:
                each = by_id[each.parent.span_id]
                above.add(each.name)
            found.append(above)
        return found


@pytest.fixture
def told() -> Iterator[Told]:
    yield Told()
    switch.off()


@pytest.fixture
def traced(told: Told, config: Any, store: Any, sender: Any, stripe: Any) -> Any:
    app = create_app(config, store=store, sender=sender, stripe=stripe)
    app.jinja_env.bytecode_cache = COMPILED_TEMPLATES
    return app


def test_a_whole_journey_leaves_no_word_of_a_person_in_a_trace_or_a_metric(told, traced, store, sender, stripe):
    traced.config["WTF_CSRF_ENABLED"] = False
    make_account(store, EMAIL, credits=100)
    make_operators(store, "op@example.com")
    ada, op = Browser(traced), Browser(traced)
    ada.client.post("/login", data={"email": EMAIL, "password": "wrong horse"})
    ada.client.post("/login", data={"email": EMAIL, "password": PASSWORD})
    ada.client.post("/forgot", data={"email": EMAIL})
    ada.get("/dashboard?q=Zusammenfassung")
    ada.client.post("/tasks", data={"description": WORDS, "request_id": "r-geheim"})
    ada.client.post("/credits/checkout", data={"pack": "pack-5250", "request_id": "r-kauf"})
    post_webhook(traced.test_client(), session_event(GUEST, session="cs_test_geheim"))
    post_webhook(traced.test_client(), session_event(), **{"Stripe-Signature": "t=1,v1=no"})
    op.client.post("/login", data={"email": "op@example.com", "password": PASSWORD})
    op.get("/admin?q=ada")
    (task,) = store.queue.page("pending", limit=2).items
    op.client.post(f"/admin/tasks/{task.task_id}/claim")
    op.client.post(f"/admin/tasks/{task.task_id}/complete", data={"text": ANSWER})
    op.get(f"/admin/customers/{store.accounts.get(EMAIL).account_id}")
    ada.get(f"/tasks/{task.task_id}")
    ada.get("/tasks/no-such-task")
    login = traced.test_client().post("/api/auth/login", json={"email": EMAIL, "password": PASSWORD})
    with traced.app_context():
        found = deps.get()
        with span("mail"):
            deliver_due(store, found.mail_room, found.sender, now=utcnow())

    spans = told.by_name
    assert {"POST /tasks", "GET /dashboard", "POST /api/stripe/webhook", "GET /tasks/<task_id>"} <= spans.keys()
    assert any({"POST /tasks", "tasks.submit"} <= above for above in told.parents("DynamoDB TransactWriteItems"))
    assert told.parents("Stripe create_checkout") == [{"checkout.open_session", "POST /credits/checkout"}]
    assert all(above == {"mail"} for above in told.parents("SES send"))
    assert len(told.parents("SES send")) == len(sender.sent) >= 2
    assert any("payments.handle_event" in above for above in told.parents("payments.record_fact"))
    every = "\n".join(each.to_json() for each in told.spans.get_finished_spans())
    every += str(told.reader.get_metrics_data())
    account = store.accounts.get(EMAIL)
    secrets = [
        EMAIL,
        GUEST,
        "op@example.com",
        "ada@",
        "example",
        WORDS,
        "Zusammenfassung",
        ANSWER,
        "Ergebnis",
        PASSWORD,
    ]
    secrets += ["wrong horse", "r-geheim", "r-kauf", "cs_test_geheim", "pi_cs_test_geheim", "evt_", "127.0.0.1"]
    secrets += [task.task_id, account.account_id, login.json["token"], *account.sessions, *traced_secrets(traced)]
    secrets += [mail.mail_id for mail in all_mails(store)]
    links = re.findall(r"https?://\S+/(\S{20,})", "\n".join(str(mail) for mail in sender.sent))
    assert links
    assert [secret for secret in [*secrets, *links] if secret in every] == []


def traced_secrets(app: Any) -> list[str]:
    with app.app_context():
        config = deps.config()
    return [*config.jwt_secrets, *config.stripe_webhook_secrets, config.stripe_secret_key]


def test_an_error_is_told_by_its_type_alone(told):
    with pytest.raises(ValueError, match="ada"), span("work"), span("part", within=True):
        raise ValueError("ada@example.com")

    for name in ("work", "part"):
        (found,) = told.by_name[name]
        assert found.attributes["error.type"] == "ValueError"
        assert not found.status.is_ok
        assert found.events == ()
        assert "ada@" not in found.to_json()


def test_what_a_caller_says_of_its_own_trace_is_not_believed(told, traced):
    trace = "0af7651916cd43dd8448eb211c80319c"
    traced.test_client().get("/livez", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})

    (found,) = told.by_name["GET /livez"]
    assert found.parent is None
    assert found.context.trace_id != int(trace, 16)


def test_the_same_numbers_go_to_a_collector(told, traced):
    traced.test_client().get("/login")

    data = told.reader.get_metrics_data()
    names = {metric.name for each in data.resource_metrics for scope in each.scope_metrics for metric in scope.metrics}
    assert {"dashboard.request.duration", "dashboard.slots.used"} <= names


def test_each_verb_of_a_service_is_a_span():
    """Whoever opens a transaction, or calls a helper of its own module that does, says @verb; a helper need not."""
    lacking = []
    for path in sorted(SERVICES.rglob("*.py")):
        functions = {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
        called = {name: names_called(node) for name, node in functions.items()}
        writes = {name for name, found in called.items() if found & {"transaction", "acting"}}
        while more := {name for name in functions.keys() - writes if called[name] & (writes - VERBLESS)}:
            writes |= more
        lacking += [
            f"{path.name}: {name}"
            for name in sorted(writes)
            if not name.startswith("_")
            and name not in VERBLESS
            and "verb" not in [ast.unparse(each) for each in functions[name].decorator_list]
        ]
    assert lacking == []


def test_opentelemetry_is_imported_by_nobody_who_does_not_send():
    """Its import would cost each worker and each command 12 ms of CPU, for nothing."""
    asked = [sys.executable, "-c", "import sys, app.wsgi, app.web.serve; print('opentelemetry' in sys.modules)"]
    settings = app_settings("http://127.0.0.1", "http://127.0.0.1:9") | SETTINGS
    answer = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=REPO, env=settings, timeout=120)
    assert answer.stdout.strip() == "False"


# They open a transaction for a verb, which goes on within it.
VERBLESS = {"acting", "transaction", "settle", "next_after"}


def names_called(node: ast.FunctionDef) -> set[str]:
    found = set()
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute):
            found.add(each.attr)
        elif isinstance(each, ast.Name):
            found.add(each.id)
    return found
