"""Texts that a language model writes after prompts, as system 5 asks for them."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field

from services.contracts.chat import FinishReason, Usage
from services.contracts.texts import PlainText

MOST_PROMPTS = 256
MOST_SEQUENCES = 32
MOST_TEXTS = 1024

Prompt = Annotated[PlainText, Field(min_length=1)]


class Sampling(BaseModel):
    """How the texts are to be written; the defaults are system 5's."""

    model_path: str | None = Field(
        None,
        max_length=600,
        description="A trained model's path, id or name, or any chat model's id; none takes the newest trained one",
        examples=["models/checkpoints/sample/final"],
    )
    max_length: int = Field(100, ge=1, le=131_072, description="Most tokens of each text, without its prompt")
    temperature: float = Field(0.7, ge=0, le=2)
    top_p: float = Field(0.9, gt=0, le=1)
    top_k: int = Field(50, ge=0, le=1_000_000, description="0 sets no bound")
    num_return_sequences: int = Field(1, ge=1, le=MOST_SEQUENCES, description="Texts for each prompt")
    seed: int | None = Field(None, ge=0, lt=2**32, description="The same seed writes the same texts")


class GenerateRequest(Sampling):
    """One prompt."""

    prompt: Prompt = Field(examples=["请解释量子计算的基本原理"])
    stream: bool = Field(False, description="Answers piece by piece, as server-sent events")


class BatchRequest(Sampling):
    """Many prompts, whose texts are written side by side."""

    prompts: list[Prompt] = Field(min_length=1, max_length=MOST_PROMPTS)


class WriteRequest(BaseModel):
    """What goes to where the engines are: prompts for a local model, by its row's id."""

    model: str
    prompts: list[str]
    sampling: Sampling
    field: str = "prompt"
    """What the caller called the prompts, for errors."""


@dataclass(slots=True)
class Piece:
    """A piece of the text *index*; the texts of the first prompt come first. The last piece has the usage."""

    index: int
    text: str = ""
    finish_reason: FinishReason | None = None
    usage: Usage | None = None


@dataclass(slots=True)
class Generated:
    """The texts of each prompt, and how long they took in seconds, loading and waiting included."""

    model_path: str
    texts: list[list[str]]
    seconds: float


class GeneratedView(BaseModel):
    """The texts of one prompt."""

    prompt: str
    generated_texts: list[str]
    model_path: str = Field(examples=["models/checkpoints/sample/final"])
    generation_time: float = Field(examples=[1.25], description="Seconds, loading and waiting included")
    timestamp: str = Field(examples=["2023-03-08T14:00:00Z"])


class BatchResult(BaseModel):
    prompt: str
    generated_texts: list[str]


class BatchView(BaseModel):
    """The texts of every prompt, in the order of the prompts."""

    results: list[BatchResult]
    model_path: str = Field(examples=["models/checkpoints/sample/final"])
    total_generation_time: float = Field(examples=[2.5], description="Seconds, loading and waiting included")
    timestamp: str = Field(examples=["2023-03-08T14:05:00Z"])
