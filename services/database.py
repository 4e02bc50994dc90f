"""Transactions over one SQLAlchemy engine, from any thread, greenlet or process; no app context needed.

A transaction holds database work alone: a greenlet that waits for the network inside an open write
would hold up every other writer. A test fails when one is open across a switch.
"""

import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import cast

from sqlalchemy import Connection, Engine, MetaData, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

from services.turns import Neighbours, Turns

WRITE_WAIT_SECONDS = 30
# Another process's writes take a millisecond or two: it is asked again at once for a while, then with pauses.
TRIES_AT_ONCE = 20
FIRST_PAUSE_SECONDS = 0.0005
LONGEST_PAUSE_SECONDS = 0.002
IN_MEMORY = {None, "", ":memory:"}
# Who reads waits only while a file is mended that a killed process left; there SQLite's own sleep will do.
PATIENT, IMPATIENT = "PRAGMA busy_timeout=1000", "PRAGMA busy_timeout=0"


class Base(DeclarativeBase):
    """What every table derives from; the naming convention lets Alembic rename constraints everywhere."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Database:
    """`write()` and `read()` over one engine.

    Rows stay readable after their transaction. On SQLite a write begins with BEGIN IMMEDIATE and waits
    its turn here, not in C, so that a gevent worker goes on serving.
    """

    def __init__(self, engine: Engine) -> None:
        # SQLite has one writer. Those of this process take turns, and the next is woken at once;
        # only other processes' are waited for by asking again. 32 clients: 99 of 100 wait 20 ms instead of 2,500.
        self._turn: AbstractContextManager[object] = nullcontext()
        if engine.dialect.name == "sqlite":
            self._turn = Turns()
            _make_patient(engine)
        self.engine = engine
        self._teller: sqlite3.Connection | None = None
        self._telling = threading.Lock()
        self._writing = engine.execution_options(write=True)
        self._writer = sessionmaker(self._writing, expire_on_commit=False)
        self._reader = sessionmaker(engine, expire_on_commit=False)

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session in a write transaction: commits at the end, rolls back on an error."""
        with self._turn, self._writer.begin() as session:
            yield session

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A bare connection in a write transaction, like `write()` at a third of its cost; for what is done often."""
        with self._turn, self._writing.begin() as connection:
            yield connection

    def read(self) -> Session:
        """A session for reading, as a context manager."""
        return self._reader()

    def ping(self) -> None:
        """Raise when the database does not answer."""
        with self.engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def version(self) -> int | None:
        """A number that is another one when somebody has written since; None where the database has none.

        5 microseconds: SQLite's file knows it. Safe from any thread. Source: SQLite, `PRAGMA data_version`.
        """
        if self.engine.dialect.name != "sqlite":
            return None
        try:
            with self._telling:
                self._teller = self._teller or self._open_teller()
                return int(self._teller.execute("PRAGMA data_version").fetchone()[0])
        except (sqlite3.Error, SQLAlchemyError):  # Who asks for more than a number will hear why.
            return None

    def _open_teller(self) -> sqlite3.Connection:
        """A connection of its own: SQLite tells each of what the others wrote, so this one never writes."""
        pooled = self.engine.raw_connection()
        teller = cast(sqlite3.Connection, pooled.driver_connection)
        pooled.detach()
        return teller

    def close(self) -> None:
        if self._teller:
            self._teller.close()  # It stays closed: another one would count from another number.
        self.engine.dispose()


def open_database(url: str) -> Database:
    """A database for a process without Flask: the engine host, a worker, a test of a service."""
    return Database(create_engine(url, **engine_options(url)))


def engine_options(url: str) -> dict[str, object]:
    """Options of the engine for *url*, the same wherever it is made."""
    if url.startswith("postgresql"):
        return {"pool_pre_ping": True, "pool_size": 10, "max_overflow": 20}
    return {}


def _make_patient(engine: Engine) -> None:
    """SQLite's settings: write-ahead log, foreign keys, and a wait for the one writer's place in Python.

    SQLite's own busy handler sleeps in C and was seen to freeze a gevent worker for 0.7 s; this wait was
    63 ms at most under the same load, with no error and more writes.
    """
    file = engine.url.database
    neighbours = None if file in IN_MEMORY else Neighbours(Path(f"{file}-turn"))

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # The driver must not begin transactions of its own.
        connection.execute(PATIENT)
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=NORMAL"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Straight to the driver: through SQLAlchemy this one word costs 35 of a small read's 140 microseconds.
        driver: sqlite3.Connection = connection.connection.dbapi_connection  # type: ignore[assignment]
        if not connection.get_execution_options().get("write"):
            driver.execute("BEGIN")
        elif neighbours:
            _begin_beside(neighbours, driver)
        else:
            driver.execute("BEGIN IMMEDIATE")


def _begin_beside(neighbours: Neighbours, connection: sqlite3.Connection) -> None:
    """Begin to write when no neighbour does; raises what SQLite says when that takes WRITE_WAIT_SECONDS."""
    connection.execute(IMPATIENT)
    try:
        neighbours.let_pass()
        if not _begins(connection):
            _wait_to_begin(neighbours, connection)
    finally:
        connection.execute(PATIENT)


def _wait_to_begin(neighbours: Neighbours, connection: sqlite3.Connection) -> None:
    with neighbours:
        deadline, pause_seconds = time.monotonic() + WRITE_WAIT_SECONDS, FIRST_PAUSE_SECONDS
        for _ in range(TRIES_AT_ONCE):
            time.sleep(0)
            if _begins(connection):
                return
        while not _begins(connection, last=time.monotonic() > deadline):
            time.sleep(pause_seconds * random.random())
            pause_seconds = min(pause_seconds * 1.5, LONGEST_PAUSE_SECONDS)


def _begins(connection: sqlite3.Connection, *, last: bool = False) -> bool:
    """Whether the write began; False while another process writes, for which the *last* try raises."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        return True
    except sqlite3.OperationalError as error:
        if last or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
