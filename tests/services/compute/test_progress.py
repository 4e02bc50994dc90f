"""What a function says of its job: throttled, never lost, and cheap when nobody listens."""

import math

import pytest
from sqlalchemy import select

from services.cancellation import Cancellation
from services.compute.identity import this_host
from services.compute.jobs import Jobs
from services.compute.progress import SILENT, THROTTLE_SECONDS, RunningJob
from services.compute.rows import utc_now
from services.compute.runners.silent import SilentRunner
from services.compute.tickets import Ticket, Tickets
from services.contracts.jobs import JobView
from services.database import Database, open_database
from services.errors import Cancelled
from services.settings import Settings
from services.tables.jobs import JobTable
from tests.services.compute.toys import ToyRequest


@pytest.fixture
def jobs(database: Database, settings: Settings) -> Jobs:
    return Jobs(database, settings, SilentRunner())


@pytest.fixture
def view(jobs: Jobs) -> JobView:
    return jobs.submit("toys.walk", ToyRequest(), owner="a")


@pytest.fixture
def ticket(database: Database, view: JobView) -> Ticket:
    claimed = Tickets(database).claim("io", "r", this_host(), 1)
    assert claimed is not None
    return claimed


@pytest.fixture
def job(database: Database, ticket: Ticket) -> RunningJob:
    return RunningJob(ticket, Tickets(database), Cancellation())


def test_a_silent_job_does_nothing() -> None:
    SILENT.progress(0.5, loss=1.0)
    SILENT.log("line")
    SILENT.artifact("a.png", url="/a")
    SILENT.check()
    assert not SILENT.cancelled


def test_many_reports_are_few_writes_and_the_last_one_stays(job: RunningJob, jobs: Jobs, view: JobView) -> None:
    started = utc_now()
    for step in range(1, 1001):
        job.progress(step / 1000, step=step)
    seconds = (utc_now() - started).total_seconds()
    job.flush()
    shown = jobs.show(view.id)
    assert (shown.progress, shown.metrics) == (100, {"step": 1000})
    told = [event for event in jobs.events(view.id) if event.type == "progress"]
    assert len(told) <= 3 + seconds / THROTTLE_SECONDS


def test_metrics_are_kept_until_they_are_told_anew(job: RunningJob, jobs: Jobs, view: JobView) -> None:
    job.progress(0.1, loss=2.0, epoch=1)
    job.progress(0.2, loss=math.nan)
    job.flush()
    assert jobs.show(view.id).metrics == {"loss": None, "epoch": 1}


@pytest.mark.parametrize(("fraction", "percent"), [(-1, 0), (0, 0), (0.12345, 12.3), (1, 100), (7, 100)])
def test_progress_is_a_share(job: RunningJob, jobs: Jobs, view: JobView, fraction: float, percent: float) -> None:
    job.progress(fraction)
    job.flush()
    assert jobs.show(view.id).progress == percent


def test_lines_keep_their_order_and_their_length_is_bounded(job: RunningJob, jobs: Jobs, view: JobView) -> None:
    for line in ["one\n", "two", "x" * 9999]:
        job.log(line)
    job.flush()
    lines = [event.data["line"] for event in jobs.events(view.id) if event.type == "log"]
    assert lines == ["one", "two", "x" * 4000]


def test_a_report_hears_that_the_job_shall_end(job: RunningJob, jobs: Jobs, view: JobView) -> None:
    jobs.cancel(view.id)
    with pytest.raises(Cancelled) as caught:
        job.progress(0.5)
    assert caught.value.reason == "cancelled" and job.cancelled


def test_a_report_hears_that_another_runner_has_the_job(job: RunningJob, database: Database) -> None:
    Tickets(database).reap(0, lambda _: True)
    with pytest.raises(Cancelled) as caught:
        job.progress(0.5)
    assert caught.value.reason == "lost"


def test_what_was_made_once_is_written_when_the_database_is_back(
    ticket: Ticket, view: JobView, database: Database
) -> None:
    away = open_database("sqlite:////nowhere/at/all.db")
    job = RunningJob(ticket, Tickets(away), Cancellation())
    assert job.once("task", lambda: "task-1") == "task-1"
    job._tickets = Tickets(database)
    job.flush()
    with database.read() as session:
        assert session.scalar(select(JobTable.memory).where(JobTable.id == view.id)) == {"task": "task-1"}
    assert job.once("task", lambda: "task-2") == "task-1"


def test_a_database_that_is_away_costs_no_line(ticket: Ticket, jobs: Jobs, view: JobView, database: Database) -> None:
    away = open_database("sqlite:////nowhere/at/all.db")
    job = RunningJob(ticket, Tickets(away), Cancellation())
    job.log("kept")
    job.flush()
    job._tickets = Tickets(database)
    job.flush()
    assert [event.data for event in jobs.events(view.id) if event.type == "log"] == [{"line": "kept"}]
