"""The page of all components: from the macros themselves, whole, and in development only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from jinja2 import nodes
from jinja2.runtime import Macro

from app import create_app
from tests.routes.browser import Browser

COMPONENTS = Path(__file__).resolve().parents[2] / "app" / "templates" / "components"


def macros_of(environment) -> set[tuple[str, str]]:
    """Each macro of the components: its file and its name."""
    found = set()
    for path in COMPONENTS.glob("*.html"):
        tree = environment.parse(path.read_text(encoding="utf-8"))
        found |= {(path.name, macro.name) for macro in tree.find_all(nodes.Macro)}
    return found


@pytest.fixture
def called(monkeypatch) -> set[tuple[str, str]]:
    """The macros that are called from now on."""
    seen = set()
    plain = Macro.__call__

    def noted(self, *arguments, **named):
        seen.add((Path(self._func.__code__.co_filename).name, self.name))
        return plain(self, *arguments, **named)

    monkeypatch.setattr(Macro, "__call__", noted)
    return seen


def test_each_macro_of_the_components_is_on_it(app, called):
    """Whoever adds a macro shows it in app/templates/design/side.html, in each state that it has."""
    assert Browser(app).get("/design").status_code == 200

    missing = macros_of(app.jinja_env) - called
    assert missing == set()


def test_both_sides_show_the_same_and_no_id_stands_twice(app):
    page = BeautifulSoup(Browser(app).get("/design").text, "html5lib")
    light, dark = (page.select_one(f"section[data-theme={theme}]") for theme in ("light", "dark"))

    assert light.text == dark.text
    ids = [element["id"] for element in page.select("[id]")]
    assert len(ids) == len(set(ids))
    assert all(label["for"] in ids for label in page.select("label[for]"))


def test_it_is_not_there_in_production(app, config, store, sender, stripe):
    built = create_app(replace(config, env="production"), store=store, sender=sender, stripe=stripe)

    assert Browser(built).get("/design").status_code == 404
