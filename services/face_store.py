"""The rows behind registered faces: each change counts its owner's index up in the same transaction."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import ColumnElement, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from services.contracts.faces import Removed
from services.database import Database
from services.errors import Invalid
from services.tables.faces import FaceIndexTable, FacePhotoTable, FaceRemovalTable, FaceTable
from services.usage import utc_now

Done = TypeVar("Done")
Indexed = FaceIndexTable | FacePhotoTable | FaceRemovalTable

WRITES = 5
# Databases bound how many values one statement may name.
NAMES_A_QUESTION = 500
# An index that is further behind is read anew.
KEPT_REMOVALS = 1000


@dataclass(frozen=True, slots=True)
class NewPhoto:
    """What one model measured of one photo, and whose it is: of *face_id* where it is given, else of *name*."""

    owner: str
    name: str
    face_id: str | None
    model: str
    embedding: bytes
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    """Whom a photo was added to; not *added* when it was there already."""

    face_id: str
    name: str
    photos: int
    added: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """What became of an index: photos that came, as version, person and embedding, and versions that went.

    *anew* says that the photos are all there are: too much went meanwhile to be told.
    """

    version: int
    removals: int
    photos: list[tuple[int, str, bytes]]
    gone: list[int]
    anew: bool = False


def add_photo(photo: NewPhoto, *, database: Database) -> Registered | None:
    """Add a photo to its person, who is made if nobody has the name; None when *face_id* is nobody's.

    The same photo twice is one. Raises Invalid for a person of another name.
    """
    return _write(database, lambda session: _add(session, photo))


def remove(*which: ColumnElement[bool], database: Database) -> tuple[Removed, list[str]]:
    """Remove the persons that *which* holds for: how much went, and the names of the kept files to remove."""
    with database.write() as session:
        # Locked before their photos are looked at, or one that is added meanwhile would be overlooked.
        locked = select(FaceTable.id).where(*which).order_by(FaceTable.id).with_for_update()
        persons = list(session.scalars(locked))
        photos = [photo for some in _portions(persons) for photo in _remove(session, some)]
        for owner, model in sorted({(photo.owner, photo.model) for photo in photos}):
            _note_removal(session, owner, model, [p.version for p in photos if (p.owner, p.model) == (owner, model)])
    files = [photo.file for photo in photos if photo.file]
    return Removed(faces=len(persons), embeddings=len(photos), files=len(files)), files


def files(*which: ColumnElement[bool], database: Database) -> list[str]:
    """The names of the photos that are kept of the persons that *which* holds for."""
    kept = select(FacePhotoTable.file).join(FaceTable, FaceTable.id == FacePhotoTable.face_id)
    with database.read() as session:
        return [file for file in session.scalars(kept.where(*which, FacePhotoTable.file.is_not(None))) if file]


def changes(owner: str, model: str, version: int, removals: int, *, database: Database) -> Changes | None:
    """What became of the index of *owner* and *model* since *version* and *removals*; None when nothing did."""
    index, photo, removal = FaceIndexTable, FacePhotoTable, FaceRemovalTable
    with database.read() as session:
        newest = session.execute(select(index.version, index.removals).where(*_here(index, owner, model))).first()
        if newest is None or tuple(newest) == (version, removals):
            return None
        anew = newest.removals - removals > KEPT_REMOVALS
        # A photo that is added meanwhile has a later version, and comes with the next question.
        since = (photo.version > (0 if anew else version), photo.version <= newest.version)
        here = select(photo.version, photo.face_id, photo.embedding).where(*_here(photo, owner, model), *since)
        photos = [(number, face_id, embedding) for number, face_id, embedding in session.execute(here)]
        gone: list[int] = []
        if version and newest.removals != removals and not anew:
            went = select(removal.version).where(*_here(removal, owner, model), removal.removal > removals)
            gone = list(session.scalars(went))
    return Changes(newest.version, newest.removals, photos, gone, anew)


def names(face_ids: set[str], *, database: Database) -> dict[str, str]:
    """The names of those of *face_ids* who are still registered."""
    found: dict[str, str] = {}
    with database.read() as session:
        for some in _portions(sorted(face_ids)):
            named = select(FaceTable.id, FaceTable.name).where(FaceTable.id.in_(some))
            found.update((face_id, name) for face_id, name in session.execute(named))
    return found


def _add(session: Session, photo: NewPhoto) -> Registered | None:
    person = _person(session, photo)
    if person is None:
        return None
    of_person = FacePhotoTable.face_id == person.id
    same = (of_person, FacePhotoTable.model == photo.model, FacePhotoTable.embedding == photo.embedding)
    added = session.scalar(select(FacePhotoTable.id).where(*same).limit(1)) is None
    if added:
        session.add(_row(photo, person.id, _next_version(session, photo.owner, photo.model)))
        session.flush()
    count = session.scalar(select(func.count()).select_from(FacePhotoTable).where(of_person)) or 0
    return Registered(person.id, person.name, count, added)


def _person(session: Session, photo: NewPhoto) -> FaceTable | None:
    """Whom the photo shows, locked against a removal meanwhile. Persons are locked before indexes, everywhere."""
    which = FaceTable.id == photo.face_id if photo.face_id else FaceTable.name == photo.name
    person = session.scalar(select(FaceTable).where(FaceTable.owner == photo.owner, which).with_for_update())
    if person is None and not photo.face_id:
        face_id = f"face_{secrets.token_hex(8)}"
        person = FaceTable(id=face_id, owner=photo.owner, name=photo.name, created_at=utc_now())
        session.add(person)
        session.flush()
    if person is not None and photo.name not in ("", person.name):
        raise Invalid(
            "name",
            "This 'face_id' is of somebody else; leave out 'name', or send the name that is registered.",
            "该'face_id'对应的姓名不同，请省略'name'或使用已注册的姓名。",
            reason="other_person",
        )
    return person


def _next_version(session: Session, owner: str, model: str) -> int:
    """The version after the present one, which nobody else gets until this write ends: versions come in order.

    The first makes its row, which two may try at the same time.
    """
    counting = (
        update(FaceIndexTable).where(*_here(FaceIndexTable, owner, model)).values(version=FaceIndexTable.version + 1)
    )
    version = session.scalar(counting.returning(FaceIndexTable.version))
    if version is None:
        session.add(FaceIndexTable(owner=owner, model=model, version=1, removals=0))
        session.flush()
    return version or 1


def _remove(session: Session, persons: Sequence[str]) -> Sequence[Row[str, str, int, str | None]]:
    """Remove *persons*; of each photo that they had its owner, model, version and kept file."""
    photo = FacePhotoTable
    gone = delete(photo).where(photo.face_id.in_(persons))
    photos = session.execute(gone.returning(photo.owner, photo.model, photo.version, photo.file)).all()
    session.execute(delete(FaceTable).where(FaceTable.id.in_(persons)))
    return photos


def _note_removal(session: Session, owner: str, model: str, versions: list[int]) -> None:
    """Count the index's removals up and note what went; after a large one all that is left is read anew."""
    few = len(versions) <= KEPT_REMOVALS
    counting = update(FaceIndexTable).where(*_here(FaceIndexTable, owner, model))
    counted = counting.values(removals=FaceIndexTable.removals + (1 if few else KEPT_REMOVALS + 1))
    removal = session.scalars(counted.returning(FaceIndexTable.removals)).one()
    if few:
        rows = [{"owner": owner, "model": model, "removal": removal, "version": version} for version in versions]
        session.execute(insert(FaceRemovalTable), rows)
    old = FaceRemovalTable.removal <= removal - KEPT_REMOVALS
    session.execute(delete(FaceRemovalTable).where(*_here(FaceRemovalTable, owner, model), old))


def _row(photo: NewPhoto, face_id: str, version: int) -> FacePhotoTable:
    return FacePhotoTable(
        id=f"photo-{secrets.token_hex(8)}",
        face_id=face_id,
        owner=photo.owner,
        model=photo.model,
        version=version,
        embedding=photo.embedding,
        file=photo.file,
        created_at=utc_now(),
    )


def _here(table: type[Indexed], owner: str, model: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return table.owner == owner, table.model == model


def _portions(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + NAMES_A_QUESTION] for start in range(0, len(names), NAMES_A_QUESTION))


def _write(database: Database, deed: Callable[[Session], Done]) -> Done:
    """What *deed* gives in a write. Two may make the same row at the same time: the later is done again."""
    for left in reversed(range(WRITES)):
        try:
            with database.write() as session:
                return deed(session)
        except IntegrityError:
            if not left:
                raise
    raise AssertionError("a write ends or raises")
