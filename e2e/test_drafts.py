"""What is typed is kept as it is typed, and given back."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from e2e.pages import SignIn


@pytest.mark.money
def test_words_are_there_again_in_another_browser(site, page, open_browser):
    ada = site.states.account(credits=100)
    dashboard = SignIn(page).enter(ada)
    dashboard.text.fill("A plan that takes long")
    expect(dashboard.composer).to_contain_text("Draft kept.")

    other = SignIn(open_browser()).enter(ada)

    expect(other.text).to_have_value("A plan that takes long")
    expect(other.composer).to_contain_text("is here")
    other.submit_button.click()
    expect(other.composer).to_contain_text("Submitted:")
    page.goto("/dashboard")
    expect(dashboard.text).to_have_value("")
