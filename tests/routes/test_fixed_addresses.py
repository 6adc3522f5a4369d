"""What every page of a process says alike stands in the text of its template: addresses without parts."""

from __future__ import annotations

import pytest
from flask import render_template_string
from werkzeug.routing import BuildError


def compiled(app, text: str) -> str:
    return app.jinja_env.compile(text, raw=True)


def shown(app, text: str, **given: object) -> str:
    with app.test_request_context():
        return render_template_string(text, **given)


@pytest.mark.parametrize(
    "call",
    ["url_for('credits.show')", "static_url('app.css')", "url_for('dashboard.show') ~ '#composer'"],
)
def test_address_that_is_always_the_same_is_built_once(app, call):
    assert "'url_for'" not in compiled(app, f"<a href='{{{{ {call} }}}}'>")
    assert "'static_url'" not in compiled(app, f"<a href='{{{{ {call} }}}}'>")
    assert shown(app, f"{{{{ {call} }}}}").startswith("/")


@pytest.mark.parametrize(
    ("call", "address"),
    [
        ("url_for('dashboard.show', cursor='a&b')", "/dashboard?cursor=a%26b"),
        ("url_for('tasks.show', task_id=id)", "/tasks/task_a"),
        ("url_for('dashboard.show', **more)", "/dashboard?q=quotes"),
        ("url_for(endpoint)", "/credits"),
    ],
)
def test_address_with_parts_is_built_for_its_page(app, call, address):
    assert "'url_for'" in compiled(app, f"{{{{ {call} }}}}")
    assert shown(app, f"{{{{ {call} }}}}", id="task_a", endpoint="credits.show", more={"q": "quotes"}) == address


@pytest.mark.parametrize("call", ["url_for('nobody.knows')", "url_for('tasks.show')"])
def test_address_that_cannot_be_built_fails_where_it_is_asked_for(app, call):
    assert shown(app, f"{{% if false %}}{{{{ {call} }}}}{{% endif %}}here") == "here"
    with pytest.raises(BuildError):
        shown(app, f"{{{{ {call} }}}}")


def test_a_template_copies_its_globals_from_one_dict_and_keeps_them_to_itself(app):
    template = app.jinja_env.from_string("{{ support_email }} {{ own }}", globals={"own": "alone"})

    assert type(template.globals) is dict
    assert template.render(support_email="ada@example.com") == "ada@example.com alone"
    assert "own" not in app.jinja_env.globals
    assert template.globals.keys() == {*app.jinja_env.globals, "own"}
