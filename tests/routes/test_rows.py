"""A row of the history is written by a function, not by a template: what it shows is escaped all the same."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime

import pytest
from flask import render_template_string

from app.domain.accounts import AccountKey
from app.domain.tasks import COMPLETED, Task

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TEXTS = [
    '<script>alert("1")</script> & more',
    "{{ 7 * 7 }}",
    "שלום \N{RIGHT-TO-LEFT OVERRIDE}",
    "比較三份報價",
    "x" * 500,
]


def row(app, **given: object) -> str:
    made = {"task_id": "task_a", "description": "Hello", "status": COMPLETED, "credits_spent": 10} | given
    task = Task(user_email=AccountKey("ada@example.com"), created_at=NOW, updated_at=NOW, **made)
    with app.test_request_context():
        fresh = given.get("status") == "pending"
        return render_template_string("{{ task_rows([line], fresh) }}", line=task.line, fresh=fresh)


@pytest.mark.parametrize("text", TEXTS)
def test_words_of_a_task_are_words(app, text):
    shown = row(app, description=text).partition("<bdi>")[2].partition("</bdi>")[0]

    assert "<" not in shown
    assert html.unescape(shown).rstrip("…") in text


@pytest.mark.parametrize("task_id", ['"><b>', "a/b?c", "ü"])
def test_id_of_a_task_ends_neither_an_attribute_nor_an_address(app, task_id):
    written = row(app, task_id=task_id)

    assert written.count('"') == 14
    assert f'id="task-{html.escape(task_id)}"'.replace("&quot;", "&#34;") in written


@pytest.mark.parametrize(
    ("given", "cost"),
    [
        ({}, "−10"),
        ({"credits_spent": 0}, "free"),
        ({"status": "cancelled"}, "given back"),
        ({"status": "rejected"}, "given back"),
        ({"status": "rejected", "credits_spent": 0}, "free"),
    ],
)
def test_row_says_what_a_task_cost(app, given, cost):
    assert f'<span class="cost">{cost}</span>' in row(app, **given)


def test_new_row_is_marked(app):
    assert row(app, status="pending").startswith('<li id="task-task_a" class="fresh">\n<a href="/tasks/task_a"><bdi>')


@pytest.mark.parametrize(
    ("tags", "shown"), [(3, "a0 a1 a2"), (4, "a0 a1 a2 +1 more tags"), (10, "a0 a1 a2 +7 more tags")]
)
def test_a_row_names_three_tags_and_counts_the_others(app, tags, shown):
    labels = row(app, tags=tuple(f"a{number}" for number in range(tags))).partition('class="labels">')[2]
    words = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", labels.partition("</p>")[0])).split())

    assert words == shown
