"""Notes of a key's use: few writes, and a database that is away harms nobody."""

import pytest
from sqlalchemy import event

from services.assemble import Services
from services.database import open_database
from services.keyuse import KeyUses


def test_many_uses_are_one_write(services: Services) -> None:
    writes: list[object] = []
    event.listen(services.database.engine, "commit", writes.append)
    uses = KeyUses(services.database)
    for _ in range(100):
        uses.note("key-1")
    uses.close()
    assert len(writes) == 1


def test_a_database_without_tables_fails_no_request(caplog: pytest.LogCaptureFixture) -> None:
    uses = KeyUses(open_database("sqlite://"))
    uses.note("key-1")
    uses.close()
    assert "could not be written" in caplog.text
