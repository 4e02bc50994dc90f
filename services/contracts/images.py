"""Pictures: words, or words and a picture, become pictures."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from services.contracts.models import Ability
from services.contracts.texts import PlainText

if TYPE_CHECKING:
    from services.compute.progress import Job

LONGEST_PROMPT = 20_000
LARGEST_SIDE = 8192
# Every integer up to here is one in JavaScript too.
LARGEST_SEED = 2**53 - 1


def _empty_as_none(value: Any) -> Any:
    """None for what forms send when nothing was chosen."""
    return None if value == "" else value


def _any_seed_as_none(value: Any) -> Any:
    """None for -1, by which many clients mean any seed."""
    return None if value in ("", "-1", -1) else value


Pixels = Annotated[int, Field(ge=64, le=LARGEST_SIDE, multiple_of=8)]
Count = Annotated[int, Field(ge=1, le=500)]
Scale = Annotated[float, Field(ge=0, le=50, allow_inf_nan=False)]
Number = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
Side = Annotated[Pixels | None, BeforeValidator(_empty_as_none)]
Steps = Annotated[Count | None, BeforeValidator(_empty_as_none)]
Guidance = Annotated[Scale | None, BeforeValidator(_empty_as_none)]
Seed = Annotated[Number | None, BeforeValidator(_any_seed_as_none)]
KeptName = Annotated[str, Field(pattern=r"^[0-9a-f]{32}\.[a-z0-9]{2,5}$")]
PictureFormat = Annotated[Literal["png", "jpeg", "webp"] | None, BeforeValidator(_empty_as_none)]


class ImageRequest(BaseModel):
    """What is asked of a model that paints; with `image` it changes that picture. Unknown fields are ignored."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "prompt": "A beautiful sunset over the sea",
                "negative_prompt": "blurry, low quality",
                "width": 512,
                "height": 512,
                "num_inference_steps": 50,
                "guidance_scale": 7.5,
                "seed": 42,
                "model_id": "stable-diffusion-v1-5",
            }
        }
    )

    prompt: PlainText = Field(min_length=1, max_length=LONGEST_PROMPT, description="What the picture shows")
    negative_prompt: PlainText = Field("", max_length=LONGEST_PROMPT, description="What it shall not show")
    width: Side = Field(None, description="In pixels, a multiple of 8; empty takes the model's or the given picture's")
    height: Side = Field(
        None, description="In pixels, a multiple of 8; empty takes the model's, or the given picture's"
    )
    num_inference_steps: Steps = Field(None, description="Empty takes the model's own number, mostly 50")
    guidance_scale: Guidance = Field(None, description="How closely the prompt is followed; empty takes the model's")
    seed: Seed = Field(None, description="The same seed gives the same picture; empty or -1 chooses one and reports it")
    n: int = Field(1, ge=1, le=10, description="How many pictures; the seeds follow one another")
    model_id: str | None = Field(
        None, max_length=256, description="A catalog id or `provider/model`; empty takes the default"
    )
    strength: float = Field(
        0.8, ge=0, le=1, allow_inf_nan=False, description="How far `image` is changed; 1 forgets it"
    )
    image: KeptName | None = Field(None, description="The name of a kept picture that is to be changed")
    config_id: str | None = Field(None, max_length=64, description="A stored configuration that is to be used")
    output_format: PictureFormat | None = Field(None, description="`png`, `jpeg` or `webp`; empty keeps the model's")
    output_compression: int | None = Field(None, ge=0, le=100, description="The quality of a `jpeg` or `webp`")

    @property
    def ability(self) -> Ability:
        """What a model must be able to do for this."""
        return "image-to-image" if self.image else "text-to-image"


class ImageFile(BaseModel):
    """One picture that was made and kept. `seed` alone makes it again with the same request and `n` 1."""

    name: str = Field(examples=["0123456789abcdef0123456789abcdef.png"])
    url: str = Field(examples=["/outputs/images/0123456789abcdef0123456789abcdef.png"])
    media_type: str = Field(examples=["image/png"])
    width: int = Field(examples=[512])
    height: int = Field(examples=[512])
    seed: int | None = Field(None, examples=[42])
    revised_prompt: str | None = Field(None, description="The prompt as the provider rewrote it")


class ImageResult(BaseModel):
    """Pictures that were made. `width` and `height` are the first one's, whatever was asked for."""

    files: list[ImageFile]
    width: int
    height: int
    seed: int | None = None
    model: str = Field(examples=["stable-diffusion-v1-5"])
    revision: str = ""
    provider: str = Field(examples=["local"])
    parameters: dict[str, Any] = Field(description="What was used, in the words of the request: enough for a replay")
    history_id: str | None = Field(None, examples=["history-0123456789abcdef"])

    @property
    def urls(self) -> list[str]:
        """Where the pictures are served."""
        return [file.url for file in self.files]


@dataclass(frozen=True, slots=True)
class SourcePicture:
    """A picture to start from, checked: upright, whole, of one frame. `data` is a JPEG, PNG or WebP file."""

    data: bytes
    media_type: str
    width: int
    height: int


@dataclass(slots=True)
class Picture:
    """A picture as a model made it. `data` is a PNG, JPEG or WebP file; its pixels say its size."""

    data: bytes
    seed: int | None = None
    revised_prompt: str | None = None


@dataclass(slots=True)
class PaintedPictures:
    """What a model made of one request.

    `parameters` are those that it used, by the request's names, where they differ from what was asked:
    a default that it filled in, a size that became its nearest. What it does not take is None there.
    """

    pictures: list[Picture]
    parameters: dict[str, Any] = field(default_factory=dict)
    revision: str = ""


class ImageModel(ABC):
    """Something that paints: a provider with its key and model, or an engine with its weights."""

    @abstractmethod
    def paint(self, request: ImageRequest, *, source: SourcePicture | None, job: "Job") -> PaintedPictures:
        """The pictures for *request*, in order of their seeds; `request.n` of them, or fewer and at least one.

        *source* is there when `request.image` names one; the name itself means nothing to a model.
        A width or height that the model does not have becomes the nearest. *job* hears of each step and is
        asked there whether to go on. Safe from many threads at once. Raises Cancelled, and ServiceError's
        subclasses: Invalid for what the model refuses, UpstreamFailed and its like from a provider.
        """
