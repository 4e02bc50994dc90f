"""OpenAI's audio: transcriptions, translations, speech."""

from collections.abc import Iterator
from typing import Any

from tests.fakes import samples
from tests.fakes.connection import Piece, RecordedRequest, Reply
from tests.fakes.samples import TRANSCRIPT
from tests.fakes.sse import data_frame
from tests.fakes.vendor import VendorFake, behaviour_of

PLAIN = {
    "text": f"{TRANSCRIPT}\n",
    "srt": f"1\n00:00:00,000 --> 00:00:01,500\n{TRANSCRIPT}\n\n",
    "vtt": f"WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n{TRANSCRIPT}\n\n",
}
TOKEN_USAGE = {
    "type": "tokens",
    "input_tokens": 14,
    "output_tokens": 4,
    "total_tokens": 18,
    "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
}
SECONDS_USAGE = {"type": "duration", "seconds": 2}
SEGMENT = {
    "id": 0,
    "seek": 0,
    "start": 0.0,
    "end": 1.5,
    "text": TRANSCRIPT,
    "tokens": [50364, 2425],
    "temperature": 0.0,
    "avg_logprob": -0.3,
    "compression_ratio": 0.8,
    "no_speech_prob": 0.01,
}


def transcribe(fake: VendorFake, request: RecordedRequest, _kind: str) -> Reply:
    """POST /audio/transcriptions or /translations (multipart), in each response format."""
    behaviour = behaviour_of(request.form_text("model") or "")
    failed = fake.failure(behaviour)
    if failed:
        return failed
    if request.form_text("stream") == "true":
        return fake.reply(_events(), behaviour)
    form = request.form_text("response_format") or "json"
    if form in PLAIN:
        return Reply(PLAIN[form], 200, {"content-type": "text/plain; charset=utf-8"})
    if form == "verbose_json":
        return fake.reply(_verbose(request), behaviour)
    return fake.reply({"text": TRANSCRIPT, "usage": SECONDS_USAGE}, behaviour)


def _verbose(request: RecordedRequest) -> dict[str, Any]:
    words = [{"word": TRANSCRIPT, "start": 0.0, "end": 1.5}]
    asked = [part.text for part in request.form if part.name == "timestamp_granularities[]"]
    return {
        "task": "transcribe",
        "language": "chinese",
        "duration": 1.5,
        "text": TRANSCRIPT,
        "segments": [SEGMENT],
        **({"words": words} if "word" in asked else {}),
        "usage": SECONDS_USAGE,
    }


def _events() -> Iterator[Piece]:
    for text in samples.halves(TRANSCRIPT):
        yield data_frame({"type": "transcript.text.delta", "delta": text})
    yield data_frame({"type": "transcript.text.done", "text": TRANSCRIPT, "usage": TOKEN_USAGE})
    yield "data: [DONE]\n\n"


def speak(fake: VendorFake, request: RecordedRequest) -> Reply:
    """POST /audio/speech: a WAV whatever format was asked, labelled as asked."""
    body = request.json
    failed = fake.failure(behaviour_of(body["model"]))
    if failed:
        return failed
    kind = {"mp3": "audio/mpeg"}.get(body.get("response_format") or "mp3", f"audio/{body.get('response_format')}")
    sound = samples.wav()
    return Reply(iter([sound[:100], sound[100:]]), 200, {**fake.response_headers(), "content-type": kind})


ROUTES = [
    ("POST", "/v1/audio/(transcriptions|translations)", transcribe),
    ("POST", "/v1/audio/speech", speak),
]
