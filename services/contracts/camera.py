"""The camera's socket: what a client sends and hears."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from services.contracts.recognition import MOST_LABELS, LabelName, Threshold

LONGEST_ID = 200
Mode = Literal["faces", "detect"]
FrameId = Annotated[str, Field(max_length=LONGEST_ID)] | int | float | None


class CameraOptions(BaseModel):
    """How frames are looked at that do not name the other mode."""

    mode: Mode = "faces"
    model: str | None = Field(None, max_length=256)
    threshold: Threshold | None = None
    labels: list[LabelName] = Field([], max_length=MOST_LABELS)


class FrameMessage(BaseModel):
    """A frame as a text message; a binary message is the picture alone, and its id is its number."""

    type: Literal["frame"]
    id: FrameId = Field(None, description="Comes back with the answer")
    data: str = Field(min_length=1, description="The picture, JPEG or WebP, in base64; a data URL is taken too")
    mode: Mode | None = None


class Frame(BaseModel):
    """A frame that is to be looked at for *owner*."""

    picture: bytes
    options: CameraOptions
    owner: str
    language: Literal["en", "zh"] = "en"


class Look(BaseModel):
    """What a frame shows: `faces` or `detections`, as the routes for single pictures tell them, and the time taken."""

    kind: Literal["faces", "detections"]
    found: list[dict[str, Any]]
    ms: float


class FrameResult(BaseModel):
    """The answer to a frame, with `faces` or `detections` beside what stands here."""

    type: Literal["result"] = "result"
    id: FrameId
    ms: float = Field(description="Milliseconds from taking up the frame to its answer")
    dropped: int = Field(description="How many frames since the last answer were passed over for newer ones")
