"""Numbers of several processes in one memory: added up, kept over a death, and never more than there is room for."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.telemetry.cells import Cells
from app.telemetry.instruments import ALL, ERRORS, REQUESTS, SLOTS_USED, WRONG_SIGNATURES, labels_of
from app.telemetry.scrape import kept_names, text
from app.telemetry.switch import switch


@pytest.fixture
def counting() -> Iterator[Cells]:
    yield switch.count()
    switch.off()


def forked(work) -> int:
    """A process of its own, as granian's workers are forked; who calls ends it."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def test_what_two_processes_count_is_added_up():
    cells = Cells(2)
    for worker in (0, 1):
        part = cells.part(worker)

        def work(part=part, worker=worker):
            for _ in range(1000):
                part.add(b"seen", ((0, 1.0),), 1)
            part.add(b"only\0%d" % worker, ((0, 2.5),), 1)

        os.waitpid(forked(work), 0)

    assert cells.read() == {b"seen": [2000.0], b"only\0" + b"0": [2.5], b"only\0" + b"1": [2.5]}


def test_who_is_killed_while_it_counts_leaves_what_it_counted_and_no_lock():
    cells, name = Cells(1), REQUESTS.name.encode()

    def work():
        part = cells.part(0)
        part.take_over(kept_names())
        while True:
            part.add(name, ((0, 1.0),), 1)
            part.set(SLOTS_USED.name.encode(), 7.0)

    seen = 0.0
    for _ in range(5):
        pid = forked(work)
        deadline = time.monotonic() + 30
        while cells.read().get(name, [0.0])[0] <= seen and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        now = cells.read()[name][0]
        assert now > seen
        seen = now
    cells.part(0).take_over(kept_names())

    assert cells.read() == {name: [seen], SLOTS_USED.name.encode(): [0.0]}, "how it stood then is no news"


def test_a_series_that_is_just_being_written_is_left_out_until_it_is_whole():
    cells = Cells(1)
    part = cells.part()
    part.add(b"first", ((0, 1.0),), 1)
    part.add(b"second", ((0, 1.0),), 1)
    part._bytes[6 * 8 : 6 * 8 + 3] = b"???"  # of the key of the second

    assert cells.read() == {b"first": [1.0]}


def test_beyond_the_room_nothing_breaks_and_it_is_told(caplog):
    cells = Cells(1, words=64)
    part = cells.part()
    for number in range(40):
        part.add(WRONG_SIGNATURES.key({"why": str(number)}), ((0, 1.0),), 1)

    kept = len(cells.read())
    assert 5 < kept < 40
    assert cells.dropped == 40 - kept
    assert [record.getMessage() for record in caplog.records] == [
        "no room for more metrics: what is new is not counted"
    ]
    assert f"dashboard_metrics_dropped_total {40 - kept}\n" in text(cells)


def test_threads_lose_no_count():
    cells = Cells(1)
    part = cells.part()

    def work():
        for _ in range(2000):
            part.add(b"seen", ((0, 1.0),), 1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert cells.read() == {b"seen": [8000.0]}


def test_nothing_is_counted_until_it_is_switched_on(counting):
    before = counting.read()
    switch.off()
    REQUESTS.record(0.1, route="/", method="GET", status="2xx")
    ERRORS.add()
    assert counting.read() == before
    assert before[b"dashboard.errors"] == [0.0], "a rule looks for its growth"


def test_each_instrument_has_room_and_names_its_labels(counting):
    """A histogram's count, sum and buckets; a wrong or a missing label is a mistake of ours, found at once."""
    for seconds in (0.001, 0.3, 99.0):
        REQUESTS.record(seconds, route='/"x"\\', method="GET", status="2xx")
    with pytest.raises(KeyError):
        REQUESTS.record(1, route="/", method="GET")

    found = text(counting)
    name = "dashboard_request_duration_seconds"
    labels = 'route="/\\"x\\"\\\\",method="GET",status="2xx"'
    assert f'{name}_bucket{{{labels},le="0.005"}} 1\n' in found
    assert f'{name}_bucket{{{labels},le="0.5"}} 2\n' in found
    assert f'{name}_bucket{{{labels},le="+Inf"}} 3\n' in found
    assert f"{name}_sum{{{labels}}} 99.301\n" in found
    assert f"{name}_count{{{labels}}} 3\n" in found
    (key,) = [key for key in counting.read() if key.startswith(REQUESTS.name.encode())]
    assert labels_of(REQUESTS, key)["route"] == '/"x"\\'


def test_every_instrument_is_written_down_for_prometheus(counting):
    found = text(counting)
    for instrument in ALL.values():
        assert f"# TYPE {instrument.prometheus_name} " in found
        assert instrument.says.endswith(".")


def test_every_instrument_is_documented():
    lines = (Path(__file__).parents[2] / "docs/metrics.md").read_text(encoding="utf-8").splitlines()
    told = [line for line in lines if line.startswith("| `dashboard")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in told]
    assert rows == [
        [f"`{each.prometheus_name}`", ", ".join(f"`{label}`" for label in each.labels) or "–", each.says]
        for each in ALL.values()
    ]
