"""A data set out of a file, or out of rows that a program has: from pictures described, from feedback."""

import hashlib
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from services.archives import LONG_AGO
from services.contracts.datasets import DatasetUpload, DatasetView, Scan
from services.datasets import paths, scanning, zip_rows
from services.datasets.keeping import DatasetKeeper
from services.datasets.reading import Limits
from services.datasets.store import DatasetStore, view
from services.datasets.streams import Stream
from services.datasets.writing import RowsFile, draft
from services.tables.datasets import DatasetTable

if TYPE_CHECKING:
    from services.assemble import Services

ZIP = b"PK"


def from_rows(
    rows: Iterable[dict[str, Any]],
    *,
    name: str,
    services: "Services",
    owner: str,
    description: str = "",
    pictures: Mapping[str, Path] | None = None,
    job_id: str = "",
) -> DatasetView:
    """A data set of *owner*'s that holds *rows*, which are written as they come and never all in memory.

    *pictures* are files by the name under which rows show them as `image`: with any, the data set is a zip of
    them and their metadata. The job *job_id* makes one data set, however often it is run. Raises Invalid when there
    are no rows, Unavailable when the disk is full.
    """
    if done := DatasetStore(services.database, services.settings).of_job(job_id):
        return view(done)
    with draft(services.settings.data_dir / "raw") as folder:
        file = RowsFile(folder / "rows.jsonl")
        for row in rows:
            file.add(orjson.dumps(row), 0)
        file.flush()
        file.path.touch()
        whole = _with_pictures(file.path, pictures) if pictures else file.path
        limits = Limits.of(services.settings)
        found = scanning.scan(whole, limits, on_error="fail")
        with whole.open("rb") as made:
            digest = hashlib.file_digest(made, "sha256").hexdigest()
        asked = DatasetUpload(
            file=f"{'0' * 32}.data", file_name=name, sha256=digest, name=name, description=description
        )
        return view(add(whole, found, asked, services=services, owner=owner, job_id=job_id))


def add(
    file: Path, found: Scan, asked: DatasetUpload, *, services: "Services", owner: str, job_id: str
) -> DatasetTable:
    """Move *file*, in which *found* was found, among the data sets of *owner*."""
    packed = ".gz" if found.kind != "zip" and Stream(file, most_bytes=0).is_gzip else ""
    stem = paths.plain_name(paths.bare(asked.file_name), otherwise="") or paths.plain_name(asked.name, otherwise="data")
    facts = {
        "name": asked.name,
        "description": asked.description,
        "version": 1,
        "taken_version": 1,
        "format": found.format,
        "file_kind": found.kind,
        "encoding": found.encoding,
        "sha256": asked.sha256,
        "rows": found.rows,
        "size_bytes": file.stat().st_size,
        "columns": found.columns,
        "bad_rows": found.bad_rows | {"formulas": found.formulas},
        "job_id": job_id or None,
    }
    keeper = DatasetKeeper(services.database, services.settings)
    return keeper.add_file(file, f"{stem}.{found.kind}{packed}", facts, owner=owner)


def unpack_archive(file: Path, limits: Limits) -> None:
    """Where *file* is a gzip of a zip, put the zip in its place: a zip is read from its end. Raises Invalid."""
    stream = Stream(file, most_bytes=limits.unpacked_bytes)
    if not stream.is_gzip or stream.head(2) != ZIP:
        return
    with draft(file.parent) as folder:
        with (folder / "unpacked").open("xb") as unpacked:
            for block in stream.blocks():
                unpacked.write(block)
        (folder / "unpacked").replace(file)


def _with_pictures(rows: Path, pictures: Mapping[str, Path]) -> Path:
    """A zip of the rows and their pictures, not packed: pictures are that already."""
    whole = rows.with_name("rows.zip")
    with zipfile.ZipFile(whole, "x", zipfile.ZIP_STORED) as archive:
        for name, path in [(zip_rows.METADATA, rows), *sorted(pictures.items())]:
            with path.open("rb") as found, archive.open(zipfile.ZipInfo(name, LONG_AGO), "w") as kept:
                shutil.copyfileobj(found, kept, 2**20)
    return whole
