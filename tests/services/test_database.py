"""The database over SQLite and PostgreSQL: one writer at a time, nothing lost, no wait inside a write."""

import threading
from pathlib import Path

import pytest
from sqlalchemy import event, select, text, update
from sqlalchemy.exc import IntegrityError

from backend.setup import migrate, newest_revision
from services import turns
from services.database import Database, open_database
from services.tables.usage import UsageTable
from services.usage import UsageEntry, UsageWriter, utc_now
from tests.live import wait_for


def entry(**changes: object) -> UsageTable:
    return UsageTable(
        **{
            "owner": "user-1",
            "request_id": "r",
            "ability": "chat",
            "provider": "demo",
            "model": "demo",
            "outcome": "ok",
            "created_at": utc_now(),
            **changes,
        }
    )


def test_migrations_are_complete_and_run_once(database: Database) -> None:
    assert newest_revision()
    assert migrate(database.engine) is False


def test_write_commits_and_read_sees_it(database: Database) -> None:
    with database.write() as session:
        session.add(entry(model="seen"))
    with database.read() as session:
        assert session.scalar(select(UsageTable.model)) == "seen"


def test_an_error_rolls_back(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as session:
        session.add(entry())
        session.flush()
        session.add(entry(owner=None))
    with database.read() as session:
        assert session.scalars(select(UsageTable)).all() == []


def test_the_version_changes_when_somebody_writes(database: Database) -> None:
    before = database.version()
    assert database.version() == before
    with database.read() as session:
        session.scalars(select(UsageTable.model)).all()
    assert database.version() == before
    with database.write() as session:
        session.add(entry())
    is_sqlite = database.engine.dialect.name == "sqlite"
    assert (database.version() != before) == is_sqlite and (before is not None) == is_sqlite


def test_a_database_that_cannot_be_opened_has_no_version(tmp_path: Path) -> None:
    nowhere = open_database(f"sqlite:///{tmp_path}/missing/test.db")
    assert nowhere.version() is None
    nowhere.close()


def test_many_writers_lose_nothing(database: Database) -> None:
    with database.write() as session:
        session.add(entry(prompt_tokens=0))

    def add_one() -> None:
        for _ in range(25):
            with database.write() as session:
                session.execute(update(UsageTable).values(prompt_tokens=UsageTable.prompt_tokens + 1))

    threads = [threading.Thread(target=add_one) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    with database.read() as session:
        assert session.scalar(select(UsageTable.prompt_tokens)) == 8 * 25


def test_who_writes_all_the_time_lets_another_process_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE_SECONDS", 10.0)
    here, there = (open_database(f"sqlite:///{tmp_path / 'both.db'}") for _ in range(2))
    order: list[str] = []

    def write_there() -> None:
        with there.begin():
            order.append("there")

    neighbour = turns.Neighbours(tmp_path / "both.db-turn")
    other = threading.Thread(target=write_there)
    with here.begin():
        order.append("here")
        other.start()
        wait_for(neighbour._others_wait, what="the other to wait")
    with here.begin():
        order.append("here again")
    other.join()
    assert order == ["here", "there", "here again"]
    here.close()
    there.close()


def test_a_database_in_memory_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    memory = open_database("sqlite:///:memory:")
    with memory.begin() as connection:
        connection.execute(text("CREATE TABLE one (number INTEGER)"))
    memory.close()
    assert list(tmp_path.iterdir()) == []


def test_usage_is_written_in_batches_and_whole_at_the_end(database: Database) -> None:
    transactions: list[object] = []
    event.listen(database.engine, "commit", transactions.append)
    writer = UsageWriter(database)
    for number in range(1200):
        writer.add(UsageEntry("user-1", f"r{number}", "chat", "demo", "demo", prompt_tokens=1))
    writer.close()
    with database.read() as session:
        assert len(session.scalars(select(UsageTable.id)).all()) == 1200
    assert len(transactions) < 20
