"""The table of what the official packages get: a row a marked test, printed at the end and kept in `docs/openai.md`."""

import os
import re
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.source import ROOT

DOCUMENT = ROOT / "docs" / "openai.md"
PLACE = re.compile(r"(?<=<!-- compat -->\n).*?(?=<!-- /compat -->)", re.DOTALL)
HEAD = "| endpoint | what | passes |\n|---|---|---|\n"


class Row(NamedTuple):
    """What one test proves."""

    endpoint: str
    what: str


class Table:
    """A plug-in of pytest that collects how marked tests end."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.ended: dict[Row, str] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.rows = {item.nodeid: row for item in items if (row := row_of(item))}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        row = self.rows.get(report.nodeid)
        if row is None or (report.when != "call" and report.passed):
            return
        outcome = "not tried" if report.skipped else "yes" if report.passed else "no"
        # Of several tests for one row the worst counts.
        worst = max(outcome, self.ended.get(row, outcome), key=("yes", "not tried", "no").index)
        self.ended[row] = worst

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if os.environ.get("COMPAT_TABLE"):
            terminalreporter.write("\n" + write(self.ended))
            if os.environ["COMPAT_TABLE"] == "keep":
                text = DOCUMENT.read_text(encoding="utf-8")
                DOCUMENT.write_text(PLACE.sub(write(self.ended), text), encoding="utf-8")


def row_of(item: pytest.Item) -> Row | None:
    """The row that *item* proves."""
    mark = item.get_closest_marker("proves")
    return Row(*mark.args) if mark else None


def marked() -> set[Row]:
    """The rows that the marks of all tests in this folder name."""
    modules = [import_module(f"tests.openai.{path.stem}") for path in Path(__file__).parent.glob("test_*.py")]
    marks = [mark for module in modules for test in vars(module).values() for mark in getattr(test, "pytestmark", ())]
    return {Row(*mark.args) for mark in marks if mark.name == "proves"}


def write(ended: dict[Row, str]) -> str:
    """The rows as a Markdown table, by endpoint."""
    rows = sorted(ended.items(), key=lambda each: each[0].endpoint.split(" ")[::-1])
    return HEAD + "".join(f"| `{row.endpoint}` | {row.what} | {outcome} |\n" for row, outcome in rows)


def read() -> dict[Row, str]:
    """The table that stands in the document."""
    found = PLACE.search(DOCUMENT.read_text(encoding="utf-8"))
    return dict(_rows(found[0].splitlines()[2:] if found else ()))


def _rows(lines: Iterable[str]) -> Iterable[tuple[Row, str]]:
    for line in lines:
        endpoint, what, outcome = (cell.strip() for cell in line.strip("|").split("|"))
        yield Row(endpoint.strip("`"), what), outcome
