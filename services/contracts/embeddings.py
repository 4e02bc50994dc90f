"""Embeddings: texts become vectors that lie near where their meanings are."""

import base64
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from services.contracts.texts import PlainText

MOST_INPUTS = 2048

Token = Annotated[int, Field(ge=0)]
Tokens = list[Token]


class EmbeddingRequest(BaseModel):
    """What is asked of an embedding model, in OpenAI's words; unknown fields are ignored."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"model": "all-minilm-l6-v2", "input": ["a cat", "a kitten"]}}
    )

    input: PlainText | list[PlainText] | Tokens | list[Tokens] = Field(
        description="A text, several, or the same as numbers of the model's own tokenizer"
    )
    model: str | None = Field(
        None, max_length=256, description="A catalog id or `provider/model`; empty takes the default"
    )
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1, description="For models whose vectors can be shortened")
    truncate: bool = Field(False, description="Cut texts that are longer than the model reads; refused otherwise")

    @model_validator(mode="after")
    def _has_inputs(self) -> Self:
        inputs = self.inputs
        if not inputs or not all(inputs):
            raise PydanticCustomError("missing", "an input is wanted", {"field": "input"})
        if len(inputs) > MOST_INPUTS:
            raise PydanticCustomError("too_long", "too many", {"field": "input", "max_length": MOST_INPUTS})
        return self

    @property
    def inputs(self) -> list[str] | list[Tokens]:
        """The inputs as a list: texts, or lists of tokens."""
        if isinstance(self.input, str):
            return [self.input]
        if self.input and isinstance(self.input[0], int):
            return [self.input]
        return self.input  # type: ignore[return-value]


class EmbeddingTask(EmbeddingRequest):
    """A request on its way to a local model, and whose it is."""

    owner: str


@dataclass(slots=True)
class Embeddings:
    """Vectors in the order of their inputs, each as base64 of little-endian 32-bit floats."""

    vectors: list[str]
    prompt_tokens: int
    model: str = ""


class EmbeddingModel(ABC):
    """Something that embeds: a provider with its key and model, or an engine with its weights."""

    @abstractmethod
    def embed(self, request: EmbeddingRequest, *, owner: str) -> Embeddings:
        """The vectors of the request's inputs, of unit length where the model is a local one.

        Safe from many threads at once. Raises Invalid for inputs that are too long or not its tokens, for
        `dimensions` that it does not have, and what a provider's refusal means.
        """


def to_base64(vector: Iterable[float]) -> str:
    """Numbers as `Embeddings` keeps them. Every machine that this runs on is little-endian."""
    return base64.b64encode(array("f", vector).tobytes()).decode()


def to_floats(vector: str) -> list[float]:
    """The numbers that `to_base64` was given, as 32-bit floats."""
    return array("f", base64.b64decode(vector)).tolist()
