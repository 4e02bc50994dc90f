"""Faces: where they are on a picture, who is registered, and whom a picture shows."""

import unicodedata
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from services.contracts.recognition import SentPicture, Threshold
from services.contracts.times import UtcTime

if TYPE_CHECKING:
    from PIL.Image import Image

UNKNOWN = "unknown"
LONGEST_NAME = 200


def _as_name(text: str) -> str:
    """*text* in one Unicode form and without the white space around it."""
    name = unicodedata.normalize("NFC", text).strip()
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        raise ValueError("control characters are not allowed")
    return name


PersonName = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(_as_name)]
FaceId = Annotated[str, Field(max_length=64)]
Pixel = tuple[int, int]
Box = tuple[int, int, int, int]


class FaceRequest(SentPicture):
    """A picture with faces."""

    model: str | None = Field(None, max_length=256)
    owner: str


class RegisterRequest(FaceRequest):
    """A photo of one person: a new one, or one more of whom *name* or *face_id* says. *owner* is the person's."""

    name: PersonName = ""
    face_id: FaceId | None = None


class RecognizeRequest(FaceRequest):
    """Whose faces are on the picture? Who is less sure than *threshold* is a stranger; None takes the setting."""

    threshold: Threshold | None = None


class Landmarks(BaseModel):
    """Points of a face. "Left" is where x is smaller; `left_eye` and `right_eye` lie between their corners."""

    left_eye: Pixel = Field(examples=[[145, 120]])
    right_eye: Pixel = Field(examples=[[165, 118]])
    left_eye_outer: Pixel
    left_eye_inner: Pixel
    right_eye_inner: Pixel
    right_eye_outer: Pixel
    nose: Pixel = Field(description="Where the nose meets the lip")


class DetectedFace(BaseModel):
    """A face on a picture; `face_id` is its number on this picture alone."""

    face_id: str = Field(examples=["face_001"])
    confidence: float = Field(examples=[0.98])
    bbox: Box = Field(description="[x1, y1, x2, y2]", examples=[[120, 80, 180, 200]])
    landmarks: Landmarks


class DetectFacesResult(BaseModel):
    """The faces, the surest first; `width` and `height` are the upright picture's."""

    faces: list[DetectedFace]
    model: str = Field(examples=["dlib-faces"])
    width: int
    height: int


class RegisterResult(BaseModel):
    """Who the photo was registered for; `photos` is how many there are of them now."""

    success: Literal[True] = True
    face_id: str = Field(examples=["face_0123456789abcdef"])
    name: str
    photos: int


class RecognizedFace(BaseModel):
    """A face and whose it is; a stranger has no `face_id`, and the confidence of the nearest who is registered."""

    face_id: str | None = Field(examples=["face_0123456789abcdef"])
    name: str = Field(examples=["张三"])
    confidence: float = Field(examples=[0.95])
    bbox: Box = Field(description="[x1, y1, x2, y2]", examples=[[100, 50, 150, 200]])


class RecognizeResult(BaseModel):
    """The faces, the surest to be faces first."""

    faces: list[RecognizedFace]
    model: str = Field(examples=["dlib-faces"])
    width: int
    height: int


class PersonView(BaseModel):
    """Somebody who is registered, without what was measured of them."""

    model_config = ConfigDict(from_attributes=True)

    face_id: str = Field(examples=["face_0123456789abcdef"])
    name: str
    photos: int = Field(description="How many photos were registered")
    models: list[str] = Field(description="The models that measured them", examples=[["dlib-faces@0.3.0"]])
    created_at: UtcTime


class PersonsView(BaseModel):
    """Who is registered, the oldest first; `count` is how many there are in all."""

    faces: list[PersonView]
    count: int
    next: str | None = Field(None, description="`after` of the next page; null at the end")


class PersonsQuery(BaseModel):
    limit: int = Field(20, ge=1, le=100)
    after: str | None = Field(None, max_length=64, description="`face_id` of the last row of the page before")


class Removed(BaseModel):
    """What a deletion removed."""

    faces: int = Field(description="Persons")
    embeddings: int = Field(description="What was measured of them, one a photo")
    files: int = Field(description="Photos that were kept")


class RemovedView(BaseModel):
    success: Literal[True] = True
    removed: Removed


@dataclass(frozen=True, slots=True)
class SeenFace:
    """A face that an engine found. *embedding* is in float32, little endian, empty unless it was asked for."""

    confidence: float
    bbox: Box
    landmarks: Landmarks
    embedding: bytes = b""


class FaceFinder(ABC):
    """Something that finds faces and measures them, so that those of one person lie near each other."""

    @property
    @abstractmethod
    def revision(self) -> str:
        """Of which weights it was loaded: embeddings of two revisions have nothing to do with each other."""

    @abstractmethod
    def find(self, image: "Image", *, measure: bool, owner: str) -> list[SeenFace]:
        """The faces on *image*, upright and RGB, the surest first; their embeddings too where *measure* is set.

        Safe from many threads at once: those who come together are computed together, and *owner*s take turns.
        Raises Busy when too many wait, Cancelled when the caller left.
        """

    @abstractmethod
    def confidence(self, distance: float) -> float:
        """How sure it is, from 0 to 1, that two faces whose embeddings are *distance* apart are one person's."""
