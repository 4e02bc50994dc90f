"""OpenAI's embeddings: texts become vectors, as numbers or as base64."""

from typing import Any

import orjson
from flask import Response, g, request
from pydantic import BaseModel, Field

from blueprints.kit.blueprint import make_blueprint
from blueprints.kit.context import me, services
from blueprints.kit.marks import mark
from blueprints.kit.presence import client_waits
from services.contracts.embeddings import EmbeddingRequest, to_floats
from services.domains import embeddings

bp = make_blueprint("openai_embeddings", url_prefix="/v1/embeddings", about="OpenAI's surface: embeddings")


class EmbeddingView(BaseModel):
    """One vector: numbers, or little-endian 32-bit floats as base64 where `encoding_format` says so."""

    object: str = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingsUsageView(BaseModel):
    prompt_tokens: int
    total_tokens: int


class EmbeddingsView(BaseModel):
    """The vectors in the order of their inputs."""

    object: str = "list"
    data: list[EmbeddingView]
    model: str = Field(examples=["all-minilm-l6-v2"])
    usage: EmbeddingsUsageView


@bp.post("", responses={200: EmbeddingsView})
@mark(limit="generation")
def embed(body: EmbeddingRequest) -> Response:
    """Turn texts into vectors that lie near where their meanings are."""
    with client_waits(request.environ):
        found = embeddings.embed(body, services=services(), owner=me().id, request_id=g.request_id)
    show: Any = str if body.encoding_format == "base64" else to_floats
    answer = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": show(vector)}
            for index, vector in enumerate(found.vectors)
        ],
        "model": body.model or found.model,
        "usage": {"prompt_tokens": found.prompt_tokens, "total_tokens": found.prompt_tokens},
    }
    return Response(orjson.dumps(answer), mimetype="application/json")
