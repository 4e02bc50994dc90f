"""Transcription: a sound with speech becomes text, with the times at which it was said."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from services.contracts.images import KeptName
from services.contracts.texts import PlainText

if TYPE_CHECKING:
    from services.sound import Samples

TextFormat = Literal["json", "srt", "vtt", "text"]
# "zh", "zh-CN" and "en_US" name a language; the rest of a tag says nothing to a model.
LANGUAGE_TAG = re.compile(r"([A-Za-z]{2,3})([-_][A-Za-z0-9]{1,8})*")
LONGEST_PROMPT = 10_000
ANY_LANGUAGE = {"", "auto"}


def _language_code(value: Any) -> Any:
    """The code that *value* begins with, in lower case; None where the model shall find it out."""
    if not isinstance(value, str):
        return value
    if value.strip().lower() in ANY_LANGUAGE:
        return None
    tag = LANGUAGE_TAG.fullmatch(value.strip())
    if tag is None:
        raise ValueError("a language code such as `zh` or `en` is wanted")
    return tag[1].lower()


def _empty_as_none(value: Any) -> Any:
    return None if value == "" else value


Language = Annotated[str | None, BeforeValidator(_language_code)]
ModelName = Annotated[Annotated[str, Field(max_length=256)] | None, BeforeValidator(_empty_as_none)]
Prompt = Annotated[Annotated[PlainText, Field(max_length=LONGEST_PROMPT)] | None, BeforeValidator(_empty_as_none)]
Temperature = Annotated[
    Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None, BeforeValidator(_empty_as_none)
]
Task = Literal["transcribe", "translate"]


class TranscriptionRequest(BaseModel):
    """Which sound is to be written down, and how."""

    audio: KeptName = Field(description="The name of a kept sound")
    language: Language = Field(None, description="A language code; empty lets the model find it out")
    model: ModelName = Field(None, description="A catalog id or a size such as `base`; empty takes the default")
    word_timestamps: bool = Field(False, description="Also tell when each word was said")
    prompt: Prompt = Field(None, description="What was said before, or names and words that may occur")
    temperature: Temperature = Field(None, description="Of the choice of words; empty begins at 0 and rises at need")
    task: Task = Field("transcribe", description="`translate` writes in English what is said in another language")
    facts: bool = Field(False, description="Also tell how sure the model was of each segment")


class Word(BaseModel):
    """A word and when it was said, in seconds from the beginning of the sound."""

    word: str
    start: float
    end: float
    probability: float


class SegmentFacts(BaseModel):
    """What the model knows of a segment beside its words, by Whisper's names."""

    seek: int = 0
    tokens: list[int] = []
    temperature: float = 0.0
    avg_logprob: float = 0.0
    compression_ratio: float = 0.0
    no_speech_prob: float = 0.0


class Segment(BaseModel):
    """A piece of speech, a sentence or less; times in seconds from the beginning of the sound."""

    id: int = Field(examples=[0])
    start: float = Field(examples=[0.0])
    end: float = Field(examples=[2.5])
    text: str = Field(examples=["你好，这是"])
    words: list[Word] | None = None
    facts: SegmentFacts | None = None


class HearingManner(BaseModel):
    """How a sound is to be heard; see `TranscriptionRequest`."""

    language: str | None = None
    word_timestamps: bool = False
    prompt: str | None = None
    temperature: float | None = None
    task: Task = "transcribe"
    facts: bool = False


class TranscriptionResult(BaseModel):
    """What was said. Where nobody speaks the text is empty, and the language unknown unless it was named."""

    text: str = Field(examples=["你好，这是一段测试转录。"])
    language: str | None = Field(examples=["zh"])
    duration: float = Field(examples=[5.2], description="Of the sound, in seconds")
    segments: list[Segment]
    model: str = Field(examples=["whisper-base"])


class TranscriptionPiece(BaseModel):
    """What of a transcription has been heard meanwhile: a segment, or at the end all of it."""

    segment: Segment | None = None
    result: TranscriptionResult | None = None


@dataclass(frozen=True, slots=True)
class Hearing:
    """What a model hears in some samples: pieces come one by one, as it goes on; `text` with its spaces."""

    language: str | None
    pieces: Iterator[Segment]


class Transcriber(ABC):
    """A model that writes down speech."""

    @abstractmethod
    def hear(self, samples: "Samples", manner: HearingManner) -> Hearing:
        """What is said in *samples*, mono floats at 16 kHz; times count from their beginning.

        Ids count from 0. Safe from many threads, which take turns a few seconds of speech long. Raises Invalid
        for a language that the model does not know.
        """
