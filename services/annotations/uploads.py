"""Pictures that were sent to be described: their files, and what is known of each."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from services.contracts.annotations import UploadedPicture
from services.database import Database
from services.errors import NotFound
from services.files import Files
from services.tables.annotations import UploadTable
from services.usage import utc_now

NAMES_A_QUESTION = 500


@dataclass(frozen=True, slots=True)
class Arrival:
    """A picture on its way in: a file on the same disk, which is moved, and what it holds."""

    path: Path
    suffix: str
    picture: UploadedPicture


class Uploads:
    """The uploads of everybody; each belongs to one owner."""

    def __init__(self, database: Database, files: Files) -> None:
        self._database, self._files = database, files

    def keep(self, arrivals: list[Arrival], *, owner: str) -> list[UploadedPicture]:
        """Keep all of *arrivals* under new names, in their order. Raises TooLarge over the quota, Unavailable."""
        with self._files.batch(owner=owner) as batch:
            drafts = [batch.draft("uploads", arrival.suffix) for arrival in arrivals]
            for arrival, draft in zip(arrivals, drafts, strict=True):
                arrival.path.rename(draft.part)
        kept = [
            arrival.picture.model_copy(update={"name": draft.name})
            for arrival, draft in zip(arrivals, drafts, strict=True)
        ]
        now = utc_now()
        with self._database.write() as session:
            session.add_all([UploadTable(owner=owner, created_at=now, **picture.model_dump()) for picture in kept])
        return kept

    def remove(self, name: str, *, owner: str | None) -> None:
        """Remove an upload for good; its row goes with the file's. Raises NotFound."""
        self.find(name, owner=owner)
        self._files.forget([name])

    def find(self, name: str, *, owner: str | None) -> tuple[Path, str]:
        """Where an upload lies, and its media type. Raises NotFound."""
        with self._database.read() as session:
            row = session.get(UploadTable, name)
        if row is None or owner not in (None, row.owner):
            raise not_uploaded(name)
        return self._files.folder("uploads") / row.name, row.content_type

    def named(self, names: list[str], *, owner: str) -> dict[str, UploadTable]:
        """Those of *owner*'s uploads that *names* mean: by the name they have here, else the newest sent under it."""
        found: dict[str, UploadTable] = {}
        wanted = list(dict.fromkeys(names))
        for start in range(0, len(wanted), NAMES_A_QUESTION):
            some = wanted[start : start + NAMES_A_QUESTION]
            with self._database.read() as session:
                table = UploadTable
                rows = session.scalars(
                    select(table)
                    .where(table.owner == owner, table.name.in_(some) | table.original_name.in_(some))
                    .order_by(table.created_at)
                )
                listed = list(rows)
            found.update((row.original_name, row) for row in listed)
            found.update((row.name, row) for row in listed)
        return {name: found[name] for name in wanted if name in found}


def not_uploaded(name: str) -> NotFound:
    """The error for a picture that is not there, or is somebody else's."""
    return NotFound(
        "There is no upload {name}; send it to /api/upload first.",
        "上传文件 {name} 不存在，请先通过 /api/upload 上传。",
        details={"field": "file_names", "reason": "not_uploaded"},
        name=repr(name[:80]),
    )
