"""The operators' screens: queue, task, customers, proposals, mails, overview, system."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page

from e2e.pages.screen import Screen


class Queue(Screen):
    endpoints = ("admin.index",)
    path = "/admin"

    def __init__(self, page: Page):
        super().__init__(page)
        self.tasks = page.locator("#queue .queue a")
        self.ticks = page.locator("#queue [type=checkbox]")
        self.empty = page.get_by_text("Nothing is waiting.")
        self.views = page.get_by_role("navigation", name="Which tasks").get_by_role("link")
        self.outcomes = page.get_by_role("region", name="What became of each").get_by_role("listitem")

    def claim_next(self) -> OperatorTask:
        self.button("Claim the next task").click()
        return OperatorTask(self.page)

    def tick(self, text: str) -> Locator:
        return self.page.get_by_label(f"Tick: {text}")

    def claim_ticked(self) -> None:
        self.page.get_by_role("button", name="Claim", exact=True).click()

    def tick_all(self) -> None:
        self.page.get_by_role("link", name="Select all").click()

    def reject_ticked(self, reason: str) -> None:
        self.button("Reject…").click()
        self.page.get_by_label("Reason").fill(reason)
        self.page.get_by_role("button", name="Reject").click()

    def compose(self) -> None:
        """One answer for all that are ticked."""
        self.button("Complete…").click()

    def open_task(self, text: str) -> OperatorTask:
        self.page.get_by_role("link", name=text).click()
        return OperatorTask(self.page)


class OperatorTask(Screen):
    endpoints = ("admin.task",)
    path = "/admin/tasks/{task_id}"

    def __init__(self, page: Page):
        super().__init__(page)
        self.result = page.get_by_role("textbox", name="Result")
        self.files = page.locator("input[type=file]")
        self.refused_files = page.locator("#files-refused")
        self.completed = page.get_by_text("Completed. The customer has been told.")
        self.state = page.get_by_role("region", name="State")
        self.preview = page.get_by_role("group", name="What the customer will read")
        self.reason = page.locator("#reject").get_by_label("Reason")

    def complete(self) -> None:
        self.button("Complete the task").click()

    def complete_and_take_the_next(self) -> None:
        self.button("Complete and take the next").click()

    def claim(self) -> None:
        self.button("Claim for 30 minutes").click()

    def begin_to_reject(self) -> None:
        self.page.get_by_text("Reject this task…").click()

    def reject(self) -> None:
        self.button("Reject it").click()


class Customers(Screen):
    endpoints = ("admin.list_customers",)
    path = "/admin/customers"


class Customer(Screen):
    endpoints = ("admin.customer",)
    path = "/admin/customers/{account_id}"

    def preview_adjustment(self, credits: str, reason: str) -> None:
        self.page.get_by_label("Credits", exact=True).fill(credits)
        self.page.get_by_label("Reason", exact=True).first.fill(reason)
        self.button("Preview").click()


class Proposals(Screen):
    endpoints = ("admin.list_proposals",)
    path = "/admin/corrections"


class Mails(Screen):
    endpoints = ("admin.list_mails",)
    path = "/admin/mails"

    def row_to(self, email: str) -> Locator:
        return self.page.locator("tr, li").filter(has_text=email)

    def send_again(self, email: str) -> None:
        self.row_to(email).get_by_role("button", name=re.compile("Send again")).click()


class SendAgain(Screen):
    """Asks before all mails that failed in a time are sent once more."""

    endpoints = ("admin.choose_failed",)
    path = "/admin/mails/resend-failed?until={until}"


class Overview(Screen):
    endpoints = ("admin.overview",)
    path = "/admin/overview"


class System(Screen):
    """What the doctor has found last."""

    endpoints = ("admin.system",)
    path = "/admin/system"

    def mends(self) -> list[str]:
        """The commands that it names."""
        return self.page.locator("main dd code").all_inner_texts()
