"""Recognition: what a picture shows, and where."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_CLASSES = 1000
MOST_LABELS = 100
# A file that has just landed and is gone after its request; see `blueprints/kit/uploads.py`.
LandedName = Annotated[str, Field(pattern=r"^\.part-[0-9a-f]{32}$")]
TopK = Annotated[int, Field(ge=1, le=MOST_CLASSES)]
Threshold = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
LabelName = Annotated[str, Field(max_length=1000)]


class SentPicture(BaseModel):
    """A picture that a request brought: its bytes, or the name of the file that landed in `data/uploads`."""

    image: LandedName | None = None
    attached: bytes = Field(b"", exclude=True, repr=False, description="Travels beside the JSON")


class LookRequest(SentPicture):
    """A picture to look at."""

    model: str | None = Field(None, max_length=256)
    owner: str
    language: Literal["en", "zh"] = "en"


class ClassifyRequest(LookRequest):
    """What is on the picture? The *top_k* likeliest classes are told."""

    top_k: TopK = 5


class DetectRequest(LookRequest):
    """What is where on the picture? Only what is surer than *threshold*, and of *labels* if any are given."""

    threshold: Threshold = 0.5
    labels: list[LabelName] = Field([], max_length=MOST_LABELS)


class Classification(BaseModel):
    """A class that the picture may be of."""

    label: str = Field(examples=["Egyptian cat"])
    confidence: float = Field(examples=[0.95])


class Detection(BaseModel):
    """A thing on the picture and the box around it, in pixels of the upright picture."""

    label: str = Field(examples=["person"])
    confidence: float = Field(examples=[0.92])
    bbox: tuple[float, float, float, float] = Field(description="[x1, y1, x2, y2]", examples=[[100, 50, 200, 300]])


class ClassifyResult(BaseModel):
    """The likeliest classes, the likeliest first; `model` answered."""

    classifications: list[Classification]
    model: str = Field(examples=["efficientnet-lite0"])


class DetectResult(BaseModel):
    """What was found, the surest first; `width` and `height` are the upright picture's."""

    detections: list[Detection]
    model: str = Field(examples=["rtdetr-v2-r18"])
    width: int
    height: int


@dataclass(slots=True)
class Prepared:
    """A picture as its model takes it: arrays with a first axis of one, and the upright picture's size."""

    arrays: dict[str, Any]
    width: int
    height: int
    threshold: float = 0.0

    @property
    def shape(self) -> tuple[Any, ...]:
        """What must be the same for two to be stacked."""
        return tuple((name, array.shape) for name, array in sorted(self.arrays.items()))

    @property
    def pixels(self) -> int:
        """How many the model sees."""
        return int(self.arrays["pixel_values"].shape[-1] * self.arrays["pixel_values"].shape[-2])


class VisionModel(ABC):
    """A model that looks at pictures, with names for what it knows.

    A picture is prepared first, so that only what the model takes of it waits for its turn.
    """

    @property
    @abstractmethod
    def labels(self) -> list[str]:
        """The model's own names of its classes, by their numbers."""

    @abstractmethod
    def prepare(self, image: "Image") -> Prepared:
        """*image*, upright and RGB, as the model takes it; safe from many threads. Raises Invalid for a strip."""


class ImageClassifier(VisionModel):
    """Something that tells what a picture shows."""

    @abstractmethod
    def classify(self, picture: Prepared, *, top_k: int, owner: str) -> list[Classification]:
        """The *top_k* likeliest classes of *picture*; fewer when the model has fewer.

        Safe from many threads at once: those who come together are computed together, and *owner*s take turns.
        Raises Busy when too many wait, Cancelled when the caller left, Unavailable without memory.
        """


class ObjectDetector(VisionModel):
    """Something that tells what is where on a picture."""

    @abstractmethod
    def detect(self, picture: Prepared, *, threshold: float, labels: Sequence[str] = (), owner: str) -> list[Detection]:
        """What is on *picture*: all that is surer than *threshold*, the surest first.

        *labels* are the model's own; none means all. Boxes lie within the picture. Threads and errors as with
        `ImageClassifier.classify`.
        """
