"""Every state that a tester needs: made through the services, by a button of the panel of a real scripts/run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import httpx
import pyotp
import pytest
from bs4 import BeautifulSoup

from app.domain.clock import utcnow
from app.services import books
from app.services.seed import CUSTOMER, OPERATOR
from scripts.local.demo.month import JONAH, MIRA
from scripts.local.ports import HOST
from scripts.local.settings import REPO
from scripts.local.states.catalogue import STATES
from scripts.local.states.here import check
from scripts.local.states.made import CannotMake, Made
from scripts.local.states.makers import States
from scripts.local.states.over_http import DistantStates
from tests.local.local_run import Run

NEEDS_STRIPE = {"owing", "parked_payment"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    run = Run(tmp_path_factory.mktemp("states") / "var", DEMO_MONTH="1").start()
    run.until_ready()
    yield run
    run.end(signal.SIGTERM)


@pytest.fixture
def panel(run: Run) -> Iterator[httpx.Client]:
    url = f"http://{HOST}:{run.ports['LOCAL_STRIPE_PORT']}"
    with httpx.Client(base_url=url, timeout=120, trust_env=False) as client:
        yield client


@pytest.fixture
def press(panel: httpx.Client) -> Any:
    """Press a button as a person does, with what stands in its fields; what the page then says, by its words."""

    def pressed(name: str, **typed: str) -> dict[str, str]:
        page = BeautifulSoup(panel.get("/states").text, "html5lib")
        form = page.select_one(f"form[action='/states/{name}']")
        assert form is not None
        fields = {str(field["name"]): str(field["value"]) for field in form.select("input")}
        answer = panel.post(str(form["action"]), data=fields | typed, headers={"Sec-Fetch-Site": "same-origin"})
        assert answer.status_code == 200, answer.text
        told = BeautifulSoup(answer.text, "html5lib").select_one("[role=status]")
        said = {dt.text: dt.find_next("dd").text.strip() for dt in told.select("dt")}
        link = str(told.select_one("a.button")["href"])
        return said | {"path": unquote(link.partition("next=")[2])}

    return pressed


@pytest.fixture
def ask(run: Run) -> Any:
    """Sign in to the JSON API as the page said, and ask it; without a path the answer to the sign-in."""

    def asked(said: dict[str, str], path: str = "", **body: str) -> httpx.Response:
        with httpx.Client(base_url=run.url, timeout=60, trust_env=False) as client:
            proof = {"code": pyotp.TOTP(said["Secret"]).now()} if "Secret" in said else {}
            credentials = {"email": said["E-mail"], "password": said["Password"]} | proof
            signed_in = client.post("/api/auth/login", json=credentials)
            if not path:
                return signed_in
            assert signed_in.status_code == 200, signed_in.text
            bearer = {"Authorization": f"Bearer {signed_in.json()['token']}"}
            return client.request("POST" if body else "GET", path, json=body or None, headers=bearer)

    return asked


@pytest.fixture
def look(run: Run) -> Any:
    """What a browser shows that signed in as the page said."""

    def looked(said: dict[str, str], path: str = "") -> str:
        with httpx.Client(base_url=run.url, timeout=60, trust_env=False, follow_redirects=True) as client:
            page = BeautifulSoup(client.get("/login", params={"next": path or said["path"]}).text, "html5lib")
            form = page.select_one("form[action*='login']")
            hidden = {str(field["name"]): str(field["value"]) for field in form.select("input[type=hidden]")}
            typed = hidden | {"email": said["E-mail"], "password": said["Password"]}
            answer = client.post("/login", data=typed, headers={"Origin": run.url})
            assert answer.status_code == 200, answer.text
            return answer.text

    return looked


def test_an_account_with_so_many_credits(press, ask):
    said = press("account", credits="250")

    assert ask(said, "/api/user").json()["credits"] == 250


def test_so_many_tasks_in_each_status(press, ask):
    said = press("tasks", pending="2", completed="3", redo="1")

    found = ask(said, "/api/tasks?limit=50").json()["tasks"]
    statuses = sorted(task["status"] for task in found)
    assert statuses == ["cancelled", *["completed"] * 4, "in-progress", *["pending"] * 3, "rejected"]
    assert ask(said, "/api/user").json()["open_tasks"] == 4


def test_who_is_unconfirmed_and_the_link(press, ask, run):
    said = press("unconfirmed")
    assert ask(said, "/api/user").json()["email_confirmed"] is False
    assert said["Confirm"].startswith(f"{run.url}/confirm/")


def test_owing(press, ask):
    said = press("owing")

    assert ask(said, "/api/user").json()["credits"] == -10
    assert ask(said, "/api/tasks", description="One more").status_code == 402


def test_frozen(press, ask):
    answer = ask(press("frozen"), "/api/tasks", description="One more")

    assert (answer.status_code, answer.json()["code"]) == (403, "account_frozen")


def test_throttled(press, ask):
    answer = ask(press("throttled"))

    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")


def test_operators_with_and_without_a_second_factor(press, ask):
    without, with_code = press("operator"), press("operator_with_code")

    assert ask(without, "/api/admin/tasks").status_code == 200
    password_alone = {name: said for name, said in with_code.items() if name != "Secret"}
    assert ask(password_alone).json()["code"] == "second_factor_required"
    assert ask(with_code, "/api/admin/tasks").status_code == 200
    assert ask({**with_code, "Secret": "A" * 32}).json()["code"] == "wrong_code"


def test_an_expired_lease_may_be_claimed_by_another(press, ask):
    (task_id,) = press("expired_lease")["In-progress"].split(", ")

    claimed = ask(press("operator_with_code"), f"/api/admin/tasks/{task_id}/claim", minutes=30)

    assert claimed.status_code == 200, claimed.text


def test_a_parked_payment_waits_for_its_operator(press, look):
    said = press("parked_payment")

    page = look(said)
    assert said["Payment"] in page
    assert "no usable e-mail address" in page


def test_a_mail_that_was_given_up_is_among_the_failed(press, look):
    said = press("mail_given_up")

    assert said["To"] in look(said)


def test_a_clock_moved_shows_a_statement_of_an_earlier_month_and_a_lapsed_lease(press, ask, look):
    said = press("clock_moved", days="70")

    assert said["Month"] < f"{utcnow():%Y-%m}"
    assert "Closing balance" in look(said)
    assert ask(said, f"/api/tasks/{said['In-progress']}").json()["created_at"] < f"{utcnow():%Y-%m}"
    assert ask(said, f"/api/tasks/{said['Completed']}/redo", note="Again").status_code == 409


def test_the_demo_accounts_open_on_a_month(run, ask):
    password = json.loads((run.var_dir / "secrets.json").read_text())["DEMO_PASSWORD"]
    customer, operator = ({"E-mail": email, "Password": password} for email in (CUSTOMER, OPERATOR))

    statuses = {task["status"] for task in ask(customer, "/api/tasks?limit=50").json()["tasks"]}

    assert statuses == {"pending", "in-progress", "completed", "rejected", "cancelled"}
    owners = {task["user_email"] for task in ask(operator, "/api/admin/tasks").json()["tasks"]}
    assert {CUSTOMER, MIRA, JONAH} <= owners


def test_the_books_agree_whatever_was_made(press, panel, run):
    for name in STATES:
        press(name)
        press(name, days="3")
    command = [sys.executable, "-m", "scripts.local.flask_command", "books", "check"]
    environment = {"PATH": os.environ["PATH"], "VAR_DIR": str(run.var_dir)}
    checked = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_what_cannot_be_made_is_one_sentence(panel):
    same_site = {"Sec-Fetch-Site": "same-origin"}
    for typed, words in (
        ({"days": "soon"}, "days must be a number."),
        ({"credits": "1e12"}, "credits must be a number from -1,000,000 to 1,000,000."),
        ({"colour": "1"}, "There is no &#39;colour&#39; to this state."),
    ):
        answer = panel.post("/states/account", data=typed, headers=same_site)
        assert answer.status_code == 400
        assert words in answer.text
    assert panel.post("/states/rich", headers=same_site).status_code == 404
    assert panel.post("/states/account", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_a_program_makes_the_same_and_leaves_nothing_open(panel, ask):
    states = DistantStates(str(panel.base_url))

    made = states.tasks(pending=1, in_progress=1, credits=30)

    assert isinstance(made, Made)
    said = {"E-mail": made.email, "Password": made.password}
    assert ask(said, "/api/user").json() | {"credits": 30, "open_tasks": 2} == ask(said, "/api/user").json()
    states.leave(made.email)
    assert ask(said, "/api/user").json() | {"credits": 50, "open_tasks": 0} == ask(said, "/api/user").json()
    with pytest.raises(CannotMake, match="must be a number"):
        states.account(credits=True)


def test_a_program_reads_the_mails_to_an_address(panel, press, run):
    said = press("owing")

    def subjects() -> list[str]:
        return [mail["subject"] for mail in panel.get("/_control/mails", params={"to": said["E-mail"]}).json()["mails"]]

    while "1,000 credits added" not in subjects():
        run.pause()
    assert panel.get("/_control/mails", params={"to": "nobody@example.com"}).json() == {"mails": []}


@pytest.mark.parametrize("name", sorted(STATES.keys() - NEEDS_STRIPE))
def test_a_state_leaves_books_that_agree(app, store, name):
    states = States(app.extensions["impacteragi"], lambda path, body: pytest.fail("asks Stripe"))
    made = STATES[name].make(states, STATES[name].fields)

    assert store.accounts.get(made.email).account_id == made.account_id
    assert books.check(store) == []


def test_no_state_is_made_in_production_or_elsewhere(config):
    local = replace(config, stripe_api_base="http://127.0.0.1:4242")
    check(local)
    for other in (
        {"env": "production"},
        {"dynamodb_endpoint_url": None},
        {"ses_endpoint_url": "https://email.us-east-1.amazonaws.com"},
        {"stripe_api_base": None},
    ):
        with pytest.raises(CannotMake):
            check(replace(local, **other))


def test_a_stand_in_that_belongs_to_no_run_has_no_such_page():
    from scripts.local.stripe_standin.process import StripeStandIn

    with StripeStandIn() as alone:
        assert httpx.get(f"{alone.url}/states", trust_env=False).status_code == 404
        assert not re.search("States", httpx.get(alone.url, trust_env=False).text)
