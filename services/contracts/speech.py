"""Speech: a text becomes a sound file."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

LONGEST_TEXT = 20_000
LOWEST_SPEED, HIGHEST_SPEED = 0.25, 4.0
MOST_SEMITONES = 24
Gender = Literal["female", "male"]
SoundFormat = Literal["mp3", "wav", "ogg", "opus", "aac", "flac", "pcm"]
GENDER_OF_VOICE: dict[str, Gender] = {"default-female": "female", "default-male": "male"}


def _empty_as_none(value: Any) -> Any:
    return None if value == "" else value


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


Name = Annotated[str | None, BeforeValidator(_empty_as_none)]


class SpeechRequest(BaseModel):
    """What is to be said and how. Unknown fields are ignored."""

    model_config = ConfigDict(
        populate_by_name=True,
        json_schema_extra={
            "example": {
                "text": "Hello, world!",
                "voice": "default-female",
                "language": "en",
                "speed": 1.0,
                "pitch": 0,
            }
        },
    )

    text: Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT, description="What is to be said")]
    voice: Name = Field(
        None,
        max_length=256,
        description="`default-female`, `default-male` or a catalog id; empty takes the best voice of the language",
    )
    language: Name = Field(
        None, max_length=35, description="A language tag such as `zh` or `en-US`; empty reads it from the text"
    )
    speed: float = Field(1.0, ge=LOWEST_SPEED, le=HIGHEST_SPEED, allow_inf_nan=False, description="2 is twice as fast")
    pitch: float = Field(
        0.0, ge=-MOST_SEMITONES, le=MOST_SEMITONES, allow_inf_nan=False, description="In semitones; 12 is an octave up"
    )
    format: Annotated[SoundFormat, BeforeValidator(_lower)] = Field("mp3", description="Of the file")
    model_id: Name = Field(
        None,
        max_length=256,
        validation_alias=AliasChoices("model_id", "model"),
        description="The catalog id of a voice; `model` means the same",
    )

    @property
    def gender(self) -> Gender | None:
        """Whose voice is asked for, if that is all that is asked of it."""
        return GENDER_OF_VOICE.get(self.voice or "")


class SpeechResult(BaseModel):
    """A text that was spoken and kept. `duration` is that of the file, in seconds."""

    name: str = Field(examples=["0123456789abcdef0123456789abcdef.mp3"])
    url: str = Field(examples=["/outputs/audio/0123456789abcdef0123456789abcdef.mp3"])
    media_type: str = Field(examples=["audio/mpeg"])
    format: SoundFormat
    duration: float = Field(examples=[1.5])
    sample_rate: int = Field(examples=[22050])
    model: str = Field(examples=["piper-en-us-joe"])
    language: str = Field(examples=["en"])
    gender: Gender | None = None


class SpeechPiece(BaseModel):
    """Some bytes of a sound file on its way."""

    audio: bytes

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


@dataclass(frozen=True, slots=True)
class Manner:
    """How something is said. *speed* 2 is twice as fast, *pitch* is in semitones."""

    speed: float = 1.0
    pitch: float = 0.0
    gender: Gender | None = None


class Speaker(ABC):
    """A voice with its weights, which says one sentence after another."""

    @property
    @abstractmethod
    def sample_rate(self) -> int:
        """Samples a second of what `say` gives."""

    @abstractmethod
    def own(self, manner: Manner) -> Manner:
        """As much of *manner* as this voice does by itself; whoever writes the sound does the rest."""

    @abstractmethod
    def say(self, sentence: str, manner: Manner) -> bytes:
        """*sentence* as 16-bit mono samples in the machine's order; empty when nothing in it can be said.

        *manner* is what `own` gave. Safe from many threads. Raises ServiceError's subclasses.
        """
