"""Guards around every test: no wait inside an open write transaction.

A greenlet that waits for the network inside one holds up every other writer of its worker. Python tells
of connects, look-ups and new processes by audit events, so code that would wait is caught without gevent.
"""

import sys
import threading
import traceback
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, event

WAITS = {"socket.connect", "socket.getaddrinfo", "subprocess.Popen", "http.client.send"}

_state = threading.local()
_found: list[str] = []


@event.listens_for(Engine, "begin")
def _begin(connection: Connection) -> None:
    # PostgreSQL connects inside "begin" of a fresh connection; that is before our own work.
    if connection.get_execution_options().get("write"):
        _state.open = True


@event.listens_for(Engine, "commit")
@event.listens_for(Engine, "rollback")
def _end(_connection: Connection) -> None:
    _state.open = False


def _hear(name: str, _arguments: object) -> None:
    if name in WAITS and getattr(_state, "open", False):
        _found.append(name + "\n" + "".join(traceback.format_stack(limit=8)))


sys.addaudithook(_hear)


@pytest.fixture(autouse=True)
def no_wait_inside_a_write() -> Iterator[None]:
    """Fail the test in which something waited inside an open write transaction."""
    _found.clear()
    yield
    found = list(_found)
    _found.clear()
    assert not found, f"waited inside a write transaction: {found[0]}"
