"""Many writers, few transactions: each gets its own answer or its own error."""

import threading
from collections.abc import Callable
from types import SimpleNamespace

import gevent
import gevent.event
import gevent.thread
import pytest
from sqlalchemy import Connection, event, insert, select
from sqlalchemy.exc import IntegrityError

from services.compute import combine
from services.compute.combine import Combiner
from services.compute.rows import utc_now
from services.database import Database
from services.tables.jobs import JobTable


def add(name: str) -> Callable[[Connection], str]:
    def deed(connection: Connection) -> str:
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
        connection.execute(insert(JobTable).values(**values))
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


def commits_of(database: Database, combiner: Combiner, deeds: list[Callable[[], object]]) -> int:
    """How many transactions *deeds* took, all of which came while another wrote."""
    first_writes, others_wait, commits = threading.Event(), threading.Event(), list[int]()
    event.listen(database.engine, "commit", lambda _: commits.append(1))

    def slow(_connection: Connection) -> None:
        first_writes.set()
        assert others_wait.wait(10)

    leader = threading.Thread(target=combiner.do, args=(slow,))
    leader.start()
    assert first_writes.wait(10)
    followers = [threading.Thread(target=deed) for deed in deeds]
    for thread in followers:
        thread.start()
    while len(combiner._wishes) < len(deeds):
        threading.Event().wait(0.001)
    others_wait.set()
    for thread in [leader, *followers]:
        thread.join()
    return len(commits) - 1


@pytest.mark.parametrize(("most", "expected"), [(None, 1), (4, 2), (1, 6)])
def test_those_who_come_while_one_writes_share_a_transaction(
    database: Database, most: int | None, expected: int
) -> None:
    combiner = Combiner(database, most=most)
    deeds = [lambda name=f"job-{number}": combiner.do(add(name)) for number in range(6)]
    assert commits_of(database, combiner, deeds) == expected
    assert len(ids(database)) == 6


def test_what_is_alike_is_done_in_one_statement(database: Database) -> None:
    combiner, lists = Combiner(database), list[list[str]]()

    def together(_connection: Connection, items: list[str]) -> None:
        lists.append(sorted(items))

    names = [f"job-{number}" for number in range(6)]
    assert commits_of(database, combiner, [lambda name=name: combiner.add(together, name) for name in names]) == 1
    assert lists == [names]


def test_one_bad_item_takes_no_other_with_it(database: Database) -> None:
    combiner, done, refused = Combiner(database), list[str](), list[str]()

    def together(_connection: Connection, items: list[str]) -> None:
        if "bad" in items:
            raise ZeroDivisionError
        done.extend(items)

    def ask(name: str) -> None:
        try:
            combiner.add(together, name)
        except ZeroDivisionError:
            refused.append(name)

    commits_of(database, combiner, [lambda name=name: ask(name) for name in ("a", "bad", "b")])
    assert (sorted(done), refused) == (["a", "b"], ["bad"])


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

    def interrupt(_connection: Connection) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        combiner.do(interrupt)
    assert combiner.do(add("a")) == "a"


def under_gevent(database: Database, monkeypatch: pytest.MonkeyPatch) -> Combiner:
    """A combiner as a gevent worker has it."""
    monkeypatch.setattr(combine, "threading", SimpleNamespace(Lock=gevent.thread.LockType))
    monkeypatch.setattr(combine, "time", SimpleNamespace(sleep=gevent.sleep))
    return Combiner(database)


def test_greenlets_that_come_at_once_share_a_transaction(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    combiner, commits = under_gevent(database, monkeypatch), list[int]()
    event.listen(database.engine, "commit", lambda _: commits.append(1))
    names = [f"job-{number}" for number in range(8)]
    greenlets = [gevent.spawn(combiner.do, add(name)) for name in names]
    gevent.joinall(greenlets, timeout=5)
    assert [greenlet.value for greenlet in greenlets] == names
    assert (len(commits), ids(database)) == (1, names)


def test_a_leader_that_is_ended_before_it_began_leaves_nobody_waiting(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    combiner, others_ran = under_gevent(database, monkeypatch), gevent.event.Event()
    monkeypatch.setattr(combine, "time", SimpleNamespace(sleep=lambda _: others_ran.wait()))
    leader, other = gevent.spawn(combiner.do, add("leader")), gevent.spawn(combiner.do, add("other"))
    gevent.sleep(0)
    assert len(combiner._wishes) == 2
    leader.kill()
    others_ran.set()
    gevent.joinall([other], timeout=5)
    assert (other.value, ids(database)) == ("other", ["other"])


def test_where_no_transaction_can_begin_each_is_told(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    combiner = under_gevent(database, monkeypatch)

    def refuse() -> None:
        raise ConnectionError("the database is away")

    monkeypatch.setattr(database, "begin", refuse)
    greenlets = [gevent.spawn(combiner.do, add(name)) for name in ("a", "b")]
    gevent.joinall(greenlets, timeout=5)
    assert [type(greenlet.exception) for greenlet in greenlets] == [ConnectionError, ConnectionError]


@pytest.mark.parametrize("chosen", [False, True], ids=["still waits", "was just told to lead"])
def test_a_greenlet_that_is_ended_stands_in_nobodys_way(
    database: Database, monkeypatch: pytest.MonkeyPatch, chosen: bool
) -> None:
    combiner = under_gevent(database, monkeypatch)
    first, second, third = (gevent.Greenlet(combiner.do, add(name)) for name in ("first", "second", "third"))

    def lead(connection: Connection) -> None:
        """The others come while this one writes."""
        for one in (first, second):
            one.start()
        gevent.sleep(0)
        first.kill(block=not chosen)  # Not waited for, it is heard after this greenlet has chosen the next to lead.

    combiner.do(lead)
    third.start()
    gevent.joinall([first, second, third], timeout=5)
    assert ids(database) == ["second", "third"]
