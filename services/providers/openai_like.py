"""OpenAI, and every server that speaks its protocol: vLLM, Ollama, llama.cpp's server, DashScope's compatible mode.

Another vendor is a class of ten lines in a file of its own:

    class Moonshot(OpenAILike):
        name = "moonshot"
        key_setting = "moonshot_api_key"
        url_setting = "moonshot_base_url"
        model_prefixes = ("kimi-",)

Source: OpenAI's specification of August 2026.
"""

from collections.abc import Iterator
from typing import Any

from services.contracts.chat import (
    ChatDelta,
    ChatModel,
    ChatReply,
    ChatRequest,
    FinishReason,
    FunctionCall,
    ToolCall,
    ToolDelta,
    Usage,
)
from services.contracts.embeddings import EmbeddingModel
from services.contracts.images import ImageModel
from services.contracts.models import CatalogRow, ChatFlags
from services.errors import UpstreamFailed
from services.providers.base import Provider, together
from services.providers.failures import failure, no_answer
from services.providers.openai_embeddings import OpenAIEmbedder
from services.providers.openai_images import OpenAIPainter
from services.providers.sse import DONE

FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "content_filter",
}


class OpenAILike(Provider):
    """Base of all that speak OpenAI's protocol."""

    name = "openai_like"

    def chat(self, model: str, flags: ChatFlags) -> ChatModel:
        return OpenAIChat(self, model, flags)

    def images(self, model: str, row: CatalogRow | None) -> ImageModel:
        return OpenAIPainter(self, model)

    def embeddings(self, model: str) -> EmbeddingModel:
        return OpenAIEmbedder(self, model)

    def chat_body(self, request: ChatRequest, model: str, flags: ChatFlags) -> dict[str, Any]:
        """The body of a chat call; a vendor with words of its own adds them here."""
        # OpenAI itself refuses `top_k`, which is not of its words.
        body = request.model_dump(mode="json", exclude_none=True, exclude={"top_k"})
        body["model"] = model
        if not flags.accepts_temperature:
            body.pop("temperature", None)
            body.pop("top_p", None)
        return body


class OpenAI(OpenAILike):
    """OpenAI itself, or the server that `OPENAI_BASE_URL` names."""

    name = "openai"
    key_setting = "openai_api_key"
    url_setting = "openai_base_url"
    model_prefixes = ("gpt-", "chatgpt-", "o1", "o3", "o4", "dall-e-", "text-embedding-3-", "text-embedding-ada-")

    def chat_body(self, request: ChatRequest, model: str, flags: ChatFlags) -> dict[str, Any]:
        body = super().chat_body(request, model, flags)
        if model.startswith(("o1", "o3", "o4", "gpt-5")):  # Reasoning models know the newer name alone.
            if (most := body.pop("max_tokens", None)) is not None:
                body["max_completion_tokens"] = most
            body.pop("temperature", None)
            body.pop("top_p", None)
        return body


class OpenAIChat(ChatModel):
    """One chat model behind `/chat/completions`."""

    path = "/chat/completions"

    def __init__(self, provider: OpenAILike, model: str, flags: ChatFlags) -> None:
        self._provider, self._model, self._flags = provider, model, flags

    def reply(self, request: ChatRequest) -> ChatReply:
        answer = self._provider.post(self.path, self._provider.chat_body(request, self._model, self._flags))
        if not answer.get("choices"):
            raise no_answer()
        choice = answer["choices"][0]
        message = choice.get("message") or {}
        calls = [_tool_call(call) for call in message.get("tool_calls") or []]
        return ChatReply(
            id=str(answer.get("id") or ""),
            model=self._model,
            text=message.get("content") or "",
            reasoning=message.get("reasoning_content") or "",
            tool_calls=calls,
            finish_reason=finished(choice.get("finish_reason"), calls=bool(calls)) or "stop",
            usage=usage_of(answer.get("usage")) or Usage(),
            logprobs=logprobs_of(choice),
        )

    def stream(self, request: ChatRequest) -> Iterator[list[ChatDelta]]:
        body = self._provider.chat_body(request, self._model, self._flags)
        body |= {"stream": True, "stream_options": {"include_usage": True}}
        reading = _Reading(self._provider.key)
        with self._provider.stream(self.path, body) as arrivals:
            for events in arrivals:
                yield from together(reading.take(event.data) for event in events)
                if reading.marked:
                    break
        if not reading.ended:
            raise broken_stream()


class _Reading:
    """Reads one stream: whether tools were called, the reason to finish came, and the mark at the end."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._called = self.ended = self.marked = False

    def take(self, chunk: Any) -> ChatDelta | None:
        if chunk == DONE:
            self.ended = self.marked = True
            return None
        delta = delta_of(chunk, called=self._called, key=self._key)
        if delta is not None:
            self._called = self._called or bool(delta.tool_calls)
            self.ended = self.ended or delta.finish_reason is not None
        return delta


def delta_of(chunk: Any, *, called: bool, key: str = "") -> ChatDelta | None:
    """One chunk as a delta, None when it says nothing. Raises what an error chunk means."""
    if not isinstance(chunk, dict):
        return None
    if chunk.get("error"):
        raise failure(
            200, chunk if isinstance(chunk["error"], dict) else {"error": {"message": chunk["error"]}}, key=key
        )
    choices = chunk.get("choices") or ()
    choice = choices[0] if choices else {}
    delta = choice.get("delta") or {}
    text, thought, calls = delta.get("content"), delta.get("reasoning_content"), delta.get("tool_calls")
    reason, used = choice.get("finish_reason"), chunk.get("usage")
    if not (text or thought or calls or reason or used):
        return None
    return ChatDelta(
        text or "",
        thought or "",
        [tool_delta(call) for call in calls] if calls else None,
        finished(reason, calls=called or bool(calls)) if reason else None,
        usage_of(used) if used else None,
        chunk.get("id"),
        logprobs_of(choice),
    )


def logprobs_of(choice: dict[str, Any]) -> list[dict[str, Any]] | None:
    """How likely each token of a choice or of a chunk's choice was, where that is told."""
    told = (choice.get("logprobs") or {}).get("content")
    return told if isinstance(told, list) and told else None


def finished(reason: Any, *, calls: bool) -> FinishReason | None:
    """The finish reason in our words; the string "null" is none yet, and a stop after tool calls means them."""
    if not reason or reason == "null":
        return None
    known: FinishReason = FINISH_REASONS.get(str(reason), "stop")
    return "tool_calls" if calls and known == "stop" else known


def usage_of(used: Any) -> Usage | None:
    """OpenAI's usage as ours."""
    if not isinstance(used, dict):
        return None
    prompt, completion = used.get("prompt_tokens") or 0, used.get("completion_tokens") or 0
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=used.get("total_tokens") or prompt + completion,
        cached_tokens=(used.get("prompt_tokens_details") or {}).get("cached_tokens") or 0,
        reasoning_tokens=(used.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0,
    )


def tool_delta(call: dict[str, Any]) -> ToolDelta:
    """A piece of a tool call; an empty id or name repeats nothing."""
    function = call.get("function") or {}
    return ToolDelta(
        call.get("index") or 0, call.get("id") or None, function.get("name") or None, function.get("arguments") or ""
    )


def broken_stream() -> UpstreamFailed:
    """A stream that ended without saying so."""
    return UpstreamFailed("The provider's stream broke off.", "上游的数据流中断。", kind="stream_broken")


def _tool_call(call: dict[str, Any]) -> ToolCall:
    function = call.get("function") or {}
    return ToolCall(
        id=call.get("id") or "",
        function=FunctionCall(name=function.get("name") or "", arguments=function.get("arguments") or ""),
    )
