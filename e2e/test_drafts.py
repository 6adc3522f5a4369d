"""Every way to lose what was typed, tried: it is kept as it is typed, given back, and goes out once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from limits import parse
from playwright.sync_api import Page, Route, expect

from app.data.direct import OPERATIONS
from app.domain import credits
from app.domain.clock import utcnow
from app.routes import drafts
from app.services import books
from app.web import admission
from app.web.deps import KEY
from app.web.work_slots import NO_SLOT, is_free
from e2e.forms import FORMS, LONG, WORDS, Answer, Composer, Form, Reason, SeveralTasks, lines
from e2e.pages import AccountPage, Credits, Dashboard, OperatorTask, SecondFactor, SignIn
from e2e.pages.world import signed_in
from e2e.site import InProcess, served
from scripts.local.ports import free_port
from scripts.local.states.made import Made

pytestmark = [pytest.mark.money, pytest.mark.operators]

SIGNED_OUT = "You were signed out."
REFUSED = "net::ERR_CONNECTION_REFUSED"
on_and_off = pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])


def kinds(*of: type[Form]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kind", of, ids=lambda kind: kind.__name__)


every_form = kinds(*FORMS)


@pytest.fixture
def form(site, kind) -> Form:
    return kind(site)


@pytest.fixture
def page(open_browser, script) -> Page:
    return open_browser(java_script_enabled=script)


@pytest.fixture
def script() -> bool:
    """Most ways need a script to keep what is typed; a test that has both says so itself."""
    return True


@pytest.fixture
def typed(form, page, script) -> Page:
    """Written into the open page, and not sent."""
    return write(form, page, script)


@pytest.fixture
def end_sessions(open_browser) -> Callable[[Made], None]:
    """Their owner does it, in another browser."""

    def end(who: Made) -> None:
        elsewhere = open_browser()
        SignIn(elsewhere).enter(who)
        AccountPage(elsewhere).open().sign_out_everywhere()

    return end


@pytest.fixture
def idle(inside) -> Callable[[Made], None]:
    """Nobody has done anything for a month: every session has ended by itself."""

    def grow_old(who: Made) -> None:
        account = inside.store.accounts.get(who.email)
        long_ago = utcnow() - timedelta(days=31)
        sessions = {key: replace(session, seen_at=long_ago) for key, session in account.sessions.items()}
        inside.store.updates.accounts.change(account, sessions=sessions)

    return grow_old


def write(form: Form, page: Page, script: bool = True) -> Page:
    page.context.add_cookies(signed_in(form.site.url, form.who.email))  # the pages of a sign-in are seen elsewhere
    form.open(page)
    form.fill(page)
    if script:
        expect(form.draft(page)).to_contain_text("Draft kept.")
    return page


def go_on(form: Form, page: Page, script: bool) -> None:
    """Once what was in the way is gone: the same button in the page that stayed, or that of the page of the error."""
    if script and form.field(page).is_visible():
        assert lines(form.field(page)) == form.text
        form.send(page)
        form.confirm(page)
    else:
        form.send_again(page)
    done(form, page)


def done(form: Form, page: Page) -> None:
    """It has arrived once, costs once, and is no draft any more."""
    before = 100
    form.expect_arrived(page)
    assert form.site.api(form.payer).credits == before - form.cost
    elsewhere = page.context.new_page()
    elsewhere.goto(form.path)
    for field in form.field(elsewhere).all():
        expect(field).to_have_value("")


@contextmanager
def full(inside: InProcess) -> Iterator[None]:
    """Every place at work is taken: the app is only to give back what was sent."""
    usual = inside.app.wsgi_app

    def no_slot(environ: Any, start: Any) -> Any:
        refused = {} if is_free(environ["PATH_INFO"]) else {NO_SLOT: True}
        return usual(environ | refused, start)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inside.app, "wsgi_app", no_slot)
        yield


@contextmanager
def store_away(inside: InProcess) -> Iterator[None]:
    """Each call of the store ends as one that finds nobody."""

    def nobody(*_args: Any, **_request: Any) -> dict[str, Any]:
        raise EndpointConnectionError(endpoint_url=inside.aws.endpoint_url)

    with pytest.MonkeyPatch.context() as patch:
        for operation in OPERATIONS:
            patch.setattr(inside.store.client, operation, nobody)
        yield


@every_form
@on_and_off
@pytest.mark.inside("ages sessions")
@pytest.mark.threat(101)
def test_the_session_has_ended_by_itself(form, page, script, typed, idle):
    idle(form.who)

    form.send(page)
    if script:  # the open page stays: one signs in in another tab, and the same button works again
        bar = page.locator("#toasts")
        expect(bar).to_contain_text(SIGNED_OUT)
        with page.context.expect_page() as opened:
            bar.get_by_role("link", name="Sign in in a new tab").click()
        SignIn(opened.value).again(form.who.email)
        page.bring_to_front()
        assert lines(form.field(page)) == form.text
        form.send(page)
        form.confirm(page)
        expect(bar).to_be_empty()
    else:
        SignIn(page).again(form.who.email)
        form.send_unsent(page)
    done(form, page)


@kinds(Composer, Answer)
@pytest.mark.inside("ages sessions")
def test_a_poll_that_finds_no_session_leads_nowhere(form, page, typed, idle):
    if isinstance(form, Composer):  # its page asks as long as a task is open
        form.site.api(form.who).submit("Another one")
        form.open(page)
    idle(form.who)

    expect(page.locator("#toasts")).to_contain_text(SIGNED_OUT)
    expect(page).to_have_url(form.site.url + form.path)
    assert lines(form.field(page)) == form.text


@every_form
@pytest.mark.inside("ages sessions")
def test_one_goes_on_typing_after_the_session_has_ended(form, page, typed, idle):
    """The line no longer says that all is kept, and it is kept once one is signed in again."""
    idle(form.who)
    form.field(page).press("End")
    form.field(page).press("!")

    expect(form.draft(page)).to_have_text("Not kept: you were signed out. What you wrote stays here.")
    expect(page.locator("#toasts")).to_contain_text(SIGNED_OUT)
    other = page.context.new_page()
    SignIn(other).enter(form.who)
    page.bring_to_front()
    form.field(page).press("!")

    expect(form.draft(page)).to_contain_text("Draft kept.")
    form.open(other)
    expect(form.field(other)).to_have_value(form.field(page).input_value())


@every_form
@on_and_off
def test_one_has_signed_in_anew_in_another_tab(form, page, script, typed):
    other = page.context.new_page()
    page.context.clear_cookies()
    SignIn(other).enter(form.who)
    page.bring_to_front()

    form.send(page)
    if script:  # the token that fits is fetched, and the form sent once more, by itself
        form.confirm(page)
    else:
        expect(page.get_by_role("heading", name="Please send it once more")).to_be_visible()
        form.send_again(page)
    done(form, page)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [*((kind, full) for kind in FORMS), (Composer, store_away), (Answer, store_away)],
    ids=lambda value: value.__name__,
)
@on_and_off
@pytest.mark.inside("breaks what the process stands on")
def test_the_server_cannot_answer_now(form, page, script, typed, inside, windows, fault):
    with fault(inside):
        form.send(page)
        said = page.locator("#toasts [role=alert]").or_(page.get_by_role("heading", name="We cannot answer right now"))
        expect(said).to_be_visible()
    windows.explain("the server responded with a status of 503")
    go_on(form, page, script)


@pytest.fixture
def port() -> int:
    return free_port()


@every_form
@on_and_off
@pytest.mark.inside("serves at a port of its own, and stops")
def test_the_server_is_gone_and_comes_back(form, open_browser, windows, script, inside, port):
    page = open_browser(java_script_enabled=script, base_url=f"http://127.0.0.1:{port}")
    with served(inside.app, port):
        write(form, page, script)

    form.send(page)
    if script:
        expect(page.locator("#toasts")).to_contain_text("No answer from the server.")
        assert lines(form.field(page)) == form.text
        windows.explain(REFUSED)
        windows.explain("htmx:error: Failed to fetch")  # the library says so itself
    else:
        page.wait_for_url(re.compile("^chrome-error:"))

    with served(inside.app, port):
        if script:
            form.send(page)
        else:
            page.reload()  # the browser's own page has it, and sends it again
        form.confirm(page)
        done(form, page)


@every_form
def test_leaving_asks_until_the_words_are_kept(form, open_browser):
    # Chromium begins a transition between the two pages before it asks, and when the answer is to stay, it says on the
    # console "Transition was aborted because of invalid state": with less motion there is none.
    page = open_browser(reduced_motion="reduce")
    SignIn(page).enter(form.who)
    form.open(page)
    held: list[Route] = []
    page.route("**/drafts", lambda route: held.append(route))
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))

    def leave() -> None:
        page.get_by_role("link", name="Account", exact=True).click()

    form.field(page).click()  # browsers ask nothing of a page that nobody has touched
    form.fill(page)
    leave()
    expect(page).to_have_url(form.site.url + form.path)
    assert asked == ["beforeunload"]
    assert lines(form.field(page)) == form.text
    page.unroute("**/drafts")
    for route in held:
        route.continue_()
    expect(form.draft(page)).to_contain_text("Draft kept.")

    leave()
    expect(page).to_have_url(form.site.url + AccountPage.path)
    assert asked == ["beforeunload"]


@every_form
def test_it_is_there_again_wherever_one_comes_from(form, page, typed, open_browser):
    """After a reload, after Back, in a new tab once this one is closed, in another browser; and sent from there."""

    def expect_words(where: Page) -> None:
        expect(form.draft(where)).to_contain_text("Your draft is here")
        assert lines(form.field(where)) == form.text

    page.reload()
    expect_words(page)
    page.goto("/account")
    page.go_back()
    assert lines(form.field(page)) == form.text
    tab = page.context.new_page()
    page.close()
    form.open(tab)
    expect_words(tab)
    other = open_browser()
    SignIn(other).enter(form.who)
    form.open(other)
    expect_words(other)

    form.send(other)
    form.confirm(other)
    done(form, other)


@every_form
@pytest.mark.parametrize("script", [False], ids=["without JavaScript"])
def test_back_has_it_still_without_javascript(form, page, typed):
    page.goto("/account")
    page.go_back()

    assert lines(form.field(page)) == form.text
    form.show(page)
    form.send(page)
    form.confirm(page)
    done(form, page)


@kinds(Composer, Reason)  # the others take files of that size: what is too long for them is refused by the form
@on_and_off
@pytest.mark.inside("lowers the limit: a browser lays out 2 MB of text for seconds")
def test_it_is_longer_than_the_server_takes(form, page, script, monkeypatch):
    """It stays, or comes back, whole; shortened, it goes out."""
    long = ("x" * 99 + ("" if form.text == WORDS else "\n")) * 1024
    monkeypatch.setattr(admission, "MAX_TYPED", 64 * 1024)
    put = "(field, text) => { field.value = text; field.dispatchEvent(new Event('input', { bubbles: true })); }"
    SignIn(page).enter(form.who)
    form.open(page)
    form.field(page).evaluate(put, long)
    if script:
        expect(form.draft(page)).to_contain_text("This cannot be kept as you type.")

    form.send(page)

    said = page.get_by_role("alert").or_(page.get_by_role("heading", name="That is too much at once"))
    expect(said.first).to_be_visible()
    field = form.field(page) if script else form.given_back(page)
    assert field.input_value() == long
    field.evaluate(put, form.text)
    go_on(form, page, script)


@kinds(Answer, Reason)
@on_and_off
@pytest.mark.inside("asks operators for a second factor")
def test_an_operator_has_to_prove_a_second_factor_first(form, page, script, inside, monkeypatch):
    write(form, page, script)
    monkeypatch.setitem(
        inside.app.extensions, KEY, replace(inside.deps, config=replace(inside.deps.config, require_operator_2fa=True))
    )

    form.send(page)

    said = page.locator("#toasts [role=alert]").or_(page.get_by_role("heading", name="Prove your second factor first"))
    expect(said).to_be_visible()
    SecondFactor(page.context.new_page()).prove()
    page.bring_to_front()
    go_on(form, page, script)


@kinds(Composer, SeveralTasks)
@on_and_off
@pytest.mark.inside("freezes an account while its page is open")
def test_spending_is_paused_meanwhile(form, page, script, typed, inside):
    store, who = inside.store, form.who.email
    books.freeze(store, [books.Difference(who, "made for a trial", "nothing", "nothing", who)], now=utcnow())

    form.send(page)
    if isinstance(form, SeveralTasks):
        form.confirm(page)
    said = page.locator("#toasts [role=alert]").or_(page.get_by_role("heading", name="Spending is paused"))
    expect(said).to_be_visible()
    books.unfreeze(store, who, actor="local states", reason="The trial is over.", now=utcnow())

    if isinstance(form, SeveralTasks):
        page.get_by_role("button", name="Send it again").click()
        done(form, page)
    else:
        go_on(form, page, script)


@kinds(Composer)
@on_and_off
@pytest.mark.inside("lowers the limit")
def test_too_many_submits_for_now(form, page, script, typed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(credits, "SUBMITS_A_MINUTE", 0)
        form.send(page)
        said = page.locator("#toasts [role=alert]").or_(page.get_by_role("heading", name="A little too fast"))
        expect(said).to_be_visible()
    go_on(form, page, script)


@every_form
@pytest.mark.inside("counts saves that nobody made")
def test_too_many_saves_for_now(form, page, inside, monkeypatch):
    """It says that nothing is kept, leaving asks, and sending works all the same."""
    SignIn(page).enter(form.who)
    form.open(page)
    limit = parse("1 per day")  # no minute that ends meanwhile lets one through
    monkeypatch.setattr(drafts, "DRAFTS_BY_ACCOUNT", limit)
    inside.deps.throttle.hit(limit, "drafts", form.who.email)
    form.fill(page)

    expect(form.draft(page)).to_contain_text("Not kept yet")
    form.send(page)
    form.confirm(page)
    done(form, page)


@kinds(Answer)
@on_and_off
@pytest.mark.parametrize("other", [False, True], ids=["nobody has it", "another has it"])
def test_the_lease_is_lost(form, page, script, typed, site, other):
    work = OperatorTask(page)
    site.api(form.who).release(form.task_id)
    colleague = site.api(site.states.operator())
    if other:
        colleague.claim(form.task_id)

    form.send(page)

    expect(work.alert.first).to_be_visible()
    assert lines(form.field(page)) == form.text
    if other:
        colleague.release(form.task_id)
        if script:
            expect(work.state).to_contain_text("Nobody is working on it.")
        else:
            page.reload()  # which sends it once more
    work.claim()
    expect(work.state).to_contain_text("Yours for")
    assert lines(form.field(page)) == form.text
    form.send(page)
    done(form, page)


REASONS = {  # where an operator gives one: the address of the form, and what else it wants
    "adjust": {"Credits": "5"},
    "disable": {},
    "refund": {},
    "dismiss": {},
    "credit": {"Account (e-mail)": "ada@example.com", "Credits": "10"},
}


@pytest.mark.parametrize("verb", REASONS)
@on_and_off
def test_a_reason_is_refused(site, page, verb):
    """Too long by far: every letter is there still, with what else was typed, and shortened it is taken."""
    parked = site.states.parked_payment()
    ada = site.states.account(credits=100)
    customer = verb in ("adjust", "disable")
    SignIn(page).enter(parked.email)
    page.goto(
        f"/admin/customers/{ada.account_id}" if customer else f"/admin/finance/payments/{parked.names['payment']}"
    )
    page.wait_for_load_state()
    for folded in page.locator("details", has=page.locator(f"form[action$='/{verb}']")).all():
        folded.locator("summary").click()
    long = WORDS * 20
    form = page.locator(f"form[action$='/{verb}']")
    for label, value in REASONS[verb].items():
        form.get_by_label(label, exact=True).fill(value)
    form.get_by_label("Reason").evaluate("(field, text) => { field.value = text; }", long)  # past the field's own limit

    form.locator("button:not([form])").click()

    form = page.locator(f"form[action$='/{verb}']")
    expect(page.get_by_role("alert").or_(page.get_by_role("heading", name="Please check")).first).to_be_visible()
    expect(form.get_by_label("Reason")).to_have_value(long)
    for label, value in REASONS[verb].items():
        expect(form.get_by_label(re.compile("^" + re.escape(label.partition(" ")[0])))).to_have_value(value)
    form.get_by_label("Reason").fill(WORDS)
    form.locator("button:not([form])").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_text(WORDS).first).to_be_visible()


@kinds(Composer)
def test_two_tabs_write_at_once(form, page):
    """Each says which text it takes the place of; they are never mixed, and either goes out once."""
    SignIn(page).enter(form.who)
    other = page.context.new_page()
    for tab in (page, other):
        form.open(tab)
    form.fill(page)
    expect(form.draft(page)).to_contain_text("Draft kept.")
    other.bring_to_front()
    form.field(other).fill("Of the second tab")
    expect(form.draft(other)).to_contain_text("It takes the place of the one that another page kept")

    form.send(other)
    expect(Dashboard(other).composer).to_contain_text("Submitted:")
    page.bring_to_front()
    assert lines(form.field(page)) == form.text
    form.send(page)
    expect(Dashboard(page).composer).to_contain_text("Submitted:")

    tasks = [task["description"] for task in form.site.api(form.who).tasks()]
    assert tasks == [form.text, "Of the second tab"]
    assert form.site.api(form.who).credits == 80


@on_and_off
def test_five_thousand_characters_wait_while_credits_are_bought(site, page):
    ada = site.states.account(credits=5)
    text = (LONG * 3)[:4999] + "!"
    dashboard = SignIn(page).enter(ada)
    dashboard.text.fill(text)

    dashboard.buy_and_keep_the_text()
    expect(Credits(page).kept_draft).to_be_visible()
    Credits(page).choose_pack().pay_by_card()
    page.wait_for_load_state()
    dashboard.open()

    assert lines(dashboard.text) == text
    dashboard.submit_button.click()
    expect(page.get_by_text("Submitted:").or_(page.get_by_text("It is next in the queue."))).to_be_visible()
    assert [task["description"] for task in site.api(ada).tasks()] == [text]
