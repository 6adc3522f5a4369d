"""What keeps the house in order: imports run one way, every view says who may ask, no page carries a script."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

APP = Path(__file__).resolve().parents[1] / "app"
TEMPLATES = APP / "templates"

# Views that anybody may ask, by name: a new one is a decision, taken here.
PUBLIC = {
    "api.login",
    "api.signup",
    "documents.docs",
    "documents.openapi",
    "auth.confirm",
    "auth.forgot",
    "auth.login",
    "auth.open_confirm",
    "auth.open_reset",
    "auth.open_set_password",
    "auth.reset",
    "auth.set_password",
    "auth.signup",
    "buy.returned",  # says how a checkout stands, to whoever holds its id, and never whose it was
    "buy.start",
    "buy.status",
    "csp.receive",  # counts what a browser has refused, and keeps nothing of it
    "design.show",  # in development only
    "health.alive",
    "health.as_seen",  # says how a request came, to whoever proves a secret of ours
    "health.check",
    "health.ready",
    "home.index",
    "metrics.show",  # to whoever shows METRICS_TOKEN
    "second_factor.ask",  # these two open the half of a session that a password alone has opened
    "second_factor.ask_options",
    "static",
    "stripe_webhook.receive",
    "texts.contact",
    "texts.privacy",
    "texts.terms",
    "address.open_agree",  # on to a button, for who is signed in to the account
    "address.open_refuse",
    "address.refuse",  # the token in the cookie is the proof: it drops a request and signs everybody out
    "unsubscribe.one_kind",  # the token in the address is the proof: it ends one kind of mail and does nothing else
    "wellknown.robots",
    "wellknown.security",
}
GUARDS = {"public", "customer", "token", "operator", "operator_token"}


def modules(folder: str = "") -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((APP / folder).rglob("*.py")):
        yield str(path.relative_to(APP)), ast.parse(path.read_text())


def imports(tree: ast.Module) -> Iterator[str]:
    """Dotted names that a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def test_contracts_of_imports_are_kept():
    """Which room may know which: [tool.importlinter] in pyproject.toml."""
    found = subprocess.run([Path(sys.executable).parent / "lint-imports", "--no-cache"], capture_output=True, text=True)

    assert found.returncode == 0, found.stdout


def test_domain_imports_no_framework_and_no_service_of_others():
    allowed = {"__future__", "app.domain", "email_validator", "idna", "pyotp", "zxcvbn"}
    wrong = []
    for name, tree in modules("domain"):
        for imported in imports(tree):
            top = imported.split(".")[0]
            if top not in sys.stdlib_module_names and not any(imported.startswith(rule) for rule in allowed):
                wrong.append(f"app/{name} imports {imported}")

    assert not wrong


def test_only_config_reads_the_environment():
    wrong = []
    for name, tree in modules():
        for node in ast.walk(tree):
            reads = isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
            if reads and name != "config.py" and ast.unparse(node.value) == "os":
                wrong.append(f"app/{name}:{node.lineno}")

    assert not wrong


WRITES = {"_put", "_update", "_update_row", "_update_account", "put_item", "update_item", "delete_item", "commit"}


def test_reads_never_write():
    """Writes stand in a transaction (`…Writes`), or, one row at once, in `…Updates`."""
    wrong = [
        f"app/{name}: {part.name}.{node.attr if isinstance(node, ast.Attribute) else node.value}"
        for name, tree in modules("data")
        for part in tree.body
        if isinstance(part, ast.ClassDef) and part.name.endswith("Reads")
        for node in ast.walk(part)
        if (isinstance(node, ast.Attribute) and node.attr in WRITES)
        or (isinstance(node, ast.Constant) and node.value in WRITES)
    ]

    assert not wrong


def test_views_read_and_services_write():
    """Who stands before the services asks them for a change, and writes nothing by itself."""
    wrong = [
        f"app/{name}:{node.lineno} {ast.unparse(node)}"
        for name, tree in modules()
        if name.startswith(("routes/", "cli/", "web/", "forms/"))
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("updates", "transaction")
    ]

    assert not wrong


def test_threads_are_made_in_few_places():
    makers = {
        name
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("ThreadPoolExecutor", "Thread"))
    }

    assert makers == {
        *("data/threads.py", "gateways/circuit_breaker.py", "web/serve.py", "web/waiters.py"),
        *("gateways/receivers.py", "services/webhook_sender.py", "cli/mail.py"),  # of the sender of webhooks
    }


def test_nothing_waits_by_await():
    """`create_app` tells Flask so, which would otherwise look at each function that it calls."""
    waiting = (ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await)

    assert not [(name, node.lineno) for name, tree in modules() for node in ast.walk(tree) if isinstance(node, waiting)]


def test_no_expression_of_dynamodb_stands_outside_the_data_layer():
    expression = re.compile(r"attribute_(not_)?exists\(|#\w+ (=|<|<=|>|>=) :\w+|ExpressionAttribute")
    wrong = [
        f"app/{name}:{node.lineno}"
        for name, tree in modules()
        if not name.startswith(("data/", "adoption/"))
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and expression.search(node.value)
    ]

    assert not wrong


def test_boto3_stays_in_the_data_layer_and_the_gateways():
    wrong = [
        f"app/{name} imports {imported}"
        for name, tree in modules()
        for imported in imports(tree)
        if imported.split(".")[0] in ("boto3", "botocore") and not name.startswith(("data/", "gateways/"))
    ]

    assert not wrong


def test_clients_of_aws_are_made_in_few_places():
    """One DynamoDB client for a process; SES and S3 have theirs in their gateways."""
    makers = {
        name
        for name, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("boto3.client", "boto3.resource", "boto3.Session")
    }

    assert makers <= {"data/client.py", "gateways/files.py"}


def test_money_is_never_a_float():
    wrong = [
        f"app/{name}:{node.lineno}"
        for name, tree in modules("domain")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("float", "round", "Decimal")
    ]

    assert not wrong


def test_every_module_says_what_lives_in_it():
    assert not [name for name, tree in modules() if not ast.get_docstring(tree)]


# Who opens a transaction without an act: for the account's owner, for Stripe, or on nothing of anybody's.
WITHOUT_AN_ACT = {
    "services/accounts.py: sign_up": "one's own account",
    "services/accounts.py: unsubscribe": "the owner, by the link in a mail",
    "services/accounts.py: ask_for_link": "one's own mail",
    "services/accounts.py: _mail_link": "one's own mail",
    "services/accounts.py: set_password": "one's own account, by a link to its mailbox",
    "services/accounts.py: _erase_search_keys": "what a deletion by its owner has left",
    "services/accounts.py: _forget_addresses": "what a deletion by its owner has left",
    "services/addresses.py: ask": "one's own address",
    "services/addresses.py: cancel": "one's own address",
    "services/addresses.py: agree": "one's own address, by a link to its mailbox",
    "services/addresses.py: refuse": "one's own address, by a link to its mailbox",
    "services/drafts.py: keep": "one's own text",
    "services/drafts.py: drop": "one's own text",
    "services/api_keys.py: revoke": "one's own key",
    "services/api_keys.py: _tell_of_the_end": "one's own key",
    "services/codes.py: redeem": "one's own credits, by a code whose making has its row",
    "services/checkout.py: open_session": "one's own page of Stripe's, kept under the key that opened it",
    "services/tasks.py: submit": "one's own credits",
    "services/tasks.py: submit_batch": "one's own credits",
    "services/webhooks.py: change": "one's own endpoint",
    "services/webhooks.py: remove": "one's own endpoint",
    "services/webhooks.py: pause": "one's own endpoint",
    "services/webhooks.py: resume": "one's own endpoint",
    "services/webhooks.py: test": "one's own endpoint",
    "services/webhooks.py: send_again": "one's own endpoint",
    "services/webhooks.py: _changed": "one's own endpoint",
}
# Where an owner or Stripe does the same as an operator: the act is handed on, or there is none.
WITH_AN_ACT_OR_NOT = {
    "services/account_notices.py: changed": "one's own second factor, or support's reset of it",
    "services/accounts.py: _delete": "one's own account; an operator's role ends with it",
    "services/payments.py: settle": "what Stripe tells, or what an operator decides",
    "services/seed.py: demo": "the demo customer, or the demo operator",
}


def callers(what: re.Pattern[str]) -> dict[str, set[str]]:
    """Outermost functions outside the data layer that call something whose source matches, each with what it called."""
    found: dict[str, set[str]] = {}
    for name, tree in modules():
        if name.startswith("data/"):
            continue
        for part in tree.body:
            for node in ast.walk(part):
                if isinstance(node, ast.Call) and what.fullmatch(said := ast.unparse(node.func)):
                    found.setdefault(f"{name}: {getattr(part, 'name', '')}", set()).add(said)
    return found


def test_the_audit_row_is_written_in_one_place_beside_the_act():
    assert callers(re.compile(r"\w+\.audit\.record")).keys() == {
        "services/acting.py: acting",
        "adoption/rows.py: _open_ledger",  # the visitor's own: nobody acts
        "adoption/mending.py: _record",  # and whoever is at the command line before there is an operator
    }


def test_who_opens_a_transaction_without_an_act_is_named_here():
    opened = callers(re.compile(r".*\bstore\.transaction|.*\bstore\(\)\.transaction|.*\bTransaction")).keys()
    handed_on = callers(re.compile(r"transaction")).keys()

    ours = {name for name in opened if not name.startswith(("services/acting.py", "adoption/"))}
    assert ours == WITHOUT_AN_ACT.keys()
    assert handed_on == WITH_AN_ACT_OR_NOT.keys()


def test_commands_and_operators_views_write_nothing_themselves():
    """What they do is a verb of a service, which has its act."""
    writes = callers(re.compile(r".*\bupdates\..*|.*\.transaction|(\w+\.)?acting"))

    assert not [name for name in writes if name.startswith(("cli/", "routes/", "web/"))]


# Views


def test_every_view_says_who_may_ask(app):
    silent = [name for name, view in app.view_functions.items() if name != "static" and not hasattr(view, "access")]
    unknown = [n for n, view in app.view_functions.items() if getattr(view, "access", "public") not in GUARDS]

    assert not silent
    assert not unknown


def test_every_call_of_the_api_names_the_scope_that_it_asks_for(app):
    """What a key may do is said at each call: a new one is a decision, and `session` shuts it to every key."""
    from app.domain.api_keys import ANY, QUEUE_WORK, SCOPES, SESSION

    calls = {name: view for name, view in app.view_functions.items() if "token" in getattr(view, "access", "")}
    rules = {rule.endpoint for rule in app.url_map.iter_rules() if rule.rule.startswith("/api/")}

    assert rules - PUBLIC == calls.keys()
    assert {getattr(view, "scope", None) for view in calls.values()} == {*SCOPES, ANY, SESSION}
    of_operators = {view.scope for view in calls.values() if view.access == "operator_token"}
    assert of_operators == {QUEUE_WORK, SESSION}


def test_a_submit_by_a_program_says_by_which_key():
    """Without it a key would spend beyond its month."""
    silent = [
        f"app/{name}:{node.lineno}"
        for name, tree in modules("routes")
        if name.startswith("routes/api")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and re.search(r"\btasks\.submit", ast.unparse(node))
        and ast.unparse(node.func).rpartition(".")[2] in ("submit", "submit_batch", "partial")
        and "key" not in {keyword.arg for keyword in node.keywords}
    ]

    assert not silent


def test_public_views_are_the_ones_named_here(app):
    found = {name for name, view in app.view_functions.items() if getattr(view, "access", "public") == "public"}

    assert found == PUBLIC


def test_every_guarded_view_turns_a_stranger_away(app, client):
    """The decorator is really there: no address answers 200 to nobody."""
    wrong = []
    for rule in app.url_map.iter_rules():
        if rule.endpoint in PUBLIC:
            continue
        path = re.sub(r"<[^>]+>", "2026-11", rule.rule)
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            status = client.open(path, method=method).status_code
            if status not in (303, 400, 401, 403, 404):
                wrong.append(f"{method} {path}: {status}")

    assert not wrong


def test_csrf_is_waived_only_where_no_cookie_is_read(app):
    """The programs' side and the webhook: each view there is public by name or wants a token."""
    from app.web.csrf import csrf

    exempt = {getattr(blueprint, "name", blueprint) for blueprint in csrf._exempt_blueprints}
    views = {name: view for name, view in app.view_functions.items() if name.partition(".")[0] in exempt}

    assert csrf._exempt_views == set()
    assert {view.access for view in views.values()} <= {"public", "token", "operator_token"}
    by_token = {"unsubscribe.one_kind"}  # mail programs post there without a cookie: RFC 8058
    by_token |= {"csp.receive"}  # and browsers by themselves: it changes nothing
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint in views.keys() - by_token]
    assert all(rule.rule.startswith("/api/") for rule in rules)


def test_no_view_of_the_api_writes_a_json_object_by_hand():
    """Answers are shapes, from which their description comes as well; only headers are written out."""
    wrong = [
        f"app/routes/{path.name}:{node.lineno}"
        for path in [*sorted((APP / "routes").glob("api*.py")), APP / "routes/stripe_webhook.py"]
        for part in ast.parse(path.read_text()).body
        if isinstance(part, ast.FunctionDef) and part.name != "_instead"
        for node in (node for line in part.body for node in ast.walk(line))
        if isinstance(node, ast.Dict) and node.keys
    ]

    assert not wrong


# Templates


def templates() -> Iterator[tuple[str, str]]:
    for path in sorted(TEMPLATES.rglob("*.html")):
        yield str(path.relative_to(TEMPLATES)), re.sub(r"\{#.*?#\}", "", path.read_text(), flags=re.DOTALL)


FORBIDDEN = {
    "unescaped output": r"\|\s*safe\b|\bMarkup\b|autoescape\s+false",
    "an inline handler": r"\son[a-z]+\s*=",
    "script on the page": r"<script(?![^>]*\ssrc=)",
    "evaluated HTMX": r"hx-on|hx-vars|[\"']\s*js:|javascript:|hx-trigger=\"[^\"]*\[",
    "somebody else's file": r"(src|href)=\"(https?:)?//",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_template_holds(what):
    pattern = re.compile(FORBIDDEN[what], re.IGNORECASE)
    found = [name for name, text in templates() if pattern.search(text) and not name.startswith("emails/")]

    assert not found


def test_no_template_holds_a_style_but_those_of_mails():
    found = [name for name, text in templates() if re.search(r"\sstyle=|<style", text)]

    assert not [name for name in found if not name.startswith("emails/")]


def test_every_post_form_of_a_template_has_a_csrf_token():
    missing = []
    for name, text in templates():
        for form in re.findall(r"<form\b.*?</form>", text, flags=re.DOTALL):
            posts = re.search(r"method=\"post\"", form, re.IGNORECASE)
            if posts and not re.search(r"csrf\(\)|csrf_token|hidden_tag", form):
                missing.append(name)

    assert not missing


def test_mails_of_every_kind_have_a_subject_a_text_and_a_page():
    kinds = {path.name.removesuffix(".subject.txt") for path in (TEMPLATES / "emails").glob("*.subject.txt")}

    assert kinds
    for kind in kinds:
        assert (TEMPLATES / "emails" / f"{kind}.txt").exists()
        assert (TEMPLATES / "emails" / f"{kind}.html").exists()


def test_no_example_fails_because_the_machine_is_busy():
    """A plain `@given` has hypothesis's 200 ms unless the suite's profile is loaded."""
    assert settings.default.deadline is None
    assert HealthCheck.too_slow in settings.default.suppress_health_check


def test_no_test_begins_a_loop_of_its_own():
    """A browser test that ran before leaves one in the process: tests/loops.py has a thread for theirs."""
    here = Path(__file__).resolve().parent
    files = [*here.rglob("*.py"), *here.parent.joinpath("e2e").rglob("*.py")]

    found = [
        file.relative_to(here.parent).as_posix()
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "asyncio.run"
    ]

    assert found == ["tests/loops.py"]
