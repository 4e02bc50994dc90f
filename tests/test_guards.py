"""The guards themselves: they fire on a wait inside a write and stay silent otherwise."""

import socket
from contextlib import suppress

from services.assemble import Services
from services.tables.usage import UsageTable
from services.usage import utc_now
from tests import guards


def row() -> UsageTable:
    return UsageTable(
        created_at=utc_now(), owner="a", request_id="r", ability="chat", provider="p", model="m", outcome="ok"
    )


def connect_somewhere() -> None:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", 9), timeout=0.1).close()


def test_a_wait_inside_a_write_is_found(services: Services) -> None:
    with services.database.write() as session:
        session.add(row())
        session.flush()
        connect_somewhere()
    assert guards._found and guards._found[0].startswith("socket.")
    guards._found.clear()


def test_a_wait_after_a_write_is_not(services: Services) -> None:
    with services.database.write() as session:
        session.add(row())
    connect_somewhere()
    assert not guards._found
