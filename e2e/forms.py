"""Forms that hold a person's words, each with the account that fills it: for what is true of all of them."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from playwright.sync_api import Locator, Page, expect

from e2e.pages import Batch, Dashboard, OperatorTask, Unsent
from e2e.site import Site

WORDS = "Ein Plan für die Reise · خطة طويلة للرحلة · 旅行计划，一步一步 · 여행 · 👩‍👩‍👧‍👦🎻"  # a line of many scripts
LONG = "  indented, and longer than any cookie\n\n" + f"{WORDS}\n" * 60 + "the last line"


class Form:
    """`text` is what is typed into it. Whoever fills it is `who`; `cost` is what sending it costs `payer`."""

    path: str
    text: ClassVar[str] = LONG
    cost: ClassVar[int] = 0

    def __init__(self, site: Site) -> None:
        self.site = site
        self.who: Any = None
        self.payer: Any = None

    def open(self, page: Page) -> None:
        """As by a link: until its scripts have run, a form goes the plain way."""
        page.goto(self.path)
        page.wait_for_load_state()
        self.show(page)

    def show(self, page: Page) -> None:
        """Where it is folded; with words in it that were kept it stands open."""

    def field(self, page: Page) -> Locator:
        raise NotImplementedError

    def draft(self, page: Page) -> Locator:
        """The line that says what has become of the words."""
        return self.field(page).locator("xpath=ancestor::form").locator("[data-draft-line]")

    def fill(self, page: Page) -> None:
        self.field(page).fill(self.text)

    def send(self, page: Page) -> None:
        raise NotImplementedError

    def confirm(self, page: Page) -> None:
        """What a second page asks; most forms have none."""

    def expect_arrived(self, page: Page) -> None:
        """Shown in the page, and once in the product."""
        raise NotImplementedError

    def given_back(self, page: Page) -> Locator:
        """The words in the page of an error, or in the list of what waits after a sign-in."""
        return page.locator("main form").first.locator("textarea:visible, input:visible").first

    def send_again(self, page: Page) -> None:
        """From the page of an error."""
        kept = page.get_by_role("button", name="Send it again")
        expect(kept).to_be_visible()
        assert lines(self.given_back(page)) == self.text
        kept.click()
        self.confirm(page)

    def send_unsent(self, page: Page) -> None:
        unsent = Unsent(page)
        expect(unsent.title).to_be_visible()
        assert lines(self.given_back(page)) == self.text
        unsent.send()
        self.confirm(page)


class Composer(Form):
    path = "/dashboard"
    cost = 10

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.who = self.payer = site.states.account(credits=100)

    def field(self, page: Page) -> Locator:
        return Dashboard(page).text

    def send(self, page: Page) -> None:
        Dashboard(page).submit_button.click()

    def expect_arrived(self, page: Page) -> None:
        said = Dashboard(page).composer.get_by_text("Submitted:")  # or, without JavaScript, the task's own page
        expect(said.or_(page.get_by_text("It is next in the queue."))).to_be_visible()
        tasks = self.site.api(self.who).tasks()
        assert [task["description"].replace("\r\n", "\n") for task in tasks] == [self.text]


class SeveralTasks(Form):
    path = "/tasks/batch"
    text = f"{WORDS} 1\n{WORDS} 2\n" + "x" * 3000
    cost = 30

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.who = self.payer = site.states.account(credits=100)

    def field(self, page: Page) -> Locator:
        return Batch(page).lines

    def send(self, page: Page) -> None:
        Batch(page).preview()

    def confirm(self, page: Page) -> None:
        page.get_by_role("button", name=re.compile("Submit 3 tasks")).click()

    def expect_arrived(self, page: Page) -> None:
        expect(Dashboard(page).rows).to_have_count(3)
        tasks = self.site.api(self.who).tasks()
        assert sorted(task["description"] for task in tasks) == sorted(self.text.split("\n"))


class OfATask(Form):
    """By an operator who has claimed it."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self.who = site.states.operator()
        made = site.states.tasks(in_progress=1, text="Work on me", operator=self.who.email)
        self.payer, (self.task_id,) = made, made.tasks["in-progress"]
        self.path = f"/admin/tasks/{self.task_id}"
        self.colleague = site.states.operator()

    def task(self) -> dict[str, Any]:
        return self.site.api(self.colleague).ask("GET", f"/api/admin/tasks/{self.task_id}")


class Answer(OfATask):
    def field(self, page: Page) -> Locator:
        return OperatorTask(page).result

    def send(self, page: Page) -> None:
        OperatorTask(page).complete()

    def expect_arrived(self, page: Page) -> None:
        expect(OperatorTask(page).completed).to_be_visible()
        assert self.task()["result"] == self.text


class Reason(OfATask):
    """Why a task is rejected, which gives its credits back."""

    text = WORDS
    cost = -10

    def show(self, page: Page) -> None:
        if not self.field(page).is_visible():
            OperatorTask(page).begin_to_reject()

    def field(self, page: Page) -> Locator:
        return OperatorTask(page).reason

    def send(self, page: Page) -> None:
        OperatorTask(page).reject()

    def expect_arrived(self, page: Page) -> None:
        expect(page.get_by_text("The customer has been told why.")).to_be_visible()
        found = self.task()
        assert (found["status"], found["reason"]) == ("rejected", self.text)


FORMS = [Composer, SeveralTasks, Answer, Reason]


def lines(field: Locator) -> str:
    """What stands in a field; browsers know one kind of line end."""
    return field.input_value().replace("\r\n", "\n")
