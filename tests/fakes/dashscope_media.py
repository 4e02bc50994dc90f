"""DashScope's multimodal endpoint: chat about pictures, pictures at once, speech, transcription."""

import base64
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.fakes import samples
from tests.fakes.connection import Piece, RecordedRequest, Reply
from tests.fakes.dashscope_chat import reply_to_chat, wants_stream
from tests.fakes.results import size_of, words_of
from tests.fakes.sse import dashscope_frame
from tests.fakes.vendor import behaviour_of

if TYPE_CHECKING:
    from tests.fakes.dashscope import DashScopeFake

PAINTERS = ("qwen-image", "wan2.6", "wan2.7", "z-image")
ONE_AT_A_TIME = ("qwen-image", "qwen-image-plus", "qwen-image-max")
SPEECH_USAGE = {"input_tokens": 5, "output_tokens": 40, "characters": 5}


def converse(fake: "DashScopeFake", request: RecordedRequest) -> Reply:
    """POST /services/aigc/multimodal-generation/generation, by the model's name."""
    model = (request.json or {}).get("model") or ""
    if request.headers.get("x-dashscope-async"):
        return fake.error(fake.errors["needs-sync"])
    if model.startswith(PAINTERS):
        return _paint(fake, request.json)
    if "tts" in model:
        return _speak(fake, request)
    if "asr" in model:
        return _transcribe(fake, request.json)
    return reply_to_chat(fake, request, vision=True)


def picture_prompt(body: dict[str, Any]) -> str:
    """The text of the first message."""
    return " ".join(part.get("text", "") for part in body["input"]["messages"][0]["content"])


def pixels_of(body: dict[str, Any]) -> tuple[int, int] | None:
    """Width and height of `parameters.size` ("1024*1024", "2K"), None where it is not one."""
    size = (body.get("parameters") or {}).get("size")
    width, height = size_of(size, "*", default=0 if size else 1024)
    return (width, height) if width else None


def _paint(fake: "DashScopeFake", body: dict[str, Any]) -> Reply:
    prompt, model, size = picture_prompt(body), body["model"], pixels_of(body)
    count = (body.get("parameters") or {}).get("n") or (4 if model.startswith("wan2.7") else 1)
    words = words_of(prompt, model)
    if size is None:
        return fake.invalid("size must be in the format of width*height")
    if count > 1 and model.partition("@")[0] in ONE_AT_A_TIME:
        return fake.invalid("num_images_per_prompt must be 1")
    if words & {"SENSITIVE", "FAIL"}:
        return fake.error(fake.errors["sensitive"])
    if "ERROR200" in words:
        return fake.failure("error-200") or Reply()
    failed = fake.failure(behaviour_of(model))
    if failed:
        return failed
    content = [{"image": fake.picture_url(prompt, words, size)} for _ in range(count)]
    message = {"role": "assistant", "content": content}
    metric = {"TOTAL": count, "FAILED": 0, "SUCCEEDED": count}
    output = {"choices": [{"finish_reason": "stop", "message": message}], "task_metric": metric}
    usage = {"width": size[0], "height": size[1], "image_count": count}
    return fake.answer_with(output, usage, behaviour_of(model))


def _speak(fake: "DashScopeFake", request: RecordedRequest) -> Reply:
    behaviour = behaviour_of(request.json["model"])
    url = fake.file_url(samples.wav(), "wav", "audio/wav")
    audio = {"data": "", "expires_at": 1790000000, "id": f"audio_{uuid.uuid4()}", "url": url}
    failed = fake.failure(behaviour)
    if failed:
        return failed
    if wants_stream(request):
        return fake.reply(_speech_frames(audio), behaviour)
    return fake.answer_with({"finish_reason": "stop", "audio": audio}, SPEECH_USAGE, behaviour)


def _speech_frames(audio: dict[str, Any]) -> Iterator[Piece]:
    piece = {**audio, "url": "", "data": base64.b64encode(samples.pcm(25)).decode()}
    outputs = [{"finish_reason": "null", "audio": piece}] * 2 + [{"finish_reason": "stop", "audio": audio}]
    for number, output in enumerate(outputs, 1):
        usage = SPEECH_USAGE if number == len(outputs) else {}
        yield dashscope_frame(number, {"output": output, "usage": usage, "request_id": audio["id"]})


def _transcribe(fake: "DashScopeFake", body: dict[str, Any]) -> Reply:
    notes = [{"type": "audio_info", "language": "zh", "emotion": "neutral"}]
    message = {"role": "assistant", "annotations": notes, "content": [{"text": samples.TRANSCRIPT}]}
    usage = {"input_tokens_details": {"text_tokens": 0}, "output_tokens_details": {"text_tokens": 2}, "seconds": 1}
    behaviour = behaviour_of(body["model"])
    output = {"choices": [{"finish_reason": "stop", "message": message}]}
    return fake.failure(behaviour) or fake.answer_with(output, usage, behaviour)


ROUTES = [("POST", "/api/v1/services/aigc/multimodal-generation/generation", converse)]
