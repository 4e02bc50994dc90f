"""Films: words, or words and a picture, become a few seconds of video."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from services.contracts.images import LONGEST_PROMPT, Guidance, KeptName, Seed, Side, SourcePicture, Steps
from services.contracts.models import Ability
from services.contracts.texts import PlainText

if TYPE_CHECKING:
    from services.compute.progress import Job

MOST_FRAMES = 257


class VideoRequest(BaseModel):
    """What is asked of a model that films; with `image` the film begins with that picture."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "prompt": "A cat walks through a garden",
                "num_frames": 24,
                "fps": 8,
                "num_inference_steps": 25,
            }
        }
    )

    prompt: PlainText = Field("", max_length=LONGEST_PROMPT, description="What happens; may be empty beside an image")
    negative_prompt: PlainText = Field("", max_length=LONGEST_PROMPT, description="What shall not be seen")
    num_frames: int = Field(24, ge=1, le=MOST_FRAMES, description="A model that takes steps of 4 or 8 rounds it")
    fps: int = Field(8, ge=1, le=60, description="Frames a second")
    width: Side = Field(None, description="In pixels, a multiple of 8; empty takes the model's own")
    height: Side = Field(None, description="In pixels, a multiple of 8; empty takes the model's own")
    num_inference_steps: Steps = Field(None, description="Empty takes the model's own number")
    guidance_scale: Guidance = Field(None, description="How closely the prompt is followed; empty takes the model's")
    seed: Seed = Field(None, description="The same seed gives the same film; empty or -1 chooses one and reports it")
    model_id: str | None = Field(
        None, max_length=256, description="A catalog id or `provider/model`; empty takes the default"
    )
    image: KeptName | None = Field(None, description="The name of a kept picture that the film begins with")
    config_id: str | None = Field(None, max_length=64, description="A stored configuration that is to be used")

    @model_validator(mode="after")
    def _has_something_to_show(self) -> "VideoRequest":
        if not self.prompt.strip() and not self.image:
            raise PydanticCustomError("missing", "a prompt is wanted where no image is given", {"field": "prompt"})
        return self

    @property
    def ability(self) -> Ability:
        """What a model must be able to do for this."""
        return "image-to-video" if self.image else "text-to-video"

    @property
    def seconds(self) -> float:
        """How long the film shall be; for providers that count in seconds."""
        return self.num_frames / self.fps


class VideoFile(BaseModel):
    """A film that was made and kept; its size, length and speed as they stand in the file."""

    name: str = Field(examples=["0123456789abcdef0123456789abcdef.mp4"])
    url: str = Field(examples=["/outputs/video/0123456789abcdef0123456789abcdef.mp4"])
    media_type: str = Field("video/mp4", examples=["video/mp4"])
    width: int = Field(examples=[512])
    height: int = Field(examples=[320])
    num_frames: int = Field(examples=[24])
    fps: float = Field(examples=[8.0])
    seed: int | None = Field(None, examples=[42])


class VideoResult(BaseModel):
    """A film that was made."""

    files: list[VideoFile]
    width: int
    height: int
    seed: int | None = None
    model: str = Field(examples=["demo"])
    revision: str = ""
    provider: str = Field(examples=["local"])
    parameters: dict[str, Any] = Field(description="What was used, in the words of the request")

    @property
    def urls(self) -> list[str]:
        """Where the films are served."""
        return [file.url for file in self.files]


@dataclass(slots=True)
class ShotFilm:
    """What a model used for a film, by the request's names, where it differs from what was asked."""

    seed: int | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    revision: str = ""


class VideoModel(ABC):
    """Something that films: a provider with its key and model, or an engine with its weights."""

    @abstractmethod
    def film(self, request: VideoRequest, *, target: Path, source: SourcePicture | None, job: "Job") -> ShotFilm:
        """Write the film for *request* to *target*, an MP4 file; whoever calls removes what a failure leaves there.

        *source* is there when `request.image` names one; the name itself means nothing to a model.
        A size, length or speed that the model does not have becomes the nearest. *job* hears of each step
        and is asked there whether to go on. Safe from many threads at once. Raises Cancelled, and
        ServiceError's subclasses.
        """
