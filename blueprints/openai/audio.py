"""OpenAI's audio: speech becomes text in five forms or as a stream, and text speech."""

import base64
from collections.abc import Iterator
from typing import Any, Literal

from flask import Response, request, send_file
from pydantic import BaseModel, Field

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.hearing import SOUNDS, submit_sound
from blueprints.kit.marks import mark
from blueprints.kit.streams import DONE, Writing, frame, respond
from blueprints.kit.uploads import keep_upload, take
from blueprints.kit.validation import FormModel, Upload
from blueprints.kit.waiting import answer_of, submit
from blueprints.openai.shapes import renamed
from blueprints.openai.transcripts import Heard, TranscriptView, TranscriptWriting
from services import voices
from services.contracts.openai_audio import DEFAULT_EARS, GENDERS, OpenAISpeechRequest
from services.contracts.speech import SpeechPiece, SpeechRequest, SpeechResult
from services.contracts.transcription import (
    Language,
    ModelName,
    Prompt,
    Task,
    Temperature,
    TranscriptionPiece,
    TranscriptionRequest,
)
from services.domains import speech
from services.domains.transcription import SOUND_SUFFIX
from services.errors import Invalid
from services.soundfiles import MEDIA_TYPES

bp = make_blueprint("openai_audio", url_prefix="/v1/audio", about="OpenAI's surface: speech to text and text to speech")

SPEAK = "speech.synthesize"
# What the fields of the house are called here.
OWN_WORDS = {"text": "input", "audio": "file"}
WrittenForm = Literal["json", "text", "srt", "verbose_json", "vtt"]
Grain = Literal["word", "segment"]


class OpenAITranslationForm(FormModel):
    """A sound with speech, or a film whose sound is meant."""

    file: Upload
    model: ModelName = Field(None, description="A size or a catalog id; `whisper-1` takes the default")
    prompt: Prompt = Field(None, description="What was said before, or words that may occur")
    response_format: WrittenForm = "json"
    temperature: Temperature = None

    def asked(self, task: Task) -> dict[str, Any]:
        """What of the request is the transcription's, but for the sound."""
        return {
            "model": None if self.model in DEFAULT_EARS else self.model,
            "prompt": self.prompt,
            "temperature": self.temperature,
            "task": task,
            "facts": self.response_format == "verbose_json",
        }


class OpenAITranscriptionForm(OpenAITranslationForm):
    """The same, in its own language."""

    language: Language = Field(None, description="A language code such as `zh`; empty finds it out")
    stream: bool = Field(False, description="Send server-sent events as the sound is heard")
    timestamp_granularities: list[Grain] = Field(
        [], alias="timestamp_granularities[]", max_length=2, description="`word`, `segment`; with `verbose_json`"
    )


class OpenAIVoiceView(BaseModel):
    """A voice; `installed` says whether it can speak now."""

    id: str = Field(examples=["piper-en-us-joe"])
    object: str = "voice"
    name: str
    languages: list[str] = Field(description="Empty where it speaks all")
    genders: list[str]
    installed: bool


class OpenAIVoicesView(BaseModel):
    object: str = "list"
    data: list[OpenAIVoiceView]
    aliases: dict[str, str] = Field(description="OpenAI's names, and the gender of the voice that speaks for them here")


WRITTEN: dict[int | str, Any] = {
    200: {
        "description": "What was said, in the form that `response_format` names",
        "content": {
            "application/json": {"schema": TranscriptView.model_json_schema()},
            "text/plain": {"schema": {"type": "string"}},
            "text/event-stream": {},
        },
    }
}
SPOKEN: dict[int | str, Any] = {
    200: {
        "description": "The sound, sentence by sentence as it is said",
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in sorted(MEDIA_TYPES.values())}
        | {"text/event-stream": {}},
    }
}


@bp.post("/transcriptions", responses=WRITTEN)
@mark(limit="generation", upload="picture")
def transcribe(form: OpenAITranscriptionForm) -> Response:
    """Write down what is said in a sound, in its own language."""
    grains = form.timestamp_granularities
    if grains and form.response_format != "verbose_json":
        raise Invalid(
            "timestamp_granularities",
            "'timestamp_granularities' goes with response_format=verbose_json alone.",
            "参数'timestamp_granularities'仅可与 response_format=verbose_json 一起使用。",
            reason="conflict",
        )
    asked = form.asked("transcribe") | {"language": form.language, "word_timestamps": "word" in grains}
    with renamed(OWN_WORDS):
        if form.stream:
            return _stream(form, asked)
        return _write(form, asked, Heard("transcribe", form.response_format, tuple(grains)))


@bp.post("/translations", responses=WRITTEN)
@mark(limit="generation", upload="picture")
def translate(form: OpenAITranslationForm) -> Response:
    """Write down in English what is said in another language."""
    with renamed(OWN_WORDS):
        return _write(form, form.asked("translate"), Heard("translate", form.response_format))


@bp.post("/speech", responses=SPOKEN)
@mark(limit="generation")
def speak(body: OpenAISpeechRequest) -> Response:
    """Say a text; the sound is sent as it is said."""
    refuse_unknown_voice(body.voice)
    asked = body.plain()
    with renamed(OWN_WORDS):
        voices.choose(asked, services=services())
        if request.headers.get("Idempotency-Key"):
            return _speak_once(asked)
        house = services()
        writing = SpokenEvents() if body.stream_format == "sse" else SpokenBytes(MEDIA_TYPES[asked.format])
        return respond(lambda: house.calls.stream("speech.stream", asked, services=house), writing.encode, writing)


@bp.get("/voices", responses={200: OpenAIVoicesView})
@mark(limit="status")
def list_voices() -> dict[str, Any]:
    """List the voices, those that can speak now first; OpenAI's names are aliases."""
    house = services()
    data = [
        {
            "id": row.id,
            "object": "voice",
            "name": row.name,
            "languages": row.voice.languages,
            "genders": row.voice.genders,
            "installed": house.catalog.installed(row),
        }
        for row in speech.list_voices(services=house)
    ]
    return {"object": "list", "data": data, "aliases": GENDERS}


def _write(form: OpenAITranslationForm, asked: dict[str, Any], heard: Heard) -> Response:
    """The whole transcript, waited for."""
    response = answer_of(submit_sound(form.file, asked, told=repr(heard)), show=lambda result, _job: heard.view(result))
    return heard.written(response) if response.status_code == 200 else response


def _stream(form: OpenAITranscriptionForm, asked: dict[str, Any]) -> Response:
    """The transcript as it is heard; the sound goes with the stream, however that ends."""
    house = services()
    name = keep_upload(take(form.file, SOUNDS), SOUND_SUFFIX)

    def hear() -> Iterator[list[TranscriptionPiece]]:
        try:
            yield from house.calls.stream(
                "transcription.follow", TranscriptionRequest(audio=name, **asked), services=house
            )
        finally:
            house.files.forget([name])

    writing = TranscriptWriting()
    return respond(hear, writing.encode, writing)


def _speak_once(asked: SpeechRequest) -> Response:
    """The sound of the job that an `Idempotency-Key` names."""
    house, owner = services(), me().id

    def show(result: SpeechResult, _job: Any) -> dict[str, Any]:
        return {"name": result.name}

    response = answer_of(submit(SPEAK, asked), show=show)
    if response.status_code != 200:
        return response
    kept = house.files.find(response.get_json()["name"], owner=owner)
    sound = send_file(kept.path, mimetype=MEDIA_TYPES[asked.format])
    sound.headers.update(
        {name: value for name, value in response.headers if name in {"Location", "Idempotent-Replayed"}}
    )
    return sound


class SpokenBytes(Writing):
    """A sound as it is; a connection that ends in the middle is the only way to tell of an error."""

    heartbeat = b""

    def __init__(self, mimetype: str) -> None:
        self.mimetype = mimetype

    def encode(self, batch: list[SpeechPiece]) -> bytes:
        return b"".join(piece.audio for piece in batch)

    def end(self) -> bytes:
        return b""

    def fail(self, body: dict[str, Any]) -> bytes:
        raise ConnectionAbortedError(body["error"]["message"])


class SpokenEvents(Writing):
    """The same as events, in base64."""

    def __init__(self) -> None:
        self._size = 0

    def encode(self, batch: list[SpeechPiece]) -> bytes:
        audio = b"".join(piece.audio for piece in batch)
        self._size += len(audio)
        return frame({"type": "speech.audio.delta", "audio": base64.b64encode(audio).decode()}) if audio else b""

    def end(self) -> bytes:
        usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        return frame({"type": "speech.audio.done", "usage": usage}) + DONE


def refuse_unknown_voice(name: str | None) -> None:
    """Raise Invalid for a voice that nobody has: a wrong field, where a wrong model is not found."""
    if name and name not in GENDERS and services().catalog.known(name) is None:
        raise Invalid(
            "voice",
            "There is no voice {name}; GET /v1/audio/voices lists those there are.",
            "语音 {name} 不存在，可通过 GET /v1/audio/voices 查看。",
            reason="unknown_value",
            name=repr(name[:80]),
        )
