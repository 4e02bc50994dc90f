"""What holds for every source: one rename, one puller, the disk, verify and remove."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from services import pulls
from services.contracts.models import CatalogRow
from services.errors import Conflict, Unavailable
from services.pulls.room import full_disk_told, need_room
from tests.fakes.hub import HubFake
from tests.live import wait_for
from tests.services.pulls.conftest import Installation, LocalRow
from tests.source import ROOT

TINY = {"hub": "maker/tiny"}


@pytest.fixture
def installed(here: Installation, row: LocalRow) -> CatalogRow:
    here.pull(row(TINY))
    return row(TINY)


def test_an_installed_model_is_not_fetched_again(here: Installation, hub: HubFake, installed: CatalogRow) -> None:
    before = here.catalog.manifest(installed)
    hub.reset()
    assert here.pull(installed) == before
    assert hub.requests == []


def test_a_folder_that_no_pull_made_is_left_alone(here: Installation, row: LocalRow) -> None:
    own = here.settings.models_dir / "tiny" / "precious.safetensors"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"precious")
    with pytest.raises(Conflict):
        here.pull(row(TINY))
    assert own.read_bytes() == b"precious"


def test_verify(here: Installation, installed: CatalogRow) -> None:
    folder = here.catalog.folder(installed)
    assert pulls.verify(installed, catalog=here.catalog).ok
    (folder / "config.json").unlink()
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(1000)
        file.write(b"x")
    result = pulls.verify(installed, catalog=here.catalog)
    assert not result.ok
    assert result.problems == {"config.json": "missing", "model.safetensors": "changed"}


def test_remove(here: Installation, installed: CatalogRow) -> None:
    pulls.remove(installed, catalog=here.catalog, settings=here.settings)
    assert here.visible == []
    with pytest.raises(Unavailable) as caught:
        pulls.remove(installed, catalog=here.catalog, settings=here.settings)
    assert caught.value.details["reason"] == "model_not_installed"


def test_what_an_older_source_left_is_not_taken(here: Installation, row: LocalRow) -> None:
    staging = here.settings.models_dir / ".pull-tiny"
    staging.mkdir(parents=True)
    (staging / "stray.safetensors").write_bytes(b"stray")
    (staging / ".origin").write_text("another source")
    assert "stray.safetensors" not in here.pull(row(TINY)).files


def test_a_killed_pull_is_taken_up(here: Installation, hub: HubFake, row: LocalRow) -> None:
    hub.hold_after = 300_000
    program = textwrap.dedent("""
        import sys
        from services import pulls
        from services.catalog import Catalog
        from services.compute.progress import SILENT
        from services.contracts.models import CatalogRow
        from services.settings import Settings
        settings = Settings(_env_file=None)
        row = CatalogRow.model_validate_json(sys.argv[1])
        pulls.pull(row, catalog=Catalog(settings), settings=settings, job=SILENT)
    """)
    command = [sys.executable, "-c", program, row(TINY).model_dump_json()]
    folders = {"MODELS_DIR": str(here.settings.models_dir), "HUB_URL": hub.url(), "NO_PROXY": "127.0.0.1"}
    part = here.settings.models_dir / ".pull-tiny" / "model.safetensors.part"
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | folders) as child:
        hub.wait_for_requests(3, timeout=20)
        _wait_until_written(part)
        child.kill()
    assert here.visible == [".pull-tiny"]
    hub.release.set()
    here.pull(row(TINY))
    assert here.visible == ["tiny"]
    assert hub.requests[-1].headers["range"].startswith("bytes=")


def _wait_until_written(part: Path) -> None:
    wait_for(lambda: part.exists() and part.stat().st_size > 0, what="the first bytes", seconds=20)


def test_a_full_disk_leaves_nothing(here: Installation, row: LocalRow) -> None:
    """A child may write no file over 500 KB, which the kernel says as it says that the disk is full."""
    program = textwrap.dedent("""
        import resource, sys
        from services import pulls
        from services.catalog import Catalog
        from services.compute.progress import SILENT
        from services.contracts.models import CatalogRow
        from services.errors import Unavailable
        from services.settings import Settings
        settings = Settings(_env_file=None)
        row = CatalogRow.model_validate_json(sys.argv[1])
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
        try:
            pulls.pull(row, catalog=Catalog(settings), settings=settings, job=SILENT)
        except Unavailable as error:
            print(error.details["reason"])
    """)
    command = [sys.executable, "-c", program, row(TINY).model_dump_json()]
    folders = {"MODELS_DIR": str(here.settings.models_dir), "HUB_URL": here.settings.hub_url, "NO_PROXY": "127.0.0.1"}
    ran = subprocess.run(command, cwd=ROOT, env=os.environ | folders, capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == "disk_full", ran.stderr
    assert here.visible == []


def test_room_is_asked_for_before_a_download(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught, full_disk_told():
        need_room(tmp_path, 2**60)
    assert caught.value.details == {"reason": "disk_full"}
    need_room(tmp_path, 1)


def test_another_trouble_with_files_is_not_called_a_full_disk(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), full_disk_told():
        (tmp_path / "missing").read_bytes()
