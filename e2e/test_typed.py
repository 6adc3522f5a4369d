"""What is typed survives the end of its session: an open page stays, and the same submit goes through once."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from e2e.pages import AccountPage, OperatorTask, SignIn, Unsent

TEXT = "A long plan.\n" + "Zeile für Zeile. " * 150


@pytest.fixture
def end_sessions(open_browser):
    """The owner does it, in another browser."""

    def end(who) -> None:
        elsewhere = open_browser()
        SignIn(elsewhere).enter(who)
        AccountPage(elsewhere).open().sign_out_everywhere()

    return end


@pytest.fixture
def op(site):
    return site.states.operator()


@pytest.fixture
def task_id(site, op) -> str:
    """Claimed by the operator."""
    (task_id,) = site.states.tasks(in_progress=1, text="Answer me", operator=op.email).tasks["in-progress"]
    return task_id


@pytest.mark.money
@pytest.mark.threat(101)
def test_the_composer_goes_on_when_its_session_ended_and_was_renewed_in_another_tab(site, page, end_sessions):
    ada = site.states.account(credits=100)
    dashboard = SignIn(page).enter(ada)
    end_sessions(ada)

    dashboard.submit(TEXT)

    bar = dashboard.toasts
    expect(bar).to_contain_text("You were signed out.")
    expect(dashboard.text).to_have_value(TEXT)
    with page.context.expect_page() as opened:
        bar.get_by_role("link", name="Sign in in a new tab").click()
    SignIn(opened.value).again(ada.email)
    assert site.api(ada).tasks() == []
    page.bring_to_front()
    dashboard.submit_button.click()

    expect(dashboard.composer).to_contain_text("Submitted:")
    expect(bar).to_be_empty()
    dashboard.expect_balance("90")
    dashboard.submit("And another")
    dashboard.expect_balance("80")
    tasks = [task["description"].replace("\r\n", "\n") for task in site.api(ada).tasks()]
    assert tasks.count(TEXT) == 1
    if site.inside:
        assert not site.inside.store.accounts.get(ada.email).unsent
    expect(Unsent(page).open().nothing).to_be_visible()


@pytest.mark.operators
@pytest.mark.threat(101)
@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_an_operators_answer_goes_on_when_the_session_has_ended(site, open_browser, op, task_id, end_sessions, script):
    page = open_browser(java_script_enabled=script)
    SignIn(page).enter(op)
    work = OperatorTask(page).open(task_id=task_id)
    work.result.fill(TEXT)
    end_sessions(op)

    work.complete()
    if script:  # the open page stays: one signs in in another tab, and the same button works again
        expect(work.toasts).to_contain_text("You were signed out")
        SignIn(page.context.new_page()).enter(op)
        expect(work.result).to_have_value(TEXT)
        work.complete()
    else:
        SignIn(page).again(op.email)
        unsent = Unsent(page)
        expect(unsent.title).to_be_visible()
        expect(unsent.result).to_have_value(TEXT)
        unsent.send()
    expect(work.completed).to_be_visible()
    assert site.api(op).ask("GET", f"/api/admin/tasks/{task_id}")["result"] == TEXT


@pytest.mark.operators
def test_files_that_do_not_fit_are_named_before_they_are_sent(page, op, task_id, tmp_path):
    SignIn(page).enter(op)
    work = OperatorTask(page).open(task_id=task_id)
    work.result.fill("My answer")
    for number in range(11):
        (tmp_path / f"{number}.txt").write_text("x")
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        file.truncate(60 * 1024 * 1024)

    work.files.set_input_files([tmp_path / f"{number}.txt" for number in range(11)])
    expect(work.refused_files).to_have_text(re.compile("At most 5 files fit"))
    work.files.set_input_files(large)
    expect(work.refused_files).to_have_text("large.bin is larger than 10 MB.")
    work.complete()
    expect(work.result).to_have_value("My answer")
    work.files.set_input_files(tmp_path / "1.txt")
    expect(work.refused_files).to_be_hidden()
    work.complete()

    expect(work.completed).to_be_visible()
