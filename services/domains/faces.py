"""Faces: finding them, registering whose they are, recognizing them again, and forgetting them."""

import mimetypes
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.orm import Session

from services import face_store, filetypes, routes, sent_pictures
from services.compute.registry import function
from services.contracts.accounts import Identity
from services.contracts.faces import (
    UNKNOWN,
    DetectedFace,
    DetectFacesResult,
    FaceFinder,
    FaceRequest,
    PersonsQuery,
    PersonsView,
    PersonView,
    RecognizedFace,
    RecognizeRequest,
    RecognizeResult,
    RegisterRequest,
    RegisterResult,
    Removed,
    SeenFace,
)
from services.contracts.models import CatalogRow
from services.errors import Invalid, NotFound
from services.face_store import NewPhoto, Registered
from services.paging import read_page
from services.tables.faces import FacePhotoTable, FaceTable

if TYPE_CHECKING:
    from services.assemble import Services

FACE_ID = re.compile(r"face_[0-9a-f]{16}")


@function(needs_engine=True, lane="gpu")
def detect(request: FaceRequest, *, services: "Services") -> DetectFacesResult:
    """The faces on a picture that has landed.

    Raises NotFound for a model that nobody has, Unavailable for one that is not installed, UnsupportedMedia and
    Invalid for the picture, Busy when too many wait.
    """
    with _opened(request, services) as (row, engine):
        seen, width, height = _found(request, engine, services, measure=False)
    faces = [
        DetectedFace(face_id=f"face_{number:03}", confidence=face.confidence, bbox=face.bbox, landmarks=face.landmarks)
        for number, face in enumerate(seen, 1)
    ]
    return DetectFacesResult(faces=faces, model=row.id, width=width, height=height)


@function(needs_engine=True, lane="gpu")
def register(request: RegisterRequest, *, services: "Services") -> RegisterResult:
    """Add a photo to a person, who is made if nobody of the owner's has the name. The same photo twice is one.

    Raises as `detect`, Invalid when there is not one face alone, and NotFound for a `face_id` that is gone.
    """
    with _opened(request, services) as (row, engine):
        seen, _, _ = _found(request, engine, services, measure=True)
    face = _only(seen)
    photo = NewPhoto(request.owner, request.name, request.face_id, _model(row, engine), face.embedding)
    registered = _keep(photo, request, services) if services.settings.face_keep_photos else _add(photo, services)
    return RegisterResult(face_id=registered.face_id, name=registered.name, photos=registered.photos)


@function(needs_engine=True, lane="gpu")
def recognize(request: RecognizeRequest, *, services: "Services") -> RecognizeResult:
    """Whose faces are on a picture, among those whom the owner registered. Raises as `detect`."""
    with _opened(request, services) as (row, engine):
        seen, width, height = _found(request, engine, services, measure=True)
        faces = _recognized(seen, request, _model(row, engine), engine, services)
    return RecognizeResult(faces=faces, model=row.id, width=width, height=height)


def _found(
    request: FaceRequest, engine: FaceFinder, services: "Services", *, measure: bool
) -> tuple[list[SeenFace], int, int]:
    """The faces on the picture, which itself is gone when this returns, and its width and height."""
    with sent_pictures.opened(request, owner=request.owner, services=services) as image:
        return engine.find(image, measure=measure, owner=request.owner), *image.size


def list_(query: PersonsQuery, *, services: "Services", identity: Identity) -> PersonsView:
    """One page of who is registered, the oldest first; an admin sees everybody's."""
    with services.database.read() as session:
        page = read_page(session, FaceTable, _seen_by(identity), query=query)
        faces = _views(session, page.rows)
    return PersonsView(faces=faces, count=page.count, next=page.next)


def show(face_id: str, *, services: "Services", identity: Identity) -> PersonView:
    """One person. Raises NotFound, also for another user's."""
    with services.database.read() as session:
        return _views(session, [_find(session, face_id, identity)])[0]


def owner_of(face_id: str, *, services: "Services", identity: Identity) -> str:
    """Whose person *face_id* is. Raises NotFound, also for another user's."""
    with services.database.read() as session:
        return _find(session, face_id, identity).owner


def remove(face_id: str, *, services: "Services", identity: Identity) -> Removed:
    """Forget a person: what was measured of them and what was kept. Raises NotFound."""
    owner_of(face_id, services=services, identity=identity)
    removed = _remove(FaceTable.id == face_id, services)
    if not removed.faces:
        raise _nobody(face_id)
    return removed


def clear(*, services: "Services", owner: str) -> Removed:
    """Forget everybody whom *owner* registered, an admin's call too."""
    return _remove(FaceTable.owner == owner, services)


def _recognized(
    seen: list[SeenFace], request: RecognizeRequest, model: str, engine: FaceFinder, services: "Services"
) -> list[RecognizedFace]:
    least = services.settings.face_threshold if request.threshold is None else request.threshold
    nearest = services.faces.nearest(request.owner, model, [face.embedding for face in seen]) if seen else []
    sure = [engine.confidence(near.distance) if near else 0.0 for near in nearest]
    pairs = zip(nearest, sure, strict=True)
    whose = [near.face_id if near and confidence >= least else None for near, confidence in pairs]
    names = face_store.names({face_id for face_id in whose if face_id}, database=services.database)
    return [
        _named(face, face_id, confidence, names) for face, face_id, confidence in zip(seen, whose, sure, strict=True)
    ]


def _named(face: SeenFace, face_id: str | None, confidence: float, names: dict[str, str]) -> RecognizedFace:
    """A face with its person, or as a stranger; who was removed since the search is a stranger too."""
    name = names.get(face_id) if face_id else None
    return RecognizedFace(
        face_id=face_id if name else None, name=name or UNKNOWN, confidence=confidence, bbox=face.bbox
    )


def _only(seen: list[SeenFace]) -> SeenFace:
    if not seen:
        raise Invalid(
            "image",
            "There is no face on the picture; send a clear photo of one person, the face 80 pixels wide or more.",
            "图片中未检测到人脸，请上传清晰的单人照片（人脸宽度至少 80 像素）。",
            reason="no_face",
        )
    if len(seen) > 1:
        raise Invalid(
            "image",
            "There are {count} faces on the picture; send a photo of one person alone.",
            "图片中有 {count} 张人脸，请上传单人照片。",
            reason="several_faces",
            count=len(seen),
        )
    return seen[0]


def _keep(photo: NewPhoto, request: RegisterRequest, services: "Services") -> Registered:
    """Add *photo* and keep its picture, where nobody serves it; one that was there already is not kept again."""
    data = sent_pictures.data(request, services=services)
    media_type = filetypes.media_type(data[: filetypes.HEAD_BYTES])
    with services.files.batch(owner=request.owner) as batch:
        draft = batch.draft("uploads", mimetypes.guess_extension(media_type) or ".bin")
        draft.part.write_bytes(data)
        registered = _add(replace(photo, file=draft.name), services)
        if not registered.added:
            draft.part.unlink()
            batch.drafts.remove(draft)
    return registered


def _add(photo: NewPhoto, services: "Services") -> Registered:
    registered = face_store.add_photo(photo, database=services.database)
    if registered is None:
        raise _nobody(photo.face_id or "")
    return registered


def _remove(which: ColumnElement[bool], services: "Services") -> Removed:
    """Files first: whoever is interrupted here removes the rest by asking again."""
    services.files.forget(face_store.files(which, database=services.database))
    removed, files = face_store.remove(which, database=services.database)
    services.files.forget(files)
    return removed


def _model(row: CatalogRow, engine: FaceFinder) -> str:
    """What embeddings of *row* are bound to: the weights in memory, which may be older than those on the disk."""
    return f"{row.id}@{engine.revision}"


@contextmanager
def _opened(request: FaceRequest, services: "Services") -> Iterator[tuple[CatalogRow, FaceFinder]]:
    """The row and the loaded engine for *request*, loaded at least until the end of the block."""
    row = routes.local(request.model, "face-recognition", services=services, owner=request.owner)
    with services.pool.lease(row, lambda: services.catalog.path(row)) as engine:
        assert isinstance(engine, FaceFinder)
        yield row, engine


def _views(session: Session, rows: list[FaceTable]) -> list[PersonView]:
    photo = FacePhotoTable
    counting = select(photo.face_id, photo.model, func.count()).where(photo.face_id.in_([row.id for row in rows]))
    counts: dict[str, dict[str, int]] = {row.id: {} for row in rows}
    for face_id, model, count in session.execute(counting.group_by(photo.face_id, photo.model)):
        counts[face_id][model] = count
    return [
        PersonView(
            face_id=row.id,
            name=row.name,
            photos=sum(counts[row.id].values()),
            models=sorted(counts[row.id]),
            created_at=row.created_at,
        )
        for row in rows
    ]


def _seen_by(identity: Identity) -> ColumnElement[bool]:
    return true() if identity.is_admin else FaceTable.owner == identity.id


def _find(session: Session, face_id: str, identity: Identity) -> FaceTable:
    row = session.get(FaceTable, face_id) if FACE_ID.fullmatch(face_id) else None
    if row is None or not identity.may_see(row.owner):
        raise _nobody(face_id)
    return row


def _nobody(face_id: str) -> NotFound:
    return NotFound("There is no face '{id}'.", "人脸'{id}'不存在。", id=face_id)
