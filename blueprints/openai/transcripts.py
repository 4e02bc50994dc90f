"""Transcripts in OpenAI's forms: two of JSON, text, subtitles, and events as a sound is heard."""

import math
from dataclasses import dataclass
from typing import Any

from flask import Response
from pydantic import BaseModel, Field

from blueprints.kit.streams import DONE, Writing, frame
from services import subtitles
from services.contracts.transcription import (
    Segment,
    SegmentFacts,
    Task,
    TranscriptionPiece,
    TranscriptionResult,
)
from services.language_names import english_name


class TranscriptView(BaseModel):
    """What was said; all but `text` and `usage` stand with `verbose_json` alone."""

    text: str
    usage: dict[str, Any] = Field(examples=[{"type": "duration", "seconds": 2}])
    task: str | None = Field(None, examples=["transcribe"])
    language: str | None = Field(None, examples=["english"])
    duration: float | None = None
    segments: list[dict[str, Any]] | None = None
    words: list[dict[str, Any]] | None = None


@dataclass(frozen=True)
class Heard:
    """In which form what was heard is wanted."""

    task: Task
    form: str
    grains: tuple[str, ...] = ()

    def view(self, result: TranscriptionResult) -> dict[str, Any]:
        """A whole transcript as JSON; of the other forms what they are made of."""
        if self.form == "json":
            return {"text": result.text, "usage": usage_view(result)}
        if self.form == "verbose_json":
            return self._verbose(result)
        return result.model_dump()

    def written(self, response: Response) -> Response:
        """*response*, which holds what `view` gave, in the form that is wanted."""
        if self.form in {"text", "srt", "vtt"}:
            result = TranscriptionResult.model_validate(response.get_json())
            response.set_data(subtitles.write(result, self.form))  # type: ignore[arg-type]  # It is one of the three.
            response.content_type = "text/plain; charset=utf-8"
        return response

    def _verbose(self, result: TranscriptionResult) -> dict[str, Any]:
        language = "en" if self.task == "translate" else result.language
        told: dict[str, Any] = {
            "task": self.task,
            "language": english_name(language) if language else None,
            "duration": result.duration,
            "text": result.text,
            "usage": usage_view(result),
        }
        if self.grains != ("word",):
            told["segments"] = [segment_view(segment) for segment in result.segments]
        if "word" in self.grains:
            words = (word for segment in result.segments for word in segment.words or [])
            told["words"] = [word.model_dump(include={"word", "start", "end"}) for word in words]
        return told


def segment_view(segment: Segment) -> dict[str, Any]:
    """A segment with what the model knows of it."""
    facts = segment.facts or SegmentFacts()
    return segment.model_dump(include={"id", "start", "end", "text"}) | facts.model_dump()


def usage_view(result: TranscriptionResult) -> dict[str, Any]:
    """Transcripts are counted by the seconds that were heard."""
    return {"type": "duration", "seconds": math.ceil(result.duration)}


class TranscriptWriting(Writing):
    """A transcript as events: what each segment adds to the text, and at the end all of it."""

    def __init__(self) -> None:
        self._begun = False

    def encode(self, batch: list[TranscriptionPiece]) -> bytes:
        return b"".join(self._frame(piece) for piece in batch)

    def end(self) -> bytes:
        return DONE

    def _frame(self, piece: TranscriptionPiece) -> bytes:
        if piece.result is not None:
            done = {"text": piece.result.text, "usage": usage_view(piece.result)}
            return frame({"type": "transcript.text.done", **done})
        assert piece.segment is not None
        said = piece.segment.text if self._begun else piece.segment.text.lstrip()
        self._begun = self._begun or bool(said)
        return frame({"type": "transcript.text.delta", "delta": said}) if said else b""
