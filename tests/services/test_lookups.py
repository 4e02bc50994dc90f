"""Lookups over both databases: the rows that SQLAlchemy reads, and nothing left open."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import bindparam, event, insert, select

from services.database import Base, Database, open_database
from services.lookups import Lookup
from services.tables.accounts import UserTable
from services.usage import utc_now

BY_NAME = Lookup(
    select(UserTable.id, UserTable.role).where(
        UserTable.username_key == bindparam("name"),
        UserTable.created_at <= bindparam("now"),
        UserTable.disabled.is_(False),
    )
)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with one user."""
    url = f"sqlite:///{tmp_path}/test.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    opened = open_database(url)
    Base.metadata.create_all(opened.engine, [UserTable.metadata.tables["users"]])
    row = {"id": "user-1", "username": "Lin", "username_key": "lin", "password_hash": "", "role": "admin"}
    with opened.write() as session:
        session.execute(insert(UserTable).values(**row, disabled=False, created_at=utc_now()))
    yield opened
    opened.close()


def look_up(database: Database, name: str) -> tuple[str, ...] | None:
    return BY_NAME.first(database, {"now": utc_now().isoformat(" ", "microseconds"), "name": name})


def test_the_row_of_the_name(database: Database) -> None:
    assert look_up(database, "lin") == ("user-1", "admin")
    assert look_up(database, "nobody") is None
    assert look_up(database, "' OR 1=1 --") is None


def test_a_lookup_sees_what_was_just_written(database: Database) -> None:
    assert look_up(database, "lin")
    with database.write() as session:
        session.get_one(UserTable, "user-1").disabled = True
    assert look_up(database, "lin") is None


def test_connections_go_back(database: Database) -> None:
    for _ in range(100):
        look_up(database, "lin")
    assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_what_is_known_is_read_again_only_when_somebody_has_written(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/test.db")
    Base.metadata.create_all(database.engine, [UserTable.metadata.tables["users"]])
    other = open_database(f"sqlite:///{tmp_path}/test.db")
    checkouts: list[object] = []
    event.listen(database.engine, "checkout", lambda *_args: checkouts.append(1))
    values = {"now": utc_now().isoformat(" "), "name": "lin"}
    assert [BY_NAME.first(database, values) for _ in range(5)] == [None] * 5
    read = len(checkouts)
    assert BY_NAME.first(database, values) is None and len(checkouts) == read
    row = {"id": "user-1", "username": "Lin", "username_key": "lin", "password_hash": "", "role": "admin"}
    with other.write() as session:
        session.execute(insert(UserTable).values(**row, disabled=False, created_at=datetime(2026, 1, 1)))
    assert BY_NAME.first(database, values) == ("user-1", "admin")
    for opened in (database, other):
        opened.close()
