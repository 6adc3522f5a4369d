"""A task from the customer's composer to the operator's answer and back, each in a browser of their own."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from app.domain.clock import utcnow
from e2e.pages import AuditLog, Dashboard, Mails, OperatorTask, ParkedPayment, Queue, SecondFactor, SignIn, TaskPage
from e2e.pages.eyes import RULES, problems
from scripts.local.states.made import Made

pytestmark = pytest.mark.operators


@pytest.fixture
def ada(site) -> Made:
    return site.states.account(credits=100)


@pytest.fixture
def customer(ada, open_browser) -> Page:
    return SignIn(open_browser()).enter(ada).page


@pytest.fixture
def op(site) -> Made:
    return site.states.operator()


@pytest.fixture
def operator(op, open_browser) -> Page:
    page = SignIn(open_browser()).enter(op).page
    SecondFactor(page).prove()
    return page


@pytest.fixture
def queue(operator) -> Queue:
    """Open, and empty: a test of "the next one" needs to know which that is."""
    queue = Queue(operator).open()
    if queue.tasks.count():
        pytest.skip("the queue of that server is not empty: somebody else's tasks would be the next ones")
    return queue


@pytest.mark.smoke
def test_the_customers_open_page_shows_the_answer_when_an_operator_completes_the_task(
    site, ada, op, customer, queue, tmp_path
):
    report = tmp_path / "report.csv"
    report.write_text("region,revenue\nnorth,1204\n")
    Dashboard(customer).submit("Summarise the quarterly report in five points")
    customer.get_by_role("status").get_by_role("link").click()
    expect(customer.get_by_text("It is next in the queue.")).to_be_visible()
    task = TaskPage(customer)
    task.mark()

    work = queue.open().claim_next()
    expect(customer.get_by_text("Someone is working on it.")).to_be_visible()
    work.result.fill("# Summary\n\n- Revenue **up** 12 %")
    work.page.get_by_label("Files").set_input_files(report)
    work.complete()
    expect(work.completed).to_be_visible()

    expect(task.result.locator("strong")).to_have_text("up")
    expect(task.pill).to_have_text("Completed")
    assert task.is_the_same()
    assert task.text_of_file("report.csv") == report.read_text()
    mail = site.mail_to(ada.email, "Done")
    assert mail["subject"].startswith("Done")
    assert customer.url in mail["text"]

    log = AuditLog(work.page).open(query=f"action=task.&actor={op.email}")
    expect(log.acts).to_have_text(["Completed the task", "Claimed the task"])


def test_the_open_queue_follows_when_customers_and_operators_are_busy(site, ada, queue):
    expect(queue.empty).to_be_visible()

    first = site.api(ada).submit("First")
    expect(queue.tasks).to_have_text(["First"])
    queue.tick("First").check()
    site.api(ada).submit("Second")

    expect(queue.tasks).to_have_text(["First", "Second"])
    expect(queue.tick("First")).to_be_checked()
    site.api(site.states.operator_with_code()).claim(first)
    expect(queue.tasks).to_have_text(["Second"])


@pytest.mark.money
def test_a_customer_cancels_and_has_the_credits_back_when_work_has_not_begun(site, ada, customer):
    task = TaskPage(customer).open(task_id=site.api(ada).submit("Not this one"))
    task.begin_to_cancel()
    site.api(ada).submit("Another one, which changes the open page")
    expect(task.chip).to_contain_text("80")

    task.sure.click()  # the question has stayed

    expect(task.chip).to_contain_text("90")
    expect(customer.get_by_text("You cancelled this task before work began.")).to_be_visible()


@pytest.mark.smoke
def test_the_queue_is_worked_when_javascript_is_off(site, ada, operator, open_browser):
    task_id = site.api(ada).submit("Plain work")
    plain = open_browser(java_script_enabled=False)
    plain.context.add_cookies(operator.context.cookies())

    queue = Queue(plain).open()
    queue.tick("Plain work").check()
    queue.claim_ticked()
    work = queue.open_task("Plain work")
    work.result.fill("Done plainly")
    work.complete()

    assert site.api(ada).task(task_id)["status"] == "completed"


def test_ten_tasks_are_worked_with_the_keyboard_alone(site, ada, queue):
    """Keys beside those of the answers themselves; the fingers never leave for the mouse."""
    for number in range(10):
        site.api(ada).submit(f"Task {number}")
    expect(queue.tasks).to_have_count(10)
    queue.mark()
    keyboard, keys = queue.page.keyboard, 0

    def press(chord: str) -> None:
        nonlocal keys
        keyboard.press(chord)
        keys += chord.count("+") + 1

    press("j")  # to look at the first one before it is claimed
    expect(queue.page.get_by_role("link", name="Task 0")).to_be_focused()
    press("c")
    work = OperatorTask(queue.page)
    for number in range(10):
        expect(work.main.get_by_text(f"Task {number}", exact=True)).to_be_visible()
        expect(work.result).to_be_focused()
        keyboard.type(f"Answer {number}: je c x e r k j ?")  # in a field, keys are letters
        press("Control+Shift+Enter" if number < 9 else "Control+Enter")

    expect(work.completed).to_be_visible()
    expect(queue.empty).to_be_visible()
    assert queue.is_the_same()  # no page was loaded in between
    assert keys <= 60, keys
    assert {task["status"] for task in site.api(ada).tasks()} == {"completed"}


def test_the_queue_is_walked_and_ticked_by_single_keys(site, ada, queue):
    for name in ("One", "Two", "Three"):
        site.api(ada).submit(name)
    expect(queue.tasks).to_have_count(3)
    keyboard = queue.page.keyboard

    for key in "jxjjkx":
        keyboard.press(key)
    expect(queue.tick("One")).to_be_checked()
    expect(queue.tick("Two")).to_be_checked()
    expect(queue.page.get_by_text("2 ticked")).to_be_visible()
    keyboard.press("r")
    expect(queue.heading("Reject 2 tasks")).to_be_visible()
    keyboard.type("No")
    keyboard.press("Enter")
    expect(queue.page.get_by_text("2 tasks rejected, and 20 credits given back.")).to_be_visible()
    keyboard.press("j")
    keyboard.press("e")
    work = OperatorTask(queue.page)
    expect(work.state).to_contain_text("Nobody is working on it.")
    work.page.wait_for_load_state()
    keyboard.press("?")
    expect(work.heading("Keyboard")).to_be_visible()
    keyboard.press("Escape")
    expect(work.heading("Keyboard")).to_be_hidden()
    keyboard.press("r")
    expect(work.page.get_by_label("Reason")).to_be_focused()


@pytest.mark.inside("moves a lease back in time")
def test_an_answer_renews_its_lease_and_outlives_it_in_an_open_page(site, inside, ada, op, queue):
    task_id = site.api(ada).submit("Takes long")
    expect(queue.tasks).to_have_text(["Takes long"])
    queue.button("Claim: Takes long").click()
    work = OperatorTask(queue.page)
    expect(work.state).to_contain_text("Yours for 29 more minutes")
    work.mark()

    def leave_of_the_lease(left: timedelta) -> None:
        found = inside.store.tasks.find(task_id)
        with inside.store.transaction() as tx:
            tx.tasks.change(found, replace(found, version=found.version + 1, lease_until=utcnow() + left))

    leave_of_the_lease(timedelta(minutes=10, seconds=-1))
    expect(work.state).to_contain_text("Yours for 9 more minutes")
    work.result.fill("A long answer")  # typing renews it
    expect(work.state).to_contain_text("Yours for 29 more minutes")
    leave_of_the_lease(timedelta(seconds=-1))

    work.complete()
    expect(work.alert).to_contain_text("Your lease has run out.")
    expect(work.state).to_contain_text("anybody may claim this task")
    expect(work.result).to_have_value("A long answer")
    work.claim()
    expect(work.state).to_contain_text("Yours for 29 more minutes")
    expect(work.result).to_have_value("A long answer")
    work.complete()

    expect(work.completed).to_be_visible()
    assert work.is_the_same()
    assert site.api(ada).task(task_id)["status"] == "completed"


@pytest.mark.money
@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_many_are_rejected_and_the_rest_is_answered_one_after_the_other(site, ada, op, operator, open_browser, script):
    plain = open_browser(java_script_enabled=script)
    plain.context.add_cookies(operator.context.cookies())
    for name in ("Book a flight", "Book a hotel", "Write a letter", "Write a song"):
        site.api(ada).submit(name)

    queue = Queue(plain).open()
    expect(queue.views.first).to_have_text(re.compile(r"Waiting\s+4"))
    queue.page.goto("/admin?q=book")
    queue.tick_all()
    queue.reject_ticked("We book nothing.")
    expect(queue.page.get_by_text("2 tasks rejected, and 20 credits given back.")).to_be_visible()
    assert queue.page.url.endswith("/admin?q=book")
    assert site.api(ada).credits == 80
    work = queue.open().claim_next()
    work.result.fill("Dear **all**")
    work.button("Preview").click()
    expect(work.preview.locator("strong")).to_have_text("all")
    expect(work.result).to_have_value("Dear **all**")
    work.complete_and_take_the_next()
    expect(work.page.get_by_text("This is the next one.")).to_be_visible()
    work.result.fill("La la la")
    work.complete_and_take_the_next()

    expect(work.page.get_by_text("Nothing else is waiting: that was the last one.")).to_be_visible()
    assert site.api(ada).credits == 80


@pytest.mark.money
def test_a_parked_payment_is_credited_by_an_operator(site, ada, open_browser):
    parked = site.states.parked_payment()
    page = SignIn(open_browser()).enter(parked.email).page
    SecondFactor(page).prove()

    ParkedPayment(page).open(payment=parked.names["payment"]).credit(ada.email, "1000", "She wrote to us.")

    expect(page.get_by_role("status").first).to_be_visible()
    assert site.api(ada).credits == 1100


def test_a_mail_that_was_given_up_is_sent_again(site, open_browser):
    failed = site.states.mail_given_up()
    page = SignIn(open_browser()).enter(failed.email).page
    SecondFactor(page).prove()

    Mails(page).open().send_again(failed.names["to"])

    assert "credits" in site.mail_to(failed.names["to"])["subject"]


def test_the_pages_are_accessible_and_fit_when_they_are_looked_at(site, ada, op, open_browser):
    tasks = site.states.tasks
    result = "# Title\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n`x`"
    mine = {"email": ada.email, "operator": op.email}
    (done,) = tasks(completed=1, text="Done " * 30, result=result, **mine).tasks["completed"]
    (held,) = tasks(in_progress=1, text="Held", **mine).tasks["in-progress"]
    (waiting,) = tasks(pending=1, text="Waiting", **mine).tasks["pending"]
    page = SignIn(open_browser(reduced_motion="reduce")).enter(op).page
    paths = ["", "?view=mine", "/customers", "/corrections", "/mails?view=due", "/audit"]
    paths.append(f"/customers/{ada.account_id}")
    paths += ["/overview", *(f"/tasks/{task_id}" for task_id in (done, held, waiting))]
    customer = SignIn(open_browser(reduced_motion="reduce")).enter(ada).page

    found = []
    seen = [(page, f"/admin{path}") for path in paths]
    seen += [(customer, f"/tasks/{task_id}") for task_id in (done, held, waiting)]
    for tab, path in seen:
        tab.goto(path)
        found += problems(tab, path, dark=RULES)
    assert found == []
