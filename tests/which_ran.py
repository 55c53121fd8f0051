"""A pytest plugin that keeps account of which tests have run, over several invocations.

`--rest-of FILE` leaves out the tests that FILE says have run, and adds to it those that run now.  With `--complete` the invocation
fails unless every test has run by its end, in this one or another: a skipped test is a failure then, but one for a GPU, which CI has
not."""
from __future__ import annotations

from pathlib import Path

import pytest


class WhichRan:
    """What has run, and why the others have not: a whole module is skipped when it is collected, and is named by its file."""

    def __init__(self, file: Path, complete: bool) -> None:
        self.file = file
        self.complete = complete
        self.ran = set(file.read_text().splitlines()) if file.exists() else set()
        self.skipped: dict[str, str] = {}

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in self.ran])
        items[:] = [item for item in items if item.nodeid not in self.ran and item.get_closest_marker("gpu") is None]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.skipped[report.nodeid] = str(report.longrepr)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped[report.nodeid] = str(report.longrepr)
        elif report.when == "call":
            self.ran.add(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.file.write_text("".join([f"{nodeid}\n" for nodeid in sorted(self.ran)]), encoding="utf-8")
        if self.complete and self.skipped:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_line(f"{len(self.ran)} tests have run by now; skipped now: {len(self.skipped)}")
        for nodeid, reason in self.skipped.items() if self.complete else ():
            terminalreporter.write_line(f"{nodeid} has run nowhere: {reason}", red=True)
