"""KEEP_DAYS removes what is old, and nothing that is young or in use; QUOTA_MB bounds a user."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from services import housekeeping
from services.assemble import Services, assemble
from services.errors import TooLarge
from services.settings import Settings
from services.tables.files import FileTable
from services.tables.jobs import JobEventTable, JobTable
from services.usage import utc_now
from tests.services.compute.toys import ToyRequest


@pytest.fixture
def keeping(settings: Settings) -> Iterator[Services]:
    """Services that keep things for ten days, and run jobs at once."""
    services = assemble(settings.model_copy(update={"keep_days": 10}))
    yield services
    services.close()


def keep(services: Services, kind: str, days_ago: float, data: bytes = b"x", suffix: str = ".png") -> Path:
    """A file that was kept some days ago."""
    kept = services.files.keep(data, kind, suffix, owner="ann")  # type: ignore[arg-type]
    with services.database.write() as session:
        then = utc_now() - timedelta(days=days_ago)
        session.execute(update(FileTable).where(FileTable.name == kept.name).values(created_at=then))
    return kept.path


def job(services: Services, days_ago: float, status: str = "completed") -> str:
    """A job that was asked for and ended some days ago."""
    found = services.jobs.submit("toys.echo", ToyRequest(), owner="ann")
    then = utc_now() - timedelta(days=days_ago)
    changed = {"status": status, "created_at": then, "finished_at": then if status == "completed" else None}
    with services.database.write() as session:
        session.execute(update(JobTable).where(JobTable.id == found.id).values(**changed))
    return found.id


def rows(services: Services, table: type) -> int:
    with services.database.read() as session:
        return session.query(table).count()


def test_the_old_goes_and_the_young_stays(keeping: Services) -> None:
    old = [keep(keeping, kind, 11) for kind in ("images", "video", "audio", "uploads")]
    young = [keep(keeping, kind, 9) for kind in ("images", "uploads")]
    job(keeping, 11)
    left = job(keeping, 9)
    assert housekeeping.tidy(keeping) == {
        "halves": 0,
        "expired": 0,
        "sounds": 0,
        "jobs": 1,
        "files": 4,
        "descriptions": 0,
    }
    assert [path.exists() for path in [*old, *young]] == [False] * 4 + [True] * 2
    assert keeping.jobs.show(left).status == "completed"
    assert (rows(keeping, FileTable), rows(keeping, JobTable)) == (2, 1)
    assert rows(keeping, JobEventTable) == 3, "the events of the job that stays"


def test_by_default_all_is_kept(services: Services) -> None:
    path = keep(services, "images", 1000)
    assert housekeeping.tidy(services) == {"halves": 0, "expired": 0, "sounds": 0}
    assert path.exists()


def test_sounds_that_no_transcription_heard_go_after_a_day(services: Services) -> None:
    young, old = (keep(services, "uploads", days, suffix=".snd") for days in (0.9, 1.1))
    picture = keep(services, "uploads", 1.1)
    assert housekeeping.tidy(services)["sounds"] == 1
    assert [path.exists() for path in (young, old, picture)] == [True, False, True]


def test_a_sound_that_waits_to_be_heard_stays(services: Services) -> None:
    job(services, 3, status="queued")
    needed, older = (keep(services, "uploads", days, suffix=".snd") for days in (3.1, 5))
    assert housekeeping.tidy(services)["sounds"] == 1
    assert (needed.exists(), older.exists()) == (True, False)


def test_what_an_unfinished_job_may_need_stays(keeping: Services) -> None:
    job(keeping, 30, status="queued")
    needed, older = keep(keeping, "uploads", 30.1), keep(keeping, "uploads", 32)
    assert housekeeping.tidy(keeping) == {
        "halves": 0,
        "expired": 0,
        "sounds": 0,
        "jobs": 0,
        "files": 1,
        "descriptions": 0,
    }
    assert (needed.exists(), older.exists()) == (True, False)


def test_a_result_without_a_row_goes_and_other_files_stay(keeping: Services) -> None:
    folder = keeping.files.folder("images")
    folder.mkdir(parents=True)
    stray, own = folder / f"{'0' * 32}.png", folder / "operator.png"
    for path in (stray, own):
        path.write_bytes(b"x")
        os.utime(path, (0, 0))
    assert housekeeping.tidy(keeping)["files"] == 1
    assert (stray.exists(), own.exists()) == (False, True)


def test_many_go_in_steps(keeping: Services) -> None:
    with keeping.database.write() as session:
        then = utc_now() - timedelta(days=11)
        session.add_all(
            FileTable(
                name=f"{n:032x}.png", kind="images", owner="a", media_type="image/png", size_bytes=1, created_at=then
            )
            for n in range(1201)
        )
        session.add_all(
            JobTable(
                id=str(n), kind="k", owner="a", lane="io", request={}, status="failed",
                created_at=then, updated_at=then, finished_at=then,
            )
            for n in range(1201)
        )  # fmt: skip
    assert housekeeping.tidy(keeping) == {
        "halves": 0,
        "expired": 0,
        "sounds": 0,
        "jobs": 1201,
        "files": 1201,
        "descriptions": 0,
    }


def test_a_user_over_the_quota_is_told_before_the_work(settings: Settings) -> None:
    services = assemble(settings.model_copy(update={"quota_mb": 1}))
    services.files.keep(bytes(2**20), "images", ".png", owner="ann")
    with pytest.raises(TooLarge, match="delete some"), services.files.batch(owner="ann"):
        pytest.fail("the work was begun")
    assert services.files.keep(b"x", "images", ".png", owner="ben").owner == "ben"
    services.close()
