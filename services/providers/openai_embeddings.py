"""Embeddings of OpenAI and of every server that speaks its protocol.

Source: OpenAI's specification of August 2026; `data` may come in any order, and vectors as numbers or as base64.
"""

from typing import Any

from services.contracts.embeddings import EmbeddingModel, EmbeddingRequest, Embeddings, to_base64
from services.providers.base import Provider
from services.providers.failures import no_answer

PATH = "/embeddings"


class OpenAIEmbedder(EmbeddingModel):
    """One embedding model behind `/embeddings`."""

    def __init__(self, provider: Provider, model: str) -> None:
        self._provider, self._model = provider.about("input"), model

    def embed(self, request: EmbeddingRequest, *, owner: str) -> Embeddings:
        # Numbers, since not every server knows base64.
        body: dict[str, Any] = {"model": self._model, "input": request.inputs, "encoding_format": "float"}
        if request.dimensions:
            body["dimensions"] = request.dimensions
        answer = self._provider.post(PATH, body)
        rows = sorted(answer.get("data") or [], key=lambda row: row.get("index") or 0)
        if len(rows) != len(request.inputs):
            raise no_answer()
        used = answer.get("usage") or {}
        vectors = [_vector(row.get("embedding")) for row in rows]
        return Embeddings(vectors, used.get("prompt_tokens") or used.get("total_tokens") or 0, self._model)


def _vector(told: Any) -> str:
    if isinstance(told, str):
        return told
    if not told:
        raise no_answer()
    return to_base64(told)
