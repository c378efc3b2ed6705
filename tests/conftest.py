"""What every test shares: on CI a skipped test is a failure, unless only an accelerator was missing."""

import os

import pytest
from hypothesis import settings
from tests.scale import FULL

# A test machine under load misses any wall-clock deadline, and a slow example is no wrong result.
settings.register_profile("sample", deadline=None)
settings.register_profile("full", deadline=None, max_examples=2000)
settings.load_profile("full" if FULL else "sample")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says plainly what was skipped and why."""
    for report in terminalreporter.stats.get("skipped", []):
        terminalreporter.write_line(f"SKIPPED {report.nodeid}: {_reason(report)}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Turns a green run with skipped tests red where CI is set."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not os.environ.get("CI"):
        return
    skipped = [report for report in reporter.stats.get("skipped", []) if "gpu" not in report.keywords]
    if skipped and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _reason(report: pytest.TestReport) -> str:
    return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
