"""The queue: who is served next, and what is asked for twice."""

import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from services.compute import outcomes
from services.compute.identity import this_host
from services.compute.jobs import Jobs
from services.compute.outcomes import Outcome
from services.compute.rows import utc_now
from services.compute.runners.silent import SilentRunner
from services.compute.tickets import Ticket, Tickets
from services.contracts.jobs import JobsQuery, JobView
from services.database import Database
from services.errors import Conflict, Invalid, NotFound
from services.settings import Settings
from services.tables.jobs import JobTable
from tests.services.compute.toys import ToyRequest


@pytest.fixture
def jobs(database: Database, settings: Settings) -> Jobs:
    return Jobs(database, settings, SilentRunner())


@pytest.fixture
def tickets(database: Database) -> Tickets:
    return Tickets(database)


def submit(jobs: Jobs, owner: str = "a", number: int = 0, kind: str = "echo", **more: Any) -> JobView:
    return jobs.submit(f"toys.{kind}", ToyRequest(number=number), owner=owner, **more)


def claim(tickets: Tickets, lane: str = "io", bound: int = 100, runner: str = "r") -> Ticket | None:
    return tickets.claim(lane, runner, this_host(), bound)


def serve(tickets: Tickets) -> str:
    """Claim the next job and end it; whose it was."""
    ticket = claim(tickets)
    assert ticket is not None
    assert tickets.end(ticket, Outcome(result={"number": 0}))
    return ticket.owner


def test_many_threads_take_each_job_once(jobs: Jobs, tickets: Tickets) -> None:
    for number in range(120):
        submit(jobs, owner=f"user-{number % 4}", number=number)
    taken: list[int] = []

    def take() -> None:
        while ticket := claim(Tickets(tickets._database), bound=1000, runner=threading.current_thread().name):
            taken.append(ticket.request["number"])

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(120))


def test_a_thousand_jobs_do_not_keep_another_s_first_one_waiting(jobs: Jobs, tickets: Tickets) -> None:
    for number in range(50):
        submit(jobs, owner="busy", number=number)
    submit(jobs, owner="guest")
    assert "guest" in [serve(tickets), serve(tickets)]


def test_owners_are_served_in_turn(jobs: Jobs, tickets: Tickets) -> None:
    for owner in ("a", "a", "a", "b", "b", "c"):
        submit(jobs, owner=owner)
    served = [serve(tickets) for _ in range(6)]
    assert Counter(served[:3]) == {"a": 1, "b": 1, "c": 1}
    assert served[3:] == ["a", "b", "a"]


def test_whose_jobs_run_waits_for_those_whose_do_not(jobs: Jobs, tickets: Tickets) -> None:
    for owner in ("a", "a", "a", "b"):
        submit(jobs, owner=owner)
    owners = [ticket.owner for _ in range(3) if (ticket := claim(tickets))]
    assert owners == ["a", "b", "a"]


def test_priority_goes_before_fairness(jobs: Jobs, tickets: Tickets) -> None:
    submit(jobs, owner="a", number=1)
    submit(jobs, owner="a", number=2, priority=5)
    submit(jobs, owner="b", number=3)
    submit(jobs, owner="a", number=4, priority=5)
    numbers = [ticket.request["number"] for _ in range(4) if (ticket := claim(tickets))]
    assert numbers == [2, 4, 3, 1]


def test_a_lane_takes_no_more_than_its_bound(jobs: Jobs, tickets: Tickets) -> None:
    for _ in range(3):
        submit(jobs, kind="paint")
    submit(jobs)
    first = claim(tickets, "gpu", bound=1)
    assert first is not None
    assert claim(tickets, "gpu", bound=1) is None
    assert claim(tickets, "io", bound=1) is not None
    assert tickets.claim("gpu", "r", "another-host", 1) is not None
    tickets.end(first, Outcome())
    assert claim(tickets, "gpu", bound=1) is not None


def test_the_bound_holds_when_all_ask_at_once(jobs: Jobs, database: Database) -> None:
    for number in range(40):
        submit(jobs, kind="paint", number=number, owner=f"user-{number}")
    taken: list[Ticket] = []
    begin = threading.Barrier(8)

    def take() -> None:
        begin.wait()
        taken.extend(ticket for _ in range(5) if (ticket := claim(Tickets(database), "gpu", bound=3)))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 3


def test_a_place_in_the_queue_is_what_the_claim_makes_of_it(jobs: Jobs, tickets: Tickets) -> None:
    views = [submit(jobs, owner=owner, number=n) for n, owner in enumerate(["a", "a", "b", "a", "b", "c"])]
    places = {jobs.show(view.id).queue_position: number for number, view in enumerate(views)}
    served = []
    while ticket := claim(tickets):
        served.append(ticket.request["number"])
        tickets.end(ticket, Outcome())
    assert [places[place] for place in range(1, 7)] == served


def test_the_next_attempt_waits_for_its_time(jobs: Jobs, tickets: Tickets, database: Database) -> None:
    submit(jobs, kind="stumble")
    ticket = claim(tickets)
    assert ticket is not None
    tickets.end(ticket, Outcome("failed", error={"class": "Busy", "attributes": {}}, again_after_seconds=3600))
    assert claim(tickets) is None
    with database.write() as session:
        session.execute(update(JobTable).values(not_before=utc_now()))
    again = claim(tickets)
    assert again is not None and again.attempt == 2


def test_a_void_ticket_changes_nothing(jobs: Jobs, tickets: Tickets) -> None:
    job = submit(jobs, kind="walk")
    old = claim(tickets, runner="old")
    assert old is not None
    assert tickets.reap(0, lambda _: True) == {"io"}
    new = claim(tickets, runner="new")
    assert new is not None and new.attempt == 2
    assert tickets.report(old, 50, {}, []) is None
    assert not tickets.end(old, Outcome(result={"number": 1}))
    assert tickets.beat([old.number], "old") == set()
    assert jobs.show(job.id).status == "running"
    assert tickets.end(new, Outcome(result={"number": 2}))
    assert jobs.show(job.id).result == {"number": 2}


def test_a_dead_runner_s_job_ends_with_the_reason_when_it_has_no_attempt_left(jobs: Jobs, tickets: Tickets) -> None:
    job = submit(jobs, kind="once")
    claim(tickets, "cpu")
    tickets.reap(0, lambda _: True)
    ended = jobs.show(job.id)
    assert ended.status == "failed" and ended.error
    assert ended.error["attributes"]["details"] == {"reason": "process_died"}


def test_whoever_gives_a_sign_of_life_is_not_reaped(jobs: Jobs, tickets: Tickets) -> None:
    submit(jobs)
    ticket = claim(tickets)
    assert ticket is not None
    assert tickets.beat([ticket.number], "r") == {ticket.number}
    assert tickets.reap(30, lambda _: False) == set()
    assert tickets.reap(0, lambda _: True, spare=[ticket.number]) == set()
    assert tickets.beat([ticket.number], "r") == {ticket.number}


def test_what_is_handed_back_does_not_count_as_an_attempt(jobs: Jobs, tickets: Tickets) -> None:
    job = submit(jobs, kind="once")
    claim(tickets, "cpu")
    assert tickets.hand_back("r") == ["cpu"]
    shown = jobs.show(job.id)
    assert (shown.status, shown.attempt) == ("queued", 0)


def test_a_cancelled_job_is_not_begun_again(jobs: Jobs, tickets: Tickets) -> None:
    job = submit(jobs, kind="walk")
    ticket = claim(tickets)
    assert ticket is not None
    jobs.cancel(job.id)
    assert tickets.report(ticket, 10, {}, []) is True
    tickets.end(ticket, outcomes.handed_back())
    assert jobs.show(job.id).status == "canceled"


def test_a_queued_job_is_cancelled_at_once(jobs: Jobs, tickets: Tickets) -> None:
    job = submit(jobs)
    assert jobs.cancel(job.id).status == "canceled"
    assert claim(tickets) is None
    assert jobs.cancel(job.id).status == "canceled"


def test_only_what_failed_or_was_canceled_is_started_again(jobs: Jobs, tickets: Tickets) -> None:
    job = submit(jobs)
    with pytest.raises(Conflict):
        jobs.retry(job.id)
    jobs.cancel(job.id)
    assert jobs.retry(job.id).status == "queued"
    assert claim(tickets) is not None


def test_the_same_key_and_request_is_the_same_job(jobs: Jobs) -> None:
    first = submit(jobs, number=1, idempotency_key="k")
    second = submit(jobs, number=1, idempotency_key="k")
    assert second.id == first.id and second.replayed and not first.replayed
    assert jobs.list_(JobsQuery()).count == 1


def test_a_key_at_once_from_many_is_one_job(jobs: Jobs) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(submit(jobs, idempotency_key="k").id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len(set(found)) == 1


def test_a_key_is_good_for_one_request(jobs: Jobs) -> None:
    submit(jobs, number=1, idempotency_key="k")
    with pytest.raises(Invalid) as caught:
        submit(jobs, number=2, idempotency_key="k")
    assert caught.value.details == {"field": "Idempotency-Key", "reason": "reused"}
    assert submit(jobs, number=2, owner="b", idempotency_key="k").status == "queued"


def test_a_key_is_good_for_a_day(jobs: Jobs, database: Database) -> None:
    first = submit(jobs, number=1, idempotency_key="k")
    with database.write() as session:
        session.execute(update(JobTable).values(created_at=utc_now() - timedelta(hours=25)))
    second = submit(jobs, number=2, idempotency_key="k")
    assert second.id != first.id and not second.replayed


@pytest.mark.parametrize("key", ["x" * 256, "line\nbreak"])
def test_a_strange_key_is_refused(jobs: Jobs, key: str) -> None:
    with pytest.raises(Invalid):
        submit(jobs, idempotency_key=key)


def test_jobs_are_listed_newest_first_in_pages(jobs: Jobs) -> None:
    ids = [submit(jobs, number=number).id for number in range(5)] + [submit(jobs, kind="walk").id]
    submit(jobs, owner="b")
    page = jobs.list_(JobsQuery(limit=2), owner="a")
    assert [job.id for job in page.jobs] == ids[:3:-1] and page.count == 6
    rest = jobs.list_(JobsQuery(limit=10, after=page.next), owner="a")
    assert [job.id for job in rest.jobs] == ids[3::-1] and rest.next is None
    assert jobs.list_(JobsQuery(kind="toys.walk")).count == 1
    assert jobs.list_(JobsQuery(status="completed")).jobs == []


def test_a_page_after_another_s_job_is_refused(jobs: Jobs) -> None:
    other = submit(jobs, owner="b")
    with pytest.raises(Invalid):
        jobs.list_(JobsQuery(after=other.id), owner="a")


def test_old_jobs_go_with_their_events(jobs: Jobs, tickets: Tickets, database: Database) -> None:
    old, new = submit(jobs), submit(jobs)
    serve(tickets)
    assert jobs.prune(days=1) == 0
    with database.write() as session:
        long_ago = utc_now() - timedelta(days=2)
        session.execute(update(JobTable).where(JobTable.id == old.id).values(finished_at=long_ago))
    assert jobs.prune(days=1) == 1
    with pytest.raises(NotFound):
        jobs.events(old.id)
    assert jobs.show(new.id).status == "queued"


def test_a_request_of_another_class_is_a_mistake_of_ours(jobs: Jobs) -> None:
    with pytest.raises(TypeError):
        jobs.submit("toys.echo", JobsQuery(), owner="a")
