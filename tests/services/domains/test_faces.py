"""Faces over both databases: registered, recognized, listed and forgotten."""

import secrets
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from services.assemble import Services
from services.catalog import MANIFEST
from services.contracts.accounts import Identity
from services.contracts.faces import FaceRequest, PersonsQuery, RecognizeRequest, RegisterRequest
from services.contracts.models import Manifest
from services.domains import faces
from services.engines.pool import ModelPool
from services.errors import Cancelled, Invalid, NotFound
from services.files import PART
from tests.face_models import FACES, astronaut, encoded, found_again, stranger, twins

LIN = Identity("user-1", "lin", "user")
MO = Identity("user-2", "mo", "user")
ADMIN = Identity("user-3", "admin", "admin")


@pytest.fixture
def here(stored: Services, with_faces: Callable[..., Services]) -> Services:
    """The services over each database, with the starter set's faces."""
    return with_faces(stored)


@pytest.fixture
def renewed(stored: Services, with_faces: Callable[..., Services], face_models: Path, tmp_path: Path) -> Services:
    """The same after the weights were pulled in another revision."""
    folder = tmp_path / "renewed" / FACES
    shutil.copytree(face_models / FACES, folder)
    manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes()).model_copy(update={"revision": "0.4.0"})
    (folder / MANIFEST).write_text(manifest.model_dump_json())
    found = with_faces(stored, models_dir=folder.parent)
    pool = ModelPool(found.settings)
    yield replace(found, pool=pool)
    pool.close()


def landed(services: Services, image: Image.Image) -> str:
    """The name of an upload that holds *image*."""
    folder = services.files.folder("uploads")
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{PART}{secrets.token_hex(16)}"
    (folder / name).write_bytes(encoded(image))
    return name


def register(services: Services, image: Image.Image, name: str = "", **more: Any) -> Any:
    asked = {"image": landed(services, image), "name": name, "owner": LIN.id} | more
    return faces.register(RegisterRequest(**asked), services=services)


def recognize(services: Services, image: Image.Image, owner: str = LIN.id) -> list[tuple[str | None, str]]:
    asked = RecognizeRequest(image=landed(services, image), owner=owner)
    return [(face.face_id, face.name) for face in faces.recognize(asked, services=services).faces]


def test_a_person_from_the_first_photo_to_the_last(here: Services) -> None:
    first = register(here, astronaut(), "艾琳 👩‍🚀")
    assert recognize(here, found_again()) == [(first.face_id, "艾琳 👩‍🚀")]
    assert recognize(here, found_again(), owner=MO.id) == [(None, "unknown")]
    assert register(here, stranger(), face_id=first.face_id).photos == 2
    shown = faces.show(first.face_id, services=here, identity=LIN)
    assert (shown.photos, shown.models) == (2, [f"{FACES}@0.3.0"])
    assert faces.list_(PersonsQuery(), services=here, identity=ADMIN).faces == [shown]
    assert faces.list_(PersonsQuery(), services=here, identity=MO).count == 0
    with pytest.raises(NotFound):
        faces.remove(first.face_id, services=here, identity=MO)
    assert faces.remove(first.face_id, services=here, identity=LIN).embeddings == 2
    assert recognize(here, astronaut()) == [(None, "unknown")]
    with pytest.raises(NotFound):
        register(here, astronaut(), face_id=first.face_id)


def test_other_weights_know_nobody_of_these(here: Services, renewed: Services) -> None:
    """Numbers that one network made mean nothing to another; the same person is registered anew."""
    known = register(here, astronaut(), "Eileen")
    assert recognize(renewed, astronaut()) == [(None, "unknown")]
    assert register(renewed, stranger(), "Eileen").photos == 2
    assert recognize(renewed, stranger()) == [(known.face_id, "Eileen")]
    assert recognize(here, stranger()) == [(None, "unknown")]
    shown = faces.show(known.face_id, services=here, identity=LIN)
    assert shown.models == [f"{FACES}@0.3.0", f"{FACES}@0.4.0"]
    assert faces.clear(services=here, owner=LIN.id).embeddings == 2
    assert recognize(here, astronaut()) == recognize(renewed, stranger()) == [(None, "unknown")]


@pytest.mark.parametrize(("image", "reason"), [(twins, "several_faces"), (lambda: Image.new("RGB", (9, 9)), "no_face")])
def test_not_one_face(here: Services, image: Any, reason: str) -> None:
    with pytest.raises(Invalid) as told:
        register(here, image(), "Eileen")
    assert told.value.details == {"field": "image", "reason": reason}
    assert told.value.say("zh") != told.value.say("en")
    assert faces.list_(PersonsQuery(), services=here, identity=ADMIN).count == 0


def test_a_photo_that_went_with_its_client(here: Services) -> None:
    gone = FaceRequest(image=f"{PART}{'0' * 32}", owner=LIN.id)
    with pytest.raises(Cancelled):
        faces.detect(gone, services=here)
