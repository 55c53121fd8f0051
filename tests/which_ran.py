"""A pytest plugin that keeps account of which tests have run, over several invocations.

`--rest-of FILE` leaves out the tests that FILE says have run, and adds to it those that run now.  `--all-but FILE`, beside it, fails
unless every test has run in one of these invocations, or FILE allows it not to: a line has the beginning of test ids, then a reason.
"""
from __future__ import annotations

from pathlib import Path

import pytest


class WhichRan:
    """What has run, and why the others have not: a whole module is skipped when it is collected, and is named by its file."""

    def __init__(self, file: Path, allowed: Path | None) -> None:
        self.file = file
        self.ran = set(file.read_text().splitlines()) if file.exists() else set()
        self.skipped: dict[str, str] = {}
        self.allowed: dict[str, str] | None = None
        if allowed is not None:
            lines = [line.split(maxsplit=1) for line in allowed.read_text().splitlines() if line and not line.startswith("#")]
            self.allowed = {start: reason for start, reason in lines}

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in self.ran])
        items[:] = [item for item in items if item.nodeid not in self.ran]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.skipped[report.nodeid] = str(report.longrepr)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped[report.nodeid] = str(report.longrepr)
        elif report.when == "call":
            self.ran.add(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.file.write_text("".join([f"{nodeid}\n" for nodeid in sorted(self.ran)]))
        if self.allowed is not None and (self.missing() or self.unused()):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_line(f"{len(self.ran)} tests have run by now, {len(self.skipped)} were skipped this time")
        if self.allowed is None:
            return
        for nodeid in self.missing():
            terminalreporter.write_line(f"ran nowhere: {nodeid}: {self.skipped[nodeid]}", red=True)
        for start in self.unused():
            terminalreporter.write_line(f"may be skipped, but is not: {start}", red=True)

    def missing(self) -> list[str]:
        """The tests that were skipped and may not be."""
        return [nodeid for nodeid in self.skipped if not nodeid.startswith(tuple(self.allowed or ()))]

    def unused(self) -> list[str]:
        """What the list allows without need."""
        return [start for start in self.allowed or () if not any([nodeid.startswith(start) for nodeid in self.skipped])]
