"""Speech as OpenAI's clients ask for it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from services.contracts.speech import (
    HIGHEST_SPEED,
    LONGEST_TEXT,
    LOWEST_SPEED,
    MOST_SEMITONES,
    Gender,
    SpeechRequest,
)
from services.contracts.texts import PlainText

# What every client of OpenAI's writes into `model`: here they mean the default.
DEFAULT_EARS = {"whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"}
DEFAULT_MOUTHS = {"tts-1", "tts-1-hd", "gpt-4o-mini-tts"}
# OpenAI's voices, which have no language of their own: here the best of that gender for the text's.
GENDERS: dict[str, Gender] = {
    "alloy": "female",
    "ash": "male",
    "ballad": "male",
    "cedar": "male",
    "coral": "female",
    "echo": "male",
    "fable": "female",
    "marin": "female",
    "nova": "female",
    "onyx": "male",
    "sage": "female",
    "shimmer": "female",
    "verse": "male",
}
SpokenFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]


def _named(value: Any) -> Any:
    """OpenAI's own voices may be given as `{"id": …}`."""
    return value.get("id") if isinstance(value, dict) else value


class OpenAISpeechRequest(BaseModel):
    """What is to be said and how; unknown fields, as `instructions`, are ignored."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"model": "tts-1", "input": "Hello, world!", "voice": "alloy"}}
    )

    model: str | None = Field(None, max_length=256, description="The catalog id of a voice; `tts-1` leaves the choice")
    input: PlainText = Field(min_length=1, max_length=LONGEST_TEXT, description="What is to be said")
    voice: Annotated[str | None, BeforeValidator(_named)] = Field(
        None, max_length=256, description="One of OpenAI's names, or a catalog id; empty takes the best of the language"
    )
    response_format: SpokenFormat = "mp3"
    speed: float = Field(1.0, ge=LOWEST_SPEED, le=HIGHEST_SPEED, allow_inf_nan=False)
    stream_format: Literal["audio", "sse"] = "audio"
    language: str | None = Field(None, max_length=35, description="Ours: a language tag; empty reads it from the text")
    pitch: float = Field(0.0, ge=-MOST_SEMITONES, le=MOST_SEMITONES, allow_inf_nan=False, description="Ours: semitones")

    def plain(self) -> SpeechRequest:
        """The same in the house's words."""
        gender = GENDERS.get(self.voice or "")
        return SpeechRequest(
            text=self.input,
            voice=f"default-{gender}" if gender else self.voice,
            model_id=None if self.model in DEFAULT_MOUTHS else self.model,
            language=self.language,
            speed=self.speed,
            pitch=self.pitch,
            format=self.response_format,
        )
