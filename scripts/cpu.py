"""Where the CPU seconds of tests go: `scripts/test tests/routes -p scripts.cpu` lists them by file and by test.

Those of the test's own process and of everything that it started: servers, browsers, local AWS.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator

import pytest

from scripts.local.cpu_seconds import spent

SHOWN = 60


class CpuSeconds:
    """Notes with each phase of a test what was spent since the one before it."""

    def __init__(self) -> None:
        self._until_now = spent()
        self._by_test: dict[str, float] = defaultdict(float)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        before, self._until_now = self._until_now, max(spent(), self._until_now)
        report.__dict__["cpu_seconds"] = self._until_now - before  # goes to the process that reports
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._by_test[report.nodeid] += getattr(report, "cpu_seconds", 0.0)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        by_file: dict[str, float] = defaultdict(float)
        for test, seconds in self._by_test.items():
            by_file[test.partition("::")[0]] += seconds
        terminalreporter.section(f"{sum(by_file.values()):.1f} CPU seconds")
        for found in (by_file, self._by_test):
            for name, seconds in sorted(found.items(), key=lambda one: -one[1])[:SHOWN]:
                terminalreporter.write_line(f"{seconds:8.1f}  {name}")
            terminalreporter.write_line("")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(CpuSeconds())
