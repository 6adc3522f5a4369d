"""One task as its customer sees it, several at once, and what waits to be sent again."""

from __future__ import annotations

from playwright.sync_api import Page

from e2e.pages.screen import Screen


class TaskPage(Screen):
    endpoints = ("tasks.show",)
    path = "/tasks/{task_id}"

    def __init__(self, page: Page):
        super().__init__(page)
        self.pill = page.locator(".pill")
        self.result = page.locator("#result")
        self.subject = page.locator("h1.subject")

        self.sure = self.button("Cancel it")

    def begin_to_cancel(self) -> None:
        self.page.get_by_text("Cancel this task").click()

    def cancel(self) -> None:
        self.begin_to_cancel()
        self.sure.click()

    def text_of_file(self, name: str) -> str:
        with self.page.expect_download() as download:
            self.page.get_by_role("link", name=name).click()
        return download.value.path().read_text()


class Batch(Screen):
    endpoints = ("tasks.batch",)
    path = "/tasks/batch"

    def __init__(self, page: Page):
        super().__init__(page)
        self.lines = page.get_by_label("One task on each line")

    def preview(self) -> None:
        self.button("See the total").click()


class Unsent(Screen):
    endpoints = ("unsent.show",)
    path = "/unsent"

    def __init__(self, page: Page):
        super().__init__(page)
        self.title = self.heading("Not sent yet")
        self.nothing = page.get_by_text("Nothing is waiting.")
        self.task = page.get_by_label("Task", exact=True)
        self.result = page.get_by_role("textbox", name="Result")

    def send(self) -> None:
        self.button("Send it").click()
