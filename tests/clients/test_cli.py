"""The command line as it is started from a shell, against the running app."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import pty
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import stamina.instrumentation

import impacteragi
from impacteragi import Client, Transaction, cli, inputs
from tests.support import every_task, interrupted

REPO = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "impacteragi"]


@dataclass
class Done:
    status: int
    printed: bytes
    said: bytes


def run(customer, *arguments: str, read: bytes = b"", encoding: str = "utf-8", **environment: str) -> Done:
    """In this process, as `python -m impacteragi` does it in one of its own; the tests below start that as well."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
    names = ("IMPACTERAGI_API_KEY", "IMPACTERAGI_BASE_URL")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.MonkeyPatch.context() as patched:
        for name, value in ({name: customer.environment[name] for name in names} | environment).items():
            patched.setenv(name, value)
        patched.setattr(sys, "argv", ["impacteragi", *arguments])
        patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(read)))
        patched.setattr(sys, "stdout", out)
        patched.setattr(sys, "stderr", err)
        try:
            cli.main()
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        finally:
            signal.signal(signal.SIGTERM, before)
            stamina.instrumentation.set_on_retry_hooks(None)
            logging.getLogger("impacteragi").setLevel(logging.NOTSET)
        out.flush()
        err.flush()
    return Done(status, out.buffer.getvalue(), err.buffer.getvalue())


def test_a_description_comes_in_as_people_keep_it_and_goes_out_as_the_terminal_shows_it(customer, tmp_path):
    (tmp_path / "brief.txt").write_bytes("﻿Résumé\r\n東京\r\n".encode())
    sent = [
        run(customer, "submit", "Ein Wort: schön"),
        run(customer, "submit", "--file", str(tmp_path / "brief.txt")),
        run(customer, "submit", "--json", read="мир\n".encode()),
    ]
    assert [(done.status, done.said) for done in sent] == [(0, b"")] * 3
    assert json.loads(sent[2].printed)["credits_remaining"] == 70
    words = {row["description"] for row in every_task(customer.store)}
    assert words == {"Ein Wort: schön", "Résumé\n東京", "мир"}

    narrow = run(customer, "list", encoding="ascii")
    assert (narrow.status, narrow.said) == (0, b"")
    assert rb"R\xe9sum\xe9 \u6771\u4eac" in narrow.printed
    narrow = run(customer, "list", "--json", "--limit", "2", encoding="latin-1")
    assert {json.loads(line)["description"] for line in narrow.printed.splitlines()} < words


def test_a_wait_prints_results_that_cannot_change_the_terminal_and_says_how_it_ended(customer, tmp_path):
    with customer.client() as client:
        done, off, left = (client.submit(words) for words in ("Done", "Off", "Left"))
        client.cancel(off)
    customer.complete(done.task_id, "Result \x1b[2J\u202e東京", [("a.txt", b"abc")])

    every = run(customer, "wait", done.task_id, off.task_id)
    assert (every.status, every.said) == (7, b"")
    assert "Result \ufffd[2J\ufffd東京\nfile 1: a.txt (3 bytes)" in every.printed.decode()
    assert run(customer, "wait", done.task_id).status == 0
    vain = run(customer, "wait", done.task_id, left.task_id, "--timeout", "0.1", "--json")
    assert (vain.status, json.loads(vain.printed)["task_id"]) == (5, done.task_id)
    assert re.search(rf"1 of 2 tasks are closed; still open: {left.task_id}", vain.said.decode())
    assert b"cancelled" in run(customer, "cancel", left.task_id).printed
    refused = run(customer, "cancel", done.task_id, left.task_id)
    assert (refused.status, refused.printed.count(b"cancelled")) == (1, 1)
    assert f"1 cancelled, 90 left.\n{done.task_id}: This task is completed" in refused.said.decode()
    saved = run(customer, "download", done.task_id, "--to", str(tmp_path))
    assert (saved.status, saved.printed.decode()) == (0, f"{tmp_path}/a.txt\n")
    assert run(customer, "download", done.task_id, "--to", str(tmp_path)).status == 1


def test_a_statement_adds_up_and_no_cell_of_its_table_is_a_formula(customer, monkeypatch):
    with customer.client() as client:
        task = client.submit("Spend")
        client.submit("Spend more")
        client.cancel(task)
        month = f"{task.created_at:%Y-%m}"
        found = client.statement(month)
    assert [row.amount for row in found] == [-10, -10, 10]
    assert "Spend more" in found.rows[1].words
    assert (found.opening, found.credits_in, found.credits_out, found.closing) == (100, 10, 20, 90)

    assert b"100 credits at its beginning, 10 in, 20 out, 90 at its end." in run(customer, "statement", month).said
    table = run(customer, "statement", month, "--csv").printed.decode().splitlines()
    assert [row["balance_after"] for row in csv.DictReader(table)] == ["90", "80", "90"]
    assert json.loads(run(customer, "statement", month, "--json").printed)["closing"] == 90
    assert run(customer, "statement", "soon").status == 1
    formula = Transaction.read({"transaction_id": "=1+1", "amount": -10})
    monkeypatch.setattr(Client, "statement", lambda *_: replace(found, rows=(formula,)))
    assert run(customer, "statement", month, "--csv").printed.endswith(b",-10,,,,'=1+1\n")


def test_each_way_to_fail_has_a_status_and_a_sentence(customer, tmp_path):
    secret = {"IMPACTERAGI_API_KEY": "imp_live_wrong"}
    (tmp_path / "latin.txt").write_bytes(b"first\nsch\xf6n")
    with customer.client() as client:
        for number in range(10):
            client.submit(f"Task {number}")
    tried = {
        1: run(customer, "show", "task_of_nobody"),
        2: run(customer, "submit", "--file", str(tmp_path / "latin.txt")),
        3: run(customer, "balance", **secret),
        4: run(customer, "submit", "One more"),
        6: run(customer, "--retry-seconds", "0.1", "balance", IMPACTERAGI_BASE_URL="http://127.0.0.1:9"),
    }
    assert {status: done.status for status, done in tried.items()} == {status: status for status in tried}
    for done in tried.values():
        assert done.printed == b""
        assert len(done.said.splitlines()) >= 1
        assert b"Traceback" not in done.said
        assert b"imp_live_wrong" not in done.said
    assert b"line 2: this is not UTF-8" in tried[2].said
    assert run(customer).status == 2


def test_ctrl_c_ends_a_wait_in_order_and_its_bar_is_for_terminals(customer):
    with customer.client() as client:
        done, left = client.submit("Done"), client.submit("Left")
    customer.complete(done.task_id, "Result of the first")
    ours, theirs = pty.openpty()
    waiting = subprocess.Popen(
        [*COMMAND, "wait", done.task_id, left.task_id],
        env=customer.environment | {"TERM": "xterm"},
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while b"1/2" not in shown:
        shown += os.read(ours, 1000)
    printed, _ = interrupted(waiting)

    assert waiting.returncode == 130
    assert b"Result of the first" in printed
    rest = os.read(ours, 10_000)
    assert b"nothing was cancelled" in rest
    assert b"Traceback" not in shown + rest
    os.close(ours)


def test_a_reader_who_has_seen_enough_ends_a_list_without_noise(customer):
    with customer.client() as client:
        for number in range(3):
            client.submit(f"Task {number}")
    listing = f"{sys.executable} -u -m impacteragi list | head -c 1 > /dev/null; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", listing], env=customer.environment, cwd=REPO, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("description\nOne\n\nTwo\n", ["One", "Two"]),
        ("Description;Price\nOne, or two;5\n", ["One, or two"]),
        ('sep=;\nid;description\n7;"One; ""two""\nthree"\n', ['One; "two"\nthree']),
        ("id\tdescription\nx\tOne\n", ["One"]),
    ],
)
def test_tables_are_read_as_spreadsheets_write_them(text, found):
    assert inputs.table_of(text, "a.csv") == [impacteragi.NewTask(description, None, []) for description in found]


def test_a_table_may_name_references_and_tags():
    table = 'Reference;Description;TAGS\nA-1;One;"Übung, 東京"\n;Two;\nA-3;Three\n'
    assert inputs.table_of(table, "a.csv") == [
        impacteragi.NewTask("One", "A-1", ["Übung", "東京"]),
        impacteragi.NewTask("Two", None, []),
        impacteragi.NewTask("Three", "A-3", []),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("One\nTwo\n", "the first line names the columns"),
        ("", "the first line names the columns"),
        ("description,id\nOne,a\nTwo,b,c\n", "line 3: 3 columns"),
        ("description,id\n,a\n", "line 2: there is no description"),
        ('description\n"One\n', "unexpected end of data"),
        ("tags,description,Tags\na,One,b\n", "names the column tags twice"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_with_its_line(text, said):
    with pytest.raises(inputs.Unreadable, match=said):
        inputs.table_of(text, "a.csv")


def test_bytes_are_read_by_their_mark_and_lines_one_by_one():
    assert inputs.text_of("Zürich\r\nBern\rGenf".encode("utf-16"), "a.txt") == "Zürich\nBern\nGenf"
    assert inputs.lines_of(" One \n\nTwo") == ["One", "Two"]


def test_a_batch_that_stops_goes_on_with_its_key_and_charges_nothing_twice(customer, tmp_path, monkeypatch):
    monkeypatch.setattr("impacteragi.calls.BATCH_TASKS", 2)
    table = tmp_path / "tasks.csv"
    table.write_bytes("\ufeffnr;description\r\n1;Übung\r\n2;東京\r\n3;Three\r\n".encode())
    with customer.client() as client:
        for number in range(8):
            client.submit(f"Before {number}")

    stopped = run(customer, "batch", str(table), "--idempotency-key", "march")
    assert (stopped.status, len(stopped.printed.splitlines())) == (4, 2)
    assert b"2 of 3 tasks are submitted; it stopped at task 3" in stopped.said
    with customer.client() as client:
        client.cancel(next(task for task in client.list() if task.description == "Before 0"))
    done = run(customer, "batch", str(table), "--idempotency-key", "march", "--json")

    assert (done.status, done.said) == (0, b"")
    assert [json.loads(line)["description"] for line in done.printed.splitlines()] == ["Übung", "東京", "Three"]
    assert len(every_task(customer.store)) == 11


def test_a_batch_has_references_and_tags_from_its_table_and_its_command(customer, tmp_path):
    table = tmp_path / "tasks.csv"
    table.write_text("description,reference,tags\nOne,A-1,Autumn\nTwo,A-2,\n", encoding="utf-8")
    batch = ("batch", str(table), "--tag", "東京")
    done, repeated = run(customer, *batch, "--json"), run(customer, *batch)

    assert (done.status, repeated.status) == (0, 0)
    told = [json.loads(line) for line in done.printed.splitlines()]
    assert [(task["reference"], task["tags"]) for task in told] == [("A-1", ["Autumn", "東京"]), ("A-2", ["東京"])]
    assert len(every_task(customer.store)) == 2  # a new idempotency key, and the same references: paid once
    with customer.client() as client:
        assert [task.reference for task in client.list(tag="東京")] == ["A-2", "A-1"]
