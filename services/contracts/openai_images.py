"""Pictures as OpenAI's clients ask for them."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from services.contracts.images import LONGEST_PROMPT, Guidance, ImageRequest, PictureFormat, Seed, Steps
from services.contracts.texts import PlainText

SIZE = re.compile(r"([1-9][0-9]{1,4})x([1-9][0-9]{1,4})")
LOWEST_SIDE, HIGHEST_SIDE, STEP = 64, 8192, 8
MOST_PICTURES = 16


def _side_by_side(size: str | None) -> str | None:
    """`auto` or `WIDTHxHEIGHT` as it is; None for what leaves the choice."""
    if size in (None, "", "auto"):
        return None
    found = SIZE.fullmatch(size)
    if found is None or any(not _fits(int(side)) for side in found.groups()):
        raise PydanticCustomError("size", "WIDTHxHEIGHT is wanted, 64 to 8192 pixels a side and multiples of 8")
    return size


def _fits(side: int) -> bool:
    return LOWEST_SIDE <= side <= HIGHEST_SIDE and side % STEP == 0


def _refuse(value: Any) -> Any:
    """What is not supported may be sent as nothing."""
    if value:
        raise PydanticCustomError("unsupported", "it is not supported")
    return value


class OpenAIImageRequest(BaseModel):
    """What is to be painted; `quality`, `style`, `background`, `moderation` and unknown fields are ignored.

    `seed`, `negative_prompt`, `num_inference_steps` and `guidance_scale` are the house's own.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"prompt": "A beautiful sunset over the sea", "model": "demo", "n": 1, "size": "512x512"}
        }
    )

    prompt: PlainText = Field(min_length=1, max_length=LONGEST_PROMPT)
    model: str | None = Field(
        None, max_length=256, description="A catalog id or `provider/model`; empty takes the default"
    )
    n: int | None = Field(None, ge=1, le=10)
    size: Annotated[str | None, AfterValidator(_side_by_side)] = Field(
        None, examples=["1024x1024"], description="`auto`, or width and height, multiples of 8"
    )
    response_format: Literal["url", "b64_json"] | None = Field(
        None, description="Empty gives both, since older and newer clients expect one each"
    )
    output_format: PictureFormat = None
    output_compression: int | None = Field(None, ge=0, le=100)
    stream: bool | None = None
    partial_images: Annotated[int | None, Field(ge=0, le=3, description="None are made")] = None
    seed: Seed = None
    negative_prompt: PlainText = Field("", max_length=LONGEST_PROMPT)
    num_inference_steps: Steps = None
    guidance_scale: Guidance = None

    def plain(self, **more: Any) -> ImageRequest:
        """The same in the house's words."""
        width, height = (int(side) for side in self.size.split("x")) if self.size else (None, None)
        same = (
            "prompt",
            "output_format",
            "output_compression",
            "seed",
            "negative_prompt",
            "num_inference_steps",
            "guidance_scale",
        )
        told = {name: getattr(self, name) for name in same}
        return ImageRequest(model_id=self.model or None, n=self.n or 1, width=width, height=height, **told, **more)


class GivenPicture(BaseModel):
    """A picture by its address, `data:` or `https:`, or by the id of an uploaded file."""

    image_url: str | None = Field(None, min_length=1)
    file_id: str | None = Field(None, min_length=1, max_length=256)


def _as_given(value: Any) -> Any:
    """A bare address, or `{"url": …}` as chats have it."""
    if isinstance(value, str):
        return {"image_url": value}
    if isinstance(value, dict) and isinstance(value.get("image_url"), dict):
        return value | {"image_url": value["image_url"].get("url")}
    return value


Given = Annotated[GivenPicture, BeforeValidator(_as_given)]


class OpenAIEditRequest(OpenAIImageRequest):
    """Which picture is to be changed, and how; one at a time, all of it."""

    images: list[Given] = Field(min_length=1, max_length=1)
    mask: Annotated[Any, BeforeValidator(_refuse)] = None
    strength: float = Field(0.8, ge=0, le=1, allow_inf_nan=False, description="Ours: how far it is changed")
