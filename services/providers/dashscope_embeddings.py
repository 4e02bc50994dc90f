"""DashScope's text embeddings by its native protocol.

Source: help.aliyun.com/zh/model-studio, text-embedding-v3 and v4: ten texts a call at most.
"""

from typing import Any

from services.contracts.embeddings import EmbeddingModel, EmbeddingRequest, Embeddings, to_base64
from services.errors import Invalid
from services.providers.base import Provider
from services.providers.failures import no_answer

PATH = "/services/embeddings/text-embedding/text-embedding"
TEXTS_A_CALL = 10


class DashScopeEmbedder(EmbeddingModel):
    """One of DashScope's embedding models."""

    def __init__(self, provider: Provider, model: str) -> None:
        self._provider, self._model = provider.about("input"), model

    def embed(self, request: EmbeddingRequest, *, owner: str) -> Embeddings:
        texts = [each for each in request.inputs if isinstance(each, str)]
        if len(texts) != len(request.inputs):
            raise Invalid(
                "input",
                "This provider takes texts and no tokens.",
                "该服务商只接受文本，不接受词元。",
                reason="unsupported",
            )
        found = Embeddings([], 0, self._model)
        for start in range(0, len(texts), TEXTS_A_CALL):
            self._embed(texts[start : start + TEXTS_A_CALL], request.dimensions, found)
        return found

    def _embed(self, texts: list[str], dimensions: int | None, found: Embeddings) -> None:
        body: dict[str, Any] = {"model": self._model, "input": {"texts": texts}, "parameters": {}}
        if dimensions:
            body["parameters"]["dimension"] = dimensions
        answer = self._provider.post(PATH, body)
        rows = (answer.get("output") or {}).get("embeddings") or []
        if len(rows) != len(texts):
            raise no_answer()
        rows = sorted(rows, key=lambda row: row.get("text_index") or 0)
        found.vectors += [to_base64(row["embedding"]) for row in rows]
        found.prompt_tokens += (answer.get("usage") or {}).get("total_tokens") or 0
