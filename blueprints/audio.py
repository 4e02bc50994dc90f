"""System 3: speech becomes text, and text speech."""

from typing import Any

from flask import Response, jsonify
from pydantic import BaseModel, Field

from blueprints.kit import generation
from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.hearing import TRANSCRIBE, submit_sound
from blueprints.kit.marks import mark
from blueprints.kit.validation import FormModel, Upload
from blueprints.kit.waiting import AcceptedView, answer_of, submit
from services import subtitles
from services.contracts.jobs import JobView
from services.contracts.speech import SpeechRequest, SpeechResult
from services.contracts.transcription import (
    Language,
    ModelName,
    Segment,
    TextFormat,
    TranscriptionResult,
)

bp = make_blueprint("audio", url_prefix="/api/audio", about="Speech to text and text to speech (system 3)")

SPEAK = "speech.synthesize"


class TranscriptionForm(FormModel):
    """A sound with speech, or a film whose sound is meant."""

    audio: Upload
    language: Language = Field(None, description="A language code such as `zh`; empty finds it out")
    model: ModelName = Field(None, description="A size (`tiny` to `large-v3`) or a catalog id; empty takes the default")
    format: TextFormat = Field("json", description="`srt` and `vtt` are subtitles, `text` is the text alone")
    word_timestamps: bool = Field(False, description="Also tell when each word was said")


class TranscriptionView(TranscriptionResult):
    """What was said and when, as system 3 documents it."""

    task_id: str = Field(examples=["550e8400-e29b-41d4-a716-446655440000"])
    status: str = Field(examples=["completed"])


class TranscriptionPath(BaseModel):
    task_id: str = Field(max_length=64)


class FormatQuery(BaseModel):
    format: TextFormat = Field("json", description="As for the sound itself")


class TranscriptionTaskView(BaseModel):
    """A transcription on its way; `text` and what else is documented stand there when it is completed."""

    task_id: str = Field(examples=["550e8400-e29b-41d4-a716-446655440000"])
    status: str = Field(examples=["processing"], description="processing, completed, failed or canceled")
    progress: float = Field(0, examples=[45.5], description="0 to 100, by the time in the sound")
    text: str | None = None
    language: str | None = None
    duration: float | None = None
    segments: list[Segment] | None = None
    model: str | None = None
    error: dict[str, Any] | None = None


class SpeechTaskView(BaseModel):
    """A text on its way to be spoken; what is documented stands there when it is completed."""

    task_id: str = Field(examples=["550e8400-e29b-41d4-a716-446655440000"])
    status: str = Field(examples=["completed"], description="processing, completed, failed or canceled")
    progress: float = Field(0, examples=[100], description="0 to 100, by sentences")
    audio_url: str | None = Field(None, examples=["/outputs/audio/0123456789abcdef0123456789abcdef.mp3"])
    duration: float | None = Field(None, examples=[1.5], description="Of the file, in seconds")
    format: str | None = Field(None, examples=["mp3"])
    sample_rate: int | None = Field(None, examples=[22050])
    model: str | None = Field(None, examples=["piper-en-us-joe"])
    language: str | None = Field(None, examples=["en"])
    gender: str | None = Field(None, examples=["male"])
    error: dict[str, Any] | None = None


@bp.post("/transcribe", responses={200: TranscriptionView, 202: AcceptedView})
@mark(limit="generation", upload="picture")
def transcribe(form: TranscriptionForm) -> Response:
    """Write down what is said in a sound; the answer is waited for, as text or subtitles where `format` says so."""
    wanted = form.model_dump(include={"language", "model", "word_timestamps"})

    def show(result: TranscriptionResult, job: JobView) -> dict[str, Any]:
        return {"task_id": job.id, "status": job.status, **_fields(result)}

    response = answer_of(submit_sound(form.audio, wanted, told=form.format), show=show)
    return _written(response, form.format) if response.status_code == 200 else response


@bp.get("/transcribe/<string:task_id>", responses={200: TranscriptionTaskView})
@mark(limit="status")
def transcribed(path: TranscriptionPath, query: FormatQuery) -> Response:
    """Tell how far a transcription is, and what was said when it is done; then also as text or subtitles."""
    shown = generation.status(path.task_id, TRANSCRIBE, _fields)
    response = jsonify(shown)
    return _written(response, query.format) if shown["status"] == "completed" else response


@bp.post("/synthesize", responses={200: SpeechTaskView, 202: SpeechTaskView})
@mark(limit="generation")
def synthesize(body: SpeechRequest) -> Response:
    """Say a text by a voice of its language; the answer is waited for and says where the sound lies."""
    return generation.finish(submit(SPEAK, body), _spoken)


@bp.get("/synthesize/<string:task_id>", responses={200: SpeechTaskView})
@mark(limit="status")
def synthesized(path: TranscriptionPath) -> dict[str, Any]:
    """Tell how far a text is spoken, and where the sound lies when it is done."""
    return generation.status(path.task_id, SPEAK, _spoken)


def _spoken(result: SpeechResult | None) -> dict[str, Any]:
    """What of a result stands in a task."""
    if result is None:
        return {"audio_url": None}
    shown = {"format", "sample_rate", "model", "language", "gender"}
    return {"audio_url": result.url, "duration": result.duration, **result.model_dump(include=shown)}


def _fields(result: TranscriptionResult | None) -> dict[str, Any]:
    """What of a result stands in an answer; words and facts only where they were asked for."""
    shown = result.model_dump() if result else {}
    for segment in shown.get("segments", []):
        for name in ("words", "facts"):
            if segment[name] is None:
                del segment[name]
    return shown


def _written(response: Response, form: TextFormat) -> Response:
    """*response*, which holds a whole transcription, in *form*."""
    if form != "json":
        response.set_data(subtitles.write(TranscriptionResult.model_validate(response.get_json()), form))
        response.content_type = f"{subtitles.MEDIA_TYPES[form]}; charset=utf-8"
    return response
