"""Which data sets there are, whose they are and where they lie."""

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, true
from sqlalchemy.orm import Session

from services import filetypes
from services.contracts.datasets import DatasetsPage, DatasetsQuery, DatasetView
from services.database import Database
from services.datasets import paths
from services.datasets.writing import PARTS
from services.errors import Invalid, NotFound
from services.settings import Settings
from services.tables.datasets import DatasetTable, DatasetVersionTable

RAW, PROCESSED = "data/raw", "data/processed"
MIB = 2**20
# Here the service keeps what users sent and what it made for them.
NOT_BY_HAND = {"uploads", "outputs"}
# What `Located.file_kind` says of pictures in folders, one a class.
FOLDER = "folder"
MOST_LOOKED_AT = 1000


@dataclass(frozen=True, slots=True)
class Located:
    """A data set as a training or a reader needs it.

    `parts` are its files by what they are for; a file as it was uploaded is all `train`. What the operator
    put into `data/` by hand has no id, and nobody has read yet which kind and format it has.
    """

    id: str
    owner: str
    name: str
    path: str
    folder: Path
    parts: dict[str, Path]
    format: str
    file_kind: str = "jsonl"
    encoding: str = "utf-8"
    version: int = 1
    rows: int = 0
    sha256: str = ""
    card: dict[str, Any] = field(default_factory=dict)


class DatasetStore:
    """Data sets of all owners. *owner* None acts for an admin, who sees everybody's."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    @property
    def root(self) -> Path:
        """The folder that paths of data sets begin at: `data/…` lies there."""
        return self._settings.data_dir

    def page(self, query: DatasetsQuery, *, owner: str | None) -> DatasetsPage:
        """Data sets, the oldest first: all without a limit. Raises Invalid when `after` names none of them."""
        seen = and_(_seen_by(owner), DatasetTable.version > 0)
        order = (DatasetTable.created_at, DatasetTable.id)
        with self._database.read() as session:
            count = session.scalar(select(func.count()).select_from(DatasetTable).where(seen)) or 0
            statement = select(DatasetTable).where(seen, *_after(session, query.after, seen)).order_by(*order)
            found = list(session.scalars(statement.limit(query.limit + 1 if query.limit else None)))
        rows = found[: query.limit]
        following = rows[-1].id if len(found) > len(rows) else None
        return DatasetsPage(datasets=[view(row) for row in rows], count=count, next=following)

    def find(self, reference: str, *, owner: str | None, field: str = "dataset_id") -> DatasetTable:
        """The data set that *reference* names: an id, a name, or a path as `paths.py` reads it.

        Raises NotFound, also for another's, and Malformed for a path that is none of the service's.
        """
        row = self._look_up(paths.normal(reference, field=field), owner)
        if row is None:
            raise _not_here(reference)
        return row

    def locate(
        self, reference: str, *, owner: str | None, version: int | None = None, field: str = "dataset_path"
    ) -> Located:
        """Where the data set lies that *reference* names, or what the operator put there by hand.

        Raises what `find` raises.
        """
        name = paths.normal(reference, field=field)
        row = self._look_up(name, owner)
        if row is not None:
            return self.located(row, version)
        candidates = [name] if name.startswith("data/") else [f"{PROCESSED}/{name}", f"{RAW}/{name}", f"data/{name}"]
        for candidate in candidates:
            if found := self._by_hand(candidate, field):
                return found
        raise _not_here(reference)

    def located(self, row: DatasetTable, version: int | None = None) -> Located:
        """Where the files of *row* lie, of a processed one those of *version*, else the newest. Raises NotFound."""
        facts: dict[str, Any] = {"id": row.id, "owner": row.owner, "name": row.name, "path": row.path}
        folder = self.root / row.location
        if row.kind == "raw":
            known: dict[str, Any] = {
                "file_kind": row.file_kind,
                "encoding": row.encoding,
                "rows": row.rows,
                "sha256": row.sha256,
            }
            return Located(**facts, folder=folder.parent, parts={"train": folder}, format=row.format, **known)
        with self._database.read() as session:
            made = session.get(DatasetVersionTable, (row.id, version or row.version))
        if made is None:
            raise NotFound("The data set has no version {n}.", "该数据集没有版本 {n}。", n=version)
        home = folder / f"v{made.version}"
        parts = {name: home / told["file"] for name, told in made.card.get("splits", {}).items()}
        more: dict[str, Any] = {"version": made.version, "rows": made.rows, "card": made.card}
        return Located(**facts, folder=home, parts=parts, format=row.format, **more)

    def versions(self, dataset_id: str) -> list[DatasetVersionTable]:
        """The versions of a processed data set, the oldest first."""
        table = DatasetVersionTable
        with self._database.read() as session:
            return list(session.scalars(select(table).where(table.dataset_id == dataset_id).order_by(table.version)))

    def of_job(self, job_id: str) -> DatasetTable | None:
        """The data set that the job *job_id* added already."""
        if not job_id:
            return None
        with self._database.read() as session:
            return session.scalar(select(DatasetTable).where(DatasetTable.job_id == job_id))

    def version_of_job(self, job_id: str) -> tuple[DatasetTable, DatasetVersionTable] | None:
        """The version that the job *job_id* made already, with its data set."""
        if not job_id:
            return None
        with self._database.read() as session:
            made = session.scalar(select(DatasetVersionTable).where(DatasetVersionTable.job_id == job_id))
            return (session.get_one(DatasetTable, made.dataset_id), made) if made else None

    def _look_up(self, name: str, owner: str | None) -> DatasetTable | None:
        """What *name* means to *owner*: an id, then a path, what was processed first, then what they call it."""
        labels = _labels(name)
        fits: ColumnElement[bool] = DatasetTable.path.in_(labels)
        if not name.startswith("data/"):
            fits = or_(fits, DatasetTable.id == name, DatasetTable.name == name)
        newest = DatasetTable.created_at.desc()
        wanted = select(DatasetTable).where(fits, _seen_by(owner), DatasetTable.version > 0).order_by(newest)
        with self._database.read() as session:
            found = list(session.scalars(wanted))

        def rank(row: DatasetTable) -> int:
            if row.id == name:
                return -1
            return labels.index(row.path) if row.path in labels else len(labels)

        return min(found, key=rank, default=None)

    def _by_hand(self, label: str, field: str) -> Located | None:
        """What lies at *label* though no row tells of it: the operator put it there, and all may read it."""
        place = paths.inside(self.root, label.removeprefix("data/"), field=field)
        # Where a link inside leads counts, and so does each folder on the way.
        steps = place.relative_to(self.root.resolve()).parts
        if not steps or steps[0] in NOT_BY_HAND or any(step.startswith(".") for step in steps):
            return None
        above = ["/".join(steps[:count]) for count in range(1, len(steps) + 1)]
        below = DatasetTable.location.startswith(f"{above[-1]}/", autoescape=True)
        with self._database.read() as session:
            if session.scalar(select(DatasetTable.id).where(or_(DatasetTable.location.in_(above), below))):
                return None
        if parts := _parts_of(place):
            folder = place if place.is_dir() else place.parent
            return Located("", "", place.name, label, folder, parts, "")
        if place.is_dir() and _holds_classes(place):
            return Located("", "", place.name, label, place, {"train": place}, "image_label", FOLDER)
        return None


def _labels(name: str) -> list[str]:
    """The paths that *name* may stand for, the nearest first; suffixes of data files may be left out or added."""
    stem = paths.bare(name)
    if name.startswith("data/"):
        return [name, stem]
    suffixes = ["", ".jsonl", ".json", ".csv", ".zip", ".jsonl.gz", ".json.gz", ".csv.gz"]
    exact = [f"{PROCESSED}/{name}", f"{RAW}/{name}", f"{PROCESSED}/{stem}"]
    return exact + [f"{RAW}/{stem}{suffix}" for suffix in suffixes]


def _parts_of(place: Path) -> dict[str, Path]:
    """The files at *place*: those named for a part, else the only one there is."""
    if place.is_file():
        return {"train": place}
    parts = {name: file for name in PARTS if (file := place / f"{name}.jsonl").is_file()}
    only = sorted(place.glob("*.json*"))
    return parts or ({"train": only[0]} if len(only) == 1 else {})


def _holds_classes(place: Path) -> bool:
    """Whether pictures lie in folders of *place*, or one deeper, in those of its parts."""
    deep = itertools.chain(place.glob("*/*"), place.glob("*/*/*"))
    files = (path for path in itertools.islice(deep, MOST_LOOKED_AT) if path.is_file() and path.name[0] != ".")
    return any(filetypes.is_picture(path) for path in files)


def view(row: DatasetTable) -> DatasetView:
    """What is shown of *row*."""
    return DatasetView(**described(row))


def described(row: DatasetTable) -> dict[str, Any]:
    """The fields that every view of a data set has."""
    names = ("id", "name", "path", "created_at", "description", "kind", "format", "version")
    return {name: getattr(row, name) for name in names} | {
        "size_mb": size_mb(row.size_bytes),
        "samples_count": row.rows,
    }


def size_mb(size_bytes: int) -> float:
    """MiB, to what people read."""
    return round(size_bytes / MIB, 2 if size_bytes < 100 * MIB else 0)


def _seen_by(owner: str | None) -> ColumnElement[bool]:
    return true() if owner is None else DatasetTable.owner == owner


def _after(session: Session, after: str | None, seen: ColumnElement[bool]) -> list[ColumnElement[bool]]:
    if after is None:
        return []
    last = session.scalar(select(DatasetTable).where(seen, DatasetTable.id == after))
    if last is None:
        raise Invalid("after", "'after' names no row of this list.", "参数'after'不在此列表中。")
    same = and_(DatasetTable.created_at == last.created_at, DatasetTable.id > last.id)
    return [or_(DatasetTable.created_at > last.created_at, same)]


def _not_here(reference: str) -> NotFound:
    return NotFound("There is no data set {name}.", "数据集 {name} 不存在。", name=repr(reference[:80]))
