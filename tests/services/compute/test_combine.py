"""Many writers, few transactions: each gets its own answer or its own error."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import event, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from services.compute.combine import Combiner
from services.compute.rows import utc_now
from services.database import Database
from services.tables.jobs import JobTable


def add(name: str) -> Callable[[Session], str]:
    def deed(session: Session) -> str:
        now = utc_now()
        values = {
            "id": name,
            "kind": "k",
            "owner": "o",
            "lane": "io",
            "request": {},
            "created_at": now,
            "updated_at": now,
        }
        session.execute(insert(JobTable).values(**values))
        return name

    return deed


def ids(database: Database) -> list[str]:
    with database.read() as session:
        return sorted(session.scalars(select(JobTable.id)))


def run_together(deeds: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=deed) for deed in deeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_each_gets_its_own_answer(database: Database) -> None:
    combiner, answers = Combiner(database), {}

    def ask(name: str) -> None:
        answers[name] = combiner.do(add(name))

    names = [f"job-{number:02}" for number in range(40)]
    run_together([lambda name=name: ask(name) for name in names])
    assert answers == {name: name for name in names}
    assert ids(database) == names


def test_those_who_come_while_one_writes_share_a_transaction(database: Database) -> None:
    combiner, first_writes, others_wait = Combiner(database), threading.Event(), threading.Event()
    commits: list[int] = []
    event.listen(database.engine, "commit", lambda _: commits.append(1))

    def slow(_session: Session) -> None:
        first_writes.set()
        assert others_wait.wait(10)

    leader = threading.Thread(target=combiner.do, args=(slow,))
    leader.start()
    assert first_writes.wait(10)
    followers = [threading.Thread(target=combiner.do, args=(add(f"job-{number}"),)) for number in range(6)]
    for thread in followers:
        thread.start()
    while len(combiner._wishes) < 6:
        threading.Event().wait(0.001)
    others_wait.set()
    for thread in [leader, *followers]:
        thread.join()
    assert len(ids(database)) == 6
    assert len(commits) == 1, "the slow one wrote nothing, the six wrote together"


def test_one_that_fails_takes_no_other_with_it(database: Database) -> None:
    combiner = Combiner(database)
    combiner.do(add("taken"))
    failed: list[str] = []

    def ask(name: str) -> None:
        try:
            combiner.do(add(name))
        except IntegrityError:
            failed.append(name)

    run_together([lambda name=name: ask(name) for name in ["a", "taken", "b", "taken", "c"]])
    assert failed == ["taken", "taken"]
    assert ids(database) == ["a", "b", "c", "taken"]


def test_after_an_error_the_next_writes(database: Database) -> None:
    combiner = Combiner(database)
    with pytest.raises(ZeroDivisionError):
        combiner.do(lambda _: 1 / 0)
    assert combiner.do(add("a")) == "a"


def test_an_interrupted_leader_leaves_nobody_waiting(database: Database) -> None:
    combiner = Combiner(database)

    def interrupt(_session: Session) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        combiner.do(interrupt)
    assert combiner.do(add("a")) == "a"
