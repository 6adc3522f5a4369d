"""Lists that are filtered in the page and leave it as files: transactions, statements, the audit log."""

from __future__ import annotations

import csv
from pathlib import Path

from playwright.sync_api import Page

from e2e.pages.screen import Screen


class ListScreen(Screen):
    def rows_of_file(self) -> list[list[str]]:
        """What "Download CSV" brings, without its head and its total."""
        with self.page.expect_download() as download:
            self.page.get_by_role("link", name="Download CSV").click()
        with Path(download.value.path()).open(encoding="utf-8-sig", newline="") as file:
            return list(csv.reader(file))[1:-1]


class Transactions(ListScreen):
    endpoints = ("transactions.index",)
    path = "/transactions"

    def __init__(self, page: Page):
        super().__init__(page)
        self.rows = page.locator("#movements tbody tr")
        self.type = page.get_by_label("Type")
        self.month = page.get_by_label("Month")
        self.statement_link = page.get_by_role("link", name="Statement of")


class Statement(Screen):
    endpoints = ("transactions.statement",)
    path = "/transactions/statement/{month}"

    def __init__(self, page: Page):
        super().__init__(page)
        self.closing_balance = page.get_by_text("Closing balance")
        self.pdf_link = page.get_by_role("link", name="Download PDF")


class AuditLog(ListScreen):
    """`query` narrows it from the first: on a server of others, to what this test's operator did."""

    endpoints = ("admin.audit",)
    path = "/admin/audit?{query}"

    def __init__(self, page: Page):
        super().__init__(page)
        self.rows = page.locator("#log tbody tr")
        self.acts = page.locator("td.did")
        self.what = page.get_by_label("What")
