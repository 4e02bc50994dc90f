"""The table in `docs/openai.md` is what the tests prove."""

import os

import pytest

from tests.openai import table

pytestmark = pytest.mark.skipif("COMPAT_TABLE" in os.environ, reason="the table is being made")


def test_the_table_has_a_row_for_each_mark() -> None:
    assert set(table.read()) == table.marked(), "run `make compat COMPAT_TABLE=keep`"


def test_all_of_it_passes() -> None:
    told = table.read()
    assert told
    assert {row: outcome for row, outcome in told.items() if outcome != "yes"} == {}


def test_what_is_written_is_read_again() -> None:
    rows = {table.Row("GET /v1/x", "it `is` there"): "yes", table.Row("GET /v1/a", "not"): "no"}
    text = table.write(rows)
    assert text.index("/v1/a") < text.index("/v1/x")
    assert dict(table._rows(text.splitlines()[2:])) == rows
