"""The MCP server as an agent's host starts it, asked by the SDK's own client, against the running app."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import mcp
import pytest
from mcp import StdioServerParameters

from impacteragi import mcp_server
from tests.loops import run as in_a_loop
from tests.support import every_task, make_key

REPO = Path(__file__).resolve().parents[2]
COMMAND = ["-m", "impacteragi.mcp_server"]


def ask(customer, program: Callable[[mcp.Client], Awaitable[None]], **environment: str) -> None:
    async def run() -> None:
        started = StdioServerParameters(
            command=sys.executable, args=COMMAND, env=customer.environment | environment, cwd=REPO
        )
        async with mcp.Client(started, read_timeout_seconds=60) as client:
            await program(client)

    in_a_loop(run())


def test_an_agent_submits_once_waits_and_reads_in_any_script(customer):
    words = "Übersetze 東京 🌍"

    async def program(agent: mcp.Client) -> None:
        tools = {tool.name: tool for tool in (await agent.list_tools()).tools}
        assert tools.keys() == {"submit_task", "get_task", "wait_for_task", "list_tasks", "read_result", "balance"}
        assert "COSTS 10 CREDITS" in tools["submit_task"].description
        assert all("Free" in tool.description for name, tool in tools.items() if name != "submit_task")

        for _ in range(2):
            asked = {"description": words, "idempotency_key": "tokyo", "tags": ["Osten"]}
            sent = await agent.call_tool("submit_task", asked)
        task_id = sent.structured_content["task"]["task_id"]
        assert len(every_task(customer.store)) == 1
        assert (await agent.call_tool("balance")).structured_content == {"credits": 90, "open_tasks": 1}
        waited = await agent.call_tool("wait_for_task", {"task_id": task_id, "timeout_seconds": 0})
        assert waited.structured_content["said"].startswith("It is still pending.")
        assert (await agent.call_tool("read_result", {"task_id": task_id})).structured_content["text"] is None

        await asyncio.to_thread(customer.complete, task_id, "東" * 20_001, [("a.txt", b"abc")])
        waited = await agent.call_tool("wait_for_task", {"task_id": task_id})
        assert waited.structured_content["task"]["is_closed"]
        read = (await agent.call_tool("read_result", {"task_id": task_id})).structured_content
        assert (len(read["text"]), read["characters"], read["files"][0]["name"]) == (20_000, 20_001, "a.txt")
        rest = await agent.call_tool("read_result", {"task_id": task_id, "offset": read["next_offset"]})
        assert (rest.structured_content["text"], rest.structured_content["next_offset"]) == ("東", None)
        for tag, found in (("osten", [(words, ["Osten"])]), ("west", [])):
            answer = await agent.call_tool("list_tasks", {"status": "completed", "tag": tag})
            assert [(task["description"], task["tags"]) for task in answer.structured_content["tasks"]] == found

    ask(customer, program)


def test_what_is_refused_is_told_in_words_and_charges_nothing(customer):
    limited = make_key(customer.store, name="Agent", monthly=15)

    async def told(agent: mcp.Client, tool: str, **arguments: str) -> str:
        answer = await agent.call_tool(tool, arguments)
        assert answer.is_error
        return answer.content[0].text

    with customer.client() as client:
        spent = client.batch([f"Before {number}" for number in range(10)])

    async def program(agent: mcp.Client) -> None:
        assert "buy credits" in await told(agent, "submit_task", description="One", idempotency_key="one")
        with customer.client() as client:
            client.cancel(spent[0])
            client.cancel(spent[1])
        await agent.call_tool("submit_task", {"description": "One", "idempotency_key": "one"})
        reached = await told(agent, "submit_task", description="Two", idempotency_key="two")
        assert "may spend 15 credits a month and has spent 10" in reached
        assert "idempotency key" in await told(agent, "submit_task", description="Other", idempotency_key="one")
        assert "There is no such task" in await told(agent, "get_task", task_id="task_of_nobody")
        assert "idempotency_key" in await told(agent, "submit_task", description="No key")

    ask(customer, program, IMPACTERAGI_API_KEY=limited)
    assert len(every_task(customer.store)) == 11


def test_without_a_key_it_says_so_and_does_not_start(monkeypatch, capsys, tmp_path):
    monkeypatch.delenv("IMPACTERAGI_API_KEY", raising=False)
    monkeypatch.setenv("IMPACTERAGI_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        mcp_server.main()
    assert ended.value.code == 3
    assert capsys.readouterr().err.startswith("There is no API key")
