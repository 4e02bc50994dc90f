"""Putting data sets in their places: what is added appears whole, takes no other's place and overwrites nothing."""

import secrets
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Update, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import make_transient

from services.contracts.datasets import Built, ProcessRequest
from services.database import Database
from services.datasets import paths
from services.datasets.store import PROCESSED, RAW
from services.datasets.writing import write_card
from services.errors import Conflict
from services.files import FORGOTTEN_SECONDS, PART
from services.settings import Settings
from services.tables.datasets import DatasetTable, DatasetVersionTable
from services.usage import utc_now

TRIES = 100


class DatasetKeeper:
    """Adds data sets and versions, and removes them. Safe from many processes on one folder and database."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self.root = settings.data_dir

    def add_file(self, file: Path, name: str, facts: dict[str, Any], *, owner: str) -> DatasetTable:
        """Move *file* to `data/raw/<name>`, or beside it where there is one of that name, as *owner*'s data set.

        *facts* are the other columns of its row.
        """
        stem, suffix = name[: len(paths.bare(name))], name[len(paths.bare(name)) :]
        (self.root / "raw").mkdir(parents=True, exist_ok=True)
        for number in range(1, TRIES):
            label = f"{stem}{suffix}" if number == 1 else f"{stem}-{number}{suffix}"
            row = self._new(owner, "raw", f"{RAW}/{label}", facts)
            if self._add(row, f"raw/{label}", lambda place: _link(file, place)):
                file.unlink(missing_ok=True)
                return row
        raise Conflict("Too many data sets have this name.", "同名数据集过多，请更换名称。")

    def add_version(
        self, made: Path, built: Built, asked: ProcessRequest, source: DatasetTable, *, owner: str, job_id: str | None
    ) -> tuple[DatasetTable, DatasetVersionTable]:
        """Put the folder *made* in its place as the newest version of *owner*'s data set `asked.output_name`."""
        row = self._claim(asked, built, owner)
        number = self._number(row.id)
        card = _card(built, asked, source, number)
        write_card(made, card)
        home = self.root / row.location
        home.mkdir(parents=True, exist_ok=True)
        made.rename(home / f"v{number}")
        version = DatasetVersionTable(
            dataset_id=row.id,
            version=number,
            source_id=source.id,
            rows=sum(built.splits.values()),
            size_bytes=built.bytes,
            splits=built.splits,
            card=card,
            job_id=job_id or None,
            created_at=utc_now(),
        )
        with self._database.write() as session:
            session.add(version)
            session.execute(_newest(version, asked, built))
        # The card above the versions is for people who look into the folder.
        files = {name: f"v{number}/{told['file']}" for name, told in card["splits"].items()}
        write_card(home, card | {"files": files})
        with self._database.read() as session:
            return session.get_one(DatasetTable, row.id), version

    def remove(self, row: DatasetTable) -> None:
        """Forget *row* and remove its files, of a processed one all versions."""
        with self._database.write() as session:
            session.execute(delete(DatasetVersionTable).where(DatasetVersionTable.dataset_id == row.id))
            session.execute(delete(DatasetTable).where(DatasetTable.id == row.id))
        place = self.root / row.location
        if row.kind == "raw":
            place.unlink(missing_ok=True)
        else:
            shutil.rmtree(place, ignore_errors=True)

    def sweep(self) -> int:
        """Remove what killed processes left half-made, a day later; how many."""
        oldest, removed = time.time() - FORGOTTEN_SECONDS, 0
        for folder in ("raw", "processed"):
            for draft in (self.root / folder).glob(f"{PART}*"):
                with suppress(FileNotFoundError):
                    if draft.stat().st_mtime < oldest:
                        shutil.rmtree(draft, ignore_errors=True)
                        removed += 1
        return removed

    def _new(self, owner: str, kind: str, path: str, facts: dict[str, Any]) -> DatasetTable:
        number = secrets.token_hex(8)
        return DatasetTable(
            id=f"dataset-{number}", owner=owner, kind=kind, path=path, location="", created_at=utc_now(), **facts
        )

    def _add(self, row: DatasetTable, location: str, take: Callable[[Path], bool]) -> bool:
        """Insert *row* and *take* the first free place for it; whether its path was free.

        The row is there first, invisible, so that no file lies there for a moment as if the operator had put it.
        """
        stem = paths.bare(location)
        version, row.version = row.version, 0
        for place in (location, f"{stem}~{row.id[-8:]}{location[len(stem) :]}"):
            row.location = place
            with suppress(IntegrityError):
                with self._database.write() as session:
                    session.add(row)
                if take(self.root / place):
                    row.version = version
                    self._set(row.id, version=version)
                    return True
                self._set(row.id, version=None)
                make_transient(row)
        return False

    def _set(self, dataset_id: str, *, version: int | None) -> None:
        """Show a new row as *version*, or take it back."""
        this = DatasetTable.id == dataset_id
        with self._database.write() as session:
            if version is None:
                session.execute(delete(DatasetTable).where(this))
            elif version:
                session.execute(update(DatasetTable).where(this).values(version=version))

    def _claim(self, asked: ProcessRequest, built: Built, owner: str) -> DatasetTable:
        """The row of *owner*'s data set of that name; a new one is invisible until its first version is there."""
        path = f"{PROCESSED}/{asked.output_name}"
        mine = select(DatasetTable).where(DatasetTable.owner == owner, DatasetTable.path == path)
        for _ in range(TRIES):
            with self._database.read() as session:
                if row := session.scalar(mine):
                    return row
            facts = {"name": asked.output_name, "version": 0, "taken_version": 0, "file_kind": "jsonl"}
            new = self._new(owner, PROCESSED.partition("/")[2], path, {**facts, "format": built.card["format"]})
            (self.root / "processed").mkdir(parents=True, exist_ok=True)
            self._add(new, f"processed/{asked.output_name}", _make)
        raise Conflict("This name is taken again and again.", "该名称反复被占用，请重试。")

    def _number(self, dataset_id: str) -> int:
        """The number of a new version, which nobody else gets."""
        taken = DatasetTable.taken_version
        statement = update(DatasetTable).where(DatasetTable.id == dataset_id).values(taken_version=taken + 1)
        with self._database.write() as session:
            number = session.scalar(statement.returning(taken))
        if number is None:
            raise Conflict("The data set was removed meanwhile.", "该数据集已被删除。")
        return int(number)


def _card(built: Built, asked: ProcessRequest, source: DatasetTable, number: int) -> dict[str, Any]:
    """What stands beside the files: enough to make them again. It tells no time, so that it is the same again."""
    told = asked.model_dump(exclude={"dataset_id", "output_name", "description"})
    origin = {"id": source.id, "name": source.name, "sha256": source.sha256, "format": source.format}
    return {"name": asked.output_name, "version": number, "source": origin, "parameters": told, **built.card}


def _newest(version: DatasetVersionTable, asked: ProcessRequest, built: Built) -> Update:
    """Make *version* the one that is shown, unless a later one was faster."""
    table = DatasetTable
    facts: dict[str, Any] = {
        "version": version.version,
        "rows": version.rows,
        "size_bytes": version.size_bytes,
        "format": built.card["format"],
        "columns": built.card.get("columns", []),
    }
    if asked.description:
        facts["description"] = asked.description
    return update(table).where(table.id == version.dataset_id, table.version < version.version).values(**facts)


def _link(file: Path, place: Path) -> bool:
    """Give *file* a second name at *place*; False when something lies there. Nothing is ever overwritten."""
    try:
        place.hardlink_to(file)
    except FileExistsError:
        return False
    return True


def _make(place: Path) -> bool:
    try:
        place.mkdir()
    except FileExistsError:
        return False
    return True
