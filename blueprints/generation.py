"""System 5: texts after prompts, one or many, whole or streamed."""

from typing import Any

import orjson
from flask import Response, g, jsonify, request

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.marks import mark
from blueprints.kit.presence import client_waits
from blueprints.kit.problems import now
from blueprints.kit.streams import respond
from services.contracts.generation import BatchRequest, BatchView, Generated, GeneratedView, GenerateRequest, Piece
from services.domains import generation

bp = make_blueprint("generation", url_prefix="/api/v1/generate", about="Texts of trained models (system 5)")

ANSWERS: dict[int | str, Any] = {200: GeneratedView}


@bp.post("", responses=ANSWERS)
@mark(limit="inference")
def generate(body: GenerateRequest) -> Response:
    """Write texts after a prompt, by the newest trained model where none is named.

    With `stream` they come as server-sent events `{"index", "content", "finish_reason"}`, then `[DONE]`.
    """
    if body.stream:
        house, owner, request_id = services(), me().id, g.request_id
        return respond(
            lambda: generation.stream(body.prompt, body, services=house, owner=owner, request_id=request_id), encode
        )
    found = _written([body.prompt], body, "prompt")
    shown = {
        "prompt": body.prompt,
        "generated_texts": found.texts[0],
        "model_path": found.model_path,
        "generation_time": found.seconds,
        "timestamp": now(),
    }
    return jsonify(shown)


@bp.post("/batch", responses={200: BatchView})
@mark(limit="inference")
def generate_batch(body: BatchRequest) -> Response:
    """Write texts after each of many prompts, side by side."""
    found = _written(body.prompts, body, "prompts")
    shown = {
        "results": [
            {"prompt": prompt, "generated_texts": texts}
            for prompt, texts in zip(body.prompts, found.texts, strict=True)
        ],
        "model_path": found.model_path,
        "total_generation_time": found.seconds,
        "timestamp": now(),
    }
    return jsonify(shown)


def encode(batch: list[Piece]) -> bytes:
    """Frames of what arrived together; a piece that only counts tokens has nothing for the reader."""
    return b"".join(
        b"data: "
        + orjson.dumps({"index": piece.index, "content": piece.text, "finish_reason": piece.finish_reason})
        + b"\n\n"
        for piece in batch
        if piece.text or piece.finish_reason
    )


def _written(prompts: list[str], body: GenerateRequest | BatchRequest, field: str) -> Generated:
    with client_waits(request.environ):
        return generation.generate(
            prompts, body, services=services(), owner=me().id, request_id=g.request_id, field=field
        )
