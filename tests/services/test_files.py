"""Kept files: whole or not there, each somebody's, and no name that a user sends becomes a path."""

import os
import resource
import time
from pathlib import Path

import pytest

from services.assemble import Services
from services.errors import NotFound, Unavailable
from services.files import FORGOTTEN_SECONDS, NAME, Files


@pytest.fixture
def files(services: Services) -> Files:
    return services.files


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_a_result_is_kept_where_results_are_served(files: Files, services: Services) -> None:
    kept = files.keep(b"pixels", "images", ".png", owner="ann", job_id="job-1")
    assert NAME.fullmatch(kept.name) and kept.url == f"/outputs/images/{kept.name}"
    assert (kept.owner, kept.size_bytes, kept.media_type, kept.job_id) == ("ann", 6, "image/png", "job-1")
    assert kept.path == services.settings.data_dir / "outputs" / "images" / kept.name
    assert kept.path.read_bytes() == b"pixels"
    assert files.of_job("job-1") == [kept]


def test_an_upload_is_kept_where_nothing_is_served(files: Files, services: Services) -> None:
    kept = files.keep(b"pixels", "uploads", ".jpg", owner="ann")
    assert files.find(kept.name, owner="ann").path.read_bytes() == b"pixels"
    assert kept.path.parent == services.settings.data_dir / "uploads"


def test_names_do_not_repeat(files: Files) -> None:
    with files.batch(owner="ann") as batch:
        names = {batch.add(b"x", "images", ".png").name for _ in range(50)}
    assert len(names) == 50


def test_a_batch_appears_at_its_end(files: Files) -> None:
    with files.batch(owner="ann") as batch:
        first = batch.add(b"one", "images", ".png")
        assert not first.path.exists() and first.part.read_bytes() == b"one"
        with pytest.raises(NotFound):
            files.find(first.name)
        second = batch.draft("video", ".mp4")
        second.part.write_bytes(b"two")
    assert files.find(first.name).path.read_bytes() == b"one"
    assert files.find(second.name).size_bytes == 3


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_stays_of_a_batch_that_fails(files: Files, services: Services, error: type[BaseException]) -> None:
    def work() -> None:
        with files.batch(owner="ann", job_id="job-1") as batch:
            batch.add(b"one", "images", ".png")
            batch.draft("images", ".png")
            raise error

    with pytest.raises(error):
        work()
    assert names_in(services.settings.data_dir) == []
    assert files.of_job("job-1") == []


def test_a_draft_that_nobody_wrote_fails_the_batch(files: Files, services: Services) -> None:
    def work() -> None:
        with files.batch(owner="ann") as batch:
            batch.add(b"one", "images", ".png")
            batch.draft("images", ".png")

    with pytest.raises(FileNotFoundError):
        work()
    assert names_in(services.settings.data_dir) == []


def test_a_full_disk_is_told_and_leaves_nothing(files: Files, services: Services) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        with pytest.raises(Unavailable) as caught:
            files.keep(bytes(2**21), "images", ".png", owner="ann")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.details == {"reason": "disk_full"}
    assert names_in(services.settings.data_dir) == []


def test_another_owners_file_is_not_there(files: Files) -> None:
    kept = files.keep(b"x", "images", ".png", owner="ann")
    with pytest.raises(NotFound):
        files.find(kept.name, owner="bob")
    with pytest.raises(NotFound):
        files.remove(kept.name, owner="bob")
    assert files.find(kept.name, owner=None).owner == "ann"


@pytest.mark.parametrize(
    "name", ["", "..", "../../polymath.db", "/etc/passwd", "a" * 32 + ".png", "a" * 32, "a" * 32 + ".png\n", "\0"]
)
def test_names_that_are_not_here(files: Files, name: str) -> None:
    with pytest.raises(NotFound):
        files.find(name)
    files.forget([name])


def test_a_removed_file_is_gone(files: Files) -> None:
    kept, other = (files.keep(b"x", "images", ".png", owner="ann") for _ in range(2))
    files.remove(kept.name, owner="ann")
    assert not kept.path.exists()
    with pytest.raises(NotFound):
        files.find(kept.name)
    assert files.find(other.name) == other


def test_a_file_that_somebody_removed_by_hand_is_not_there(files: Files) -> None:
    kept = files.keep(b"x", "images", ".png", owner="ann")
    kept.path.unlink()
    with pytest.raises(NotFound):
        files.find(kept.name)
    files.forget([kept.name])


def test_many_files_are_forgotten_at_once(files: Files, services: Services) -> None:
    with files.batch(owner="ann") as batch:
        names = [batch.add(b"x", "images", ".png").name for _ in range(501)]
    files.forget(names)
    assert names_in(services.settings.data_dir) == []


def test_what_killed_processes_left_is_swept(files: Files, services: Services) -> None:
    kept = files.keep(b"x", "images", ".png", owner="ann")
    old, fresh = (kept.path.with_name(f".part-{number * 32}.png") for number in "ab")
    for part in (old, fresh):
        part.write_bytes(b"half")
    long_ago = time.time() - FORGOTTEN_SECONDS - 60
    os.utime(old, (long_ago, long_ago))
    assert files.sweep() == 1
    assert sorted(names_in(services.settings.data_dir)) == sorted([kept.name, fresh.name])


def test_a_part_has_no_name_that_can_be_asked_for(files: Files) -> None:
    with files.batch(owner="ann") as batch:
        assert not NAME.fullmatch(batch.draft("images", ".png").part.name)
        batch.drafts.clear()
