"""OpenAI's images: generations, edits, variations.

GPT image models (`gpt-image…`) answer base64 and refuse `response_format`; all others answer what it asks.
"""

import base64
from collections.abc import Iterator
from typing import Any

from tests.fakes.connection import Piece, RecordedRequest, Reply
from tests.fakes.openai_wire import CREATED
from tests.fakes.results import size_of, words_of
from tests.fakes.sse import named_frame
from tests.fakes.vendor import VendorFake, behaviour_of

USAGE = {
    "input_tokens": 5,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 5},
    "output_tokens": 100,
    "total_tokens": 105,
}


def generate(fake: VendorFake, request: RecordedRequest) -> Reply:
    """POST /images/generations (JSON), streamed too."""
    return _paint(fake, request.json or {}, "image_generation")


def edit(fake: VendorFake, request: RecordedRequest) -> Reply:
    """POST /images/edits (multipart: `image` once, or `image[]` for each of several)."""
    if not any(part.name in ("image", "image[]") for part in request.form):
        return fake.invalid("Missing required parameter: 'image'.", "image")
    return _paint(fake, _fields(request), "image_edit")


def vary(fake: VendorFake, request: RecordedRequest) -> Reply:
    """POST /images/variations (multipart)."""
    return _paint(fake, {"prompt": "variation", **_fields(request)}, "image_edit")


def _fields(request: RecordedRequest) -> dict[str, Any]:
    fields: dict[str, Any] = {part.name: part.text for part in request.form if part.filename is None}
    return {**fields, "n": int(fields.get("n", 1)), "stream": fields.get("stream") == "true"}


def _paint(fake: VendorFake, body: dict[str, Any], event: str) -> Reply:
    model, prompt = body.get("model") or "dall-e-2", body.get("prompt")
    if not prompt:
        return fake.invalid("Missing required parameter: 'prompt'.", "prompt")
    only_base64 = model.startswith("gpt-image")
    if only_base64 and body.get("response_format"):
        return fake.invalid("Unknown parameter: 'response_format'.", "response_format")
    words = words_of(prompt, model)
    if words & {"SENSITIVE", "FAIL"}:
        return fake.error(fake.errors["sensitive"])
    if "ERROR200" in words:
        return fake.failure("error-200") or Reply()
    failed = fake.failure(behaviour_of(model))
    if failed:
        return failed
    if body.get("stream"):
        return fake.reply(_events(fake, body, words, event), behaviour_of(model))
    as_url = not only_base64 and body.get("response_format") != "b64_json"
    data = [_picture(fake, body, words, as_url) for _ in range(body.get("n") or 1)]
    about = {} if as_url else _about(body) | {"usage": USAGE}
    return fake.reply({"created": CREATED, "data": data, **about}, behaviour_of(model))


def _picture(fake: VendorFake, body: dict[str, Any], words: set[str], as_url: bool) -> dict[str, str]:
    prompt, size = body["prompt"], size_of(body.get("size"))
    if as_url:
        return {"url": fake.picture_url(prompt, words, size), "revised_prompt": prompt}
    return {"b64_json": base64.b64encode(fake.picture(prompt, words, size)).decode()}


def _about(body: dict[str, Any]) -> dict[str, Any]:
    width, height = size_of(body.get("size"))
    return {"background": "opaque", "output_format": "png", "quality": "low", "size": f"{width}x{height}"}


def _events(fake: VendorFake, body: dict[str, Any], words: set[str], event: str) -> Iterator[Piece]:
    picture = _picture(fake, body, words, as_url=False)
    about = {**picture, "created_at": CREATED, **_about(body)}
    for index in range(int(body.get("partial_images") or 0)):
        yield named_frame({"type": f"{event}.partial_image", "partial_image_index": index, **about})
    yield named_frame({"type": f"{event}.completed", **about, "usage": USAGE})


ROUTES = [
    ("POST", "/v1/images/generations", generate),
    ("POST", "/v1/images/edits", edit),
    ("POST", "/v1/images/variations", vary),
]
