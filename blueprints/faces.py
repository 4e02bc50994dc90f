"""System 3: faces on pictures, and whose they are."""

from typing import Any

from flask import Response
from pydantic import BaseModel, Field, field_validator

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.looking import LookForm, look
from blueprints.kit.marks import mark
from services.contracts.faces import (
    DetectFacesResult,
    FaceId,
    FaceRequest,
    PersonName,
    PersonsQuery,
    PersonsView,
    PersonView,
    RecognizeRequest,
    RecognizeResult,
    RegisterRequest,
    RegisterResult,
    RemovedView,
)
from services.contracts.recognition import Threshold
from services.domains import faces
from services.errors import Invalid

bp = make_blueprint("faces", url_prefix="/api/face-recognition", about="Faces, and whose they are (system 3)")


class RegisterForm(LookForm):
    name: PersonName = Field("", description="Whose face it is; the same name again adds a photo to that person")
    face_id: FaceId = Field("", description="Adds the photo to this person; a name is not needed then")


class RecognizeForm(LookForm):
    threshold: Threshold | None = Field(None, description="Who is less sure is `unknown`; empty takes FACE_THRESHOLD")

    @field_validator("threshold", mode="before")
    @classmethod
    def empty_as_none(cls, value: Any) -> Any:
        return None if value == "" else value


class FacePath(BaseModel):
    face_id: FaceId


@bp.post("/detect", responses={200: DetectFacesResult})
@mark(upload="picture")
def detect(form: LookForm) -> Response:
    """Find the faces on a picture: boxes and landmarks are in pixels of the upright picture."""
    return look("faces.detect", FaceRequest(**form.common()))


@bp.post("/register", responses={200: RegisterResult})
@mark(upload="picture")
def register(form: RegisterForm) -> Response:
    """Register a photo of one person: a new one, or one more of somebody who is known by name or `face_id`."""
    common = form.common()
    if form.face_id:
        common["owner"] = faces.owner_of(form.face_id, services=services(), identity=me())
    elif not form.name:
        raise Invalid("name", "'name' must not be empty.", "参数'name'不能为空。", reason="required")
    return look("faces.register", RegisterRequest(name=form.name, face_id=form.face_id or None, **common))


@bp.post("/recognize", responses={200: RecognizeResult})
@mark(upload="picture")
def recognize(form: RecognizeForm) -> Response:
    """Tell whose faces are on a picture, among those whom the caller registered; a stranger is `unknown`."""
    return look("faces.recognize", RecognizeRequest(threshold=form.threshold, **form.common()))


@bp.get("/faces", responses={200: PersonsView})
@mark(limit="default")
def list_(query: PersonsQuery) -> dict[str, Any]:
    """List who is registered, the oldest first."""
    return faces.list_(query, services=services(), identity=me()).model_dump()


@bp.get("/faces/<string:face_id>", responses={200: PersonView})
@mark(limit="default")
def show(path: FacePath) -> dict[str, Any]:
    """Show one person, without what was measured of them."""
    return faces.show(path.face_id, services=services(), identity=me()).model_dump()


@bp.delete("/faces/<string:face_id>", responses={200: RemovedView})
@mark(limit="default")
def remove(path: FacePath) -> dict[str, Any]:
    """Forget a person, with every photo; the answer says how much was removed."""
    return {"success": True, "removed": faces.remove(path.face_id, services=services(), identity=me()).model_dump()}


@bp.delete("/faces", responses={200: RemovedView})
@mark(limit="default")
def clear() -> dict[str, Any]:
    """Forget everybody whom the caller registered; the answer says how much was removed."""
    return {"success": True, "removed": faces.clear(services=services(), owner=me().id).model_dump()}
