"""A checkpoint is pulled beside its place and moved there in one rename, so that it is whole or not there."""

import errno
import fcntl
import hashlib
import logging
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from services.catalog import MANIFEST, Catalog
from services.compute.progress import Job
from services.contracts.models import CatalogRow, Manifest, Source
from services.errors import Conflict, Invalid, ServiceError, Unavailable
from services.pulls import hub, packages
from services.settings import Settings

BLOCK_BYTES = 2**20

log = logging.getLogger(__name__)


def pull(row: CatalogRow, *, catalog: Catalog, settings: Settings, job: Job) -> Manifest:
    """Install *row* from the first of its sources that answers; what was installed.

    An interrupted pull goes on where it stopped or starts clean. Raises Conflict while another process
    pulls the same model, Unavailable when no source answers or the disk is full.
    """
    if not row.sources:
        raise Invalid("model", "Model {model} is remote; nothing to pull.", "模型 {model} 是云端模型，无需下载。", model=row.id)
    settings.models_dir.mkdir(parents=True, exist_ok=True)
    with _alone(settings.models_dir / f".{row.id}.lock", row.id):
        if catalog.installed(row):
            return catalog.manifest(row)
        with _beside(catalog.folder(row)) as folder, _disk_full_told():
            source = _fetch(row, folder, settings, job)
            manifest = _describe(row, source, folder)
            (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2))
            shutil.rmtree(catalog.folder(row), ignore_errors=True)
            folder.rename(catalog.folder(row))
    return manifest


def verify(row: CatalogRow, *, catalog: Catalog) -> list[str]:
    """The names of the files of an installed model that are missing or changed."""
    folder, wrong = catalog.path(row), []
    for name, digest in catalog.manifest(row).files.items():
        path = folder / name
        if not path.is_file() or file_sha256(path) != digest:
            wrong.append(name)
    return wrong


def remove(row: CatalogRow, *, catalog: Catalog, settings: Settings) -> None:
    """Remove an installed model; it disappears in one rename. Raises Unavailable when it is not installed."""
    folder = catalog.path(row)
    with _alone(settings.models_dir / f".{row.id}.lock", row.id):
        gone = folder.with_name(f".removed-{secrets.token_hex(8)}")
        folder.rename(gone)
        shutil.rmtree(gone)


def file_sha256(path: Path) -> str:
    """The sha256 of a file of any size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(row: CatalogRow, folder: Path, settings: Settings, job: Job) -> Source:
    failures: list[ServiceError] = []
    for source in row.sources:
        try:
            if source.hub:
                hub.fetch(source, folder, settings, job)
            else:
                packages.fetch(source, folder, settings, job, size_mb=row.size_mb)
            return source
        except Unavailable as error:
            log.warning("a source of a model does not answer", extra={"model": row.id, "reason": str(error)})
            failures.append(error)
    raise failures[-1]


def _describe(row: CatalogRow, source: Source, folder: Path) -> Manifest:
    origin = source.hub or ", ".join(package.requirement for package in source.packages)
    files = {str(path.relative_to(folder)): file_sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    now = datetime.now(UTC).isoformat()
    return Manifest(model=row.id, source=origin, revision=source.revision, installed_at=now, files=files)


@contextmanager
def _alone(path: Path, model: str) -> Iterator[None]:
    """One process a model; the lock goes with its holder."""
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict("Model {model} is being pulled already.", "模型 {model} 正在下载中。", model=model) from error
        yield


@contextmanager
def _beside(place: Path) -> Iterator[Path]:
    """A folder beside *place* that is gone at the end unless it was renamed there."""
    folder = place.with_name(f".pull-{place.name}-{secrets.token_hex(4)}")
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _disk_full_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}:
            raise
        raise Unavailable("The disk is full; free some room and pull again.", "磁盘已满，请清理后重试。") from error
