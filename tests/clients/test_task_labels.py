"""References and tags by the Python client and its command line, against the running app."""

from __future__ import annotations

import json

import pytest

from impacteragi import NewTask, ReferenceUsed, Unusable
from tests.clients.test_cli import run as command
from tests.loops import run


def test_a_reference_again_is_the_first_task_and_another_task_is_refused_by_it(customer):
    with customer.client() as client:
        first = client.submit("Summarise", reference="Auftrag 17/東", tags=["Reports", "Mai"])
        again = client.submit("Summarise", reference="Auftrag 17/東", tags=["Reports", "Mai"])
        with pytest.raises(ReferenceUsed) as refused:
            client.submit("Something else", reference="Auftrag 17/東")

        assert (first.reference, first.tags) == ("Auftrag 17/東", ("Reports", "Mai"))
        assert again == first
        assert refused.value.task_id == first.task_id
        assert client.balance().credits == 90


def test_tasks_are_listed_by_tag_and_by_reference(customer):
    async def listed() -> list[str]:
        async with customer.async_client() as client:
            other = await client.submit("Another", tags=["REPORTS"])
            assert other.reference is None
            return [task.description async for task in client.list(tag="reports")]

    with customer.client() as client:
        client.submit("Summarise", reference="order-1", tags=["Reports"])

        assert run(listed()) == ["Another", "Summarise"]
        assert [task.description for task in client.list(reference="order-1")] == ["Summarise"]
        assert list(client.list(reference="order-2")) == []


def test_one_text_for_tags_is_refused_before_anything_is_sent():
    with pytest.raises(Unusable):
        NewTask("A task", tags="Reports")


def test_the_command_line_takes_and_shows_them(customer):
    asked = ("submit", "Summarise", "--reference", "order-1", "--tag", "Reports", "--tag", "Mai", "--json")
    first, again = (json.loads(command(customer, *asked).printed) for _ in range(2))

    shown = command(customer, "show", first["task_id"])
    listed = command(customer, "list", "--tag", "mai")
    refused = command(customer, "submit", "Another", "--reference", "order-1")

    assert again == first
    assert b"reference: order-1\ntags: Reports, Mai\n" in shown.printed
    assert listed.printed.decode().startswith(first["task_id"])
    assert refused.status == 1
    assert f"is that of {first['task_id']}" in refused.said.decode()
