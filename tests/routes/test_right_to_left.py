"""Words of people run the way of their script: where they are typed, where they stand alone, and in our sentences."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.domain.clock import utcnow
from app.services import queue, tasks
from app.web.markdown import render_markdown
from tests.routes.browser import Browser, soup
from tests.support import all_mails, make_account

TEMPLATES = Path(__file__).resolve().parents[2] / "app" / "templates"
HEBREW = "סכם את הדוח, בבקשה!"
WORDS = ("description", "lines", "note", "result", "reason", "q", "actor", "subject", "draft")


@pytest.fixture
def world(app, store):
    account = make_account(store, credits=200)
    make_account(store, "op@example.com", role="admin")
    done, rejected, long = (
        tasks.submit(store, store.accounts.get(account.email), f"{HEBREW} {text}", now=utcnow()).task
        for text in ("1", "2", "3 " + "ועוד " * 60)
    )
    queue.claim(store, "op@example.com", done.task_id, now=utcnow())
    queue.complete(store, "op@example.com", done.task_id, f"# {HEBREW}\n\n{HEBREW}\n\n- {HEBREW}", now=utcnow())
    again = queue.request_redo(store, store.accounts.get(account.email), done.task_id, HEBREW, now=utcnow())
    queue.reject(store, "op@example.com", rejected.task_id, HEBREW, now=utcnow())
    ada, op = Browser(app), Browser(app)
    ada.sign_in()
    op.sign_in("op@example.com")
    ids = {"done": done.task_id, "rejected": rejected.task_id, "long": long.task_id, "again": again.task_id}
    return ada, op, ids | {"account": account.account_id}


PAGES = [
    *("/dashboard", "/transactions", "/transactions/statement/{month}", "/dashboard?again={done}"),
    *("/tasks/{done}", "/tasks/{rejected}", "/tasks/{long}", "/tasks/{again}", "/tasks/batch"),
    *("/admin", "/admin/tasks/{done}", "/admin/tasks/{rejected}", "/admin/tasks/{again}", "/admin/audit"),
    *("/admin/customers/{account}", "/admin/customers"),
]


@pytest.mark.threat(111)
@pytest.mark.parametrize("path", PAGES)
def test_words_of_people_have_a_direction_of_their_own_wherever_they_stand(world, path):
    ada, op, ids = world
    path = path.format(**ids, month=f"{utcnow():%Y-%m}")
    page = soup((op if path.startswith("/admin") else ada).get(path)).select_one("main")

    found = page.find_all(string=re.compile("[\u0590-\u05ff]"))
    loose = [text for text in found if not text.find_parent(lambda tag: tag.name == "bdi" or tag.get("dir") == "auto")]
    assert not loose
    typed = page.select("textarea, input[type=search], input[name=reason], input[name=actor], input[name=subject]")
    assert [field for field in typed if field.get("type") != "hidden" and field.get("dir") != "auto"] == []


@pytest.mark.threat(111)
def test_every_field_for_words_has_its_direction_in_every_template():
    for template in TEMPLATES.rglob("*.html"):
        if template.parent.name == "emails":
            continue
        for tag in re.findall(r"<(?:textarea|input)\b(?:\{[{%].*?[%}]\}|[^>])*>", template.read_text()):
            name = re.search(r'name="(\w+)"', tag)
            words = tag.startswith("<textarea") or (name and name[1] in WORDS and 'type="hidden"' not in tag)
            assert not words or 'dir="auto"' in tag, (template.name, tag)


@pytest.mark.threat(111)
def test_each_block_of_a_result_has_its_direction():
    html = render_markdown(f"# {HEBREW}\n\n{HEBREW}\n\nEnglish\n\n- {HEBREW}\n\n1. one\n\n> said\n\n|a|\n|-|\n|b|\n")

    for tag in ("h3", "p", "ul", "ol", "blockquote", "table"):
        assert f'<{tag} dir="auto"' in html, (tag, html)
    assert "<td>" in html  # `auto` does not look into what has a direction of its own
    assert "<li>" in html


@pytest.mark.threat(111)
def test_a_mail_isolates_the_words_of_people(app, store, world):
    room = app.extensions["impacteragi"].mail_room
    for mail in all_mails(store):
        if mail.kind in ("task_completed", "task_rejected"):
            html = room.render(mail, store.accounts.find(mail.to)).html
            page = soup(type("Answer", (), {"text": html})())
            for text in page.body.find_all(string=re.compile("[\u0590-\u05ff]")):
                assert text.find_parent(lambda tag: tag.name == "bdi" or tag.get("dir") == "auto"), html
