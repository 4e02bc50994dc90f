"""DashScope's text generation, and the chat about pictures that shares its frames."""

import json
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tests.fakes import samples
from tests.fakes.connection import Piece, RecordedRequest, Reply
from tests.fakes.openai_wire import call_object, offered_calls
from tests.fakes.samples import ToolCall
from tests.fakes.sse import dashscope_frame, gzipped
from tests.fakes.vendor import behaviour_of

if TYPE_CHECKING:
    from tests.fakes.dashscope import DashScopeFake

INPUT_TOKENS = 16
IMAGE_TOKENS = 1247


def generate_text(fake: "DashScopeFake", request: RecordedRequest) -> Reply:
    """POST /services/aigc/text-generation/generation."""
    return reply_to_chat(fake, request, vision=False)


def wants_stream(request: RecordedRequest) -> bool:
    """Whether the client asked for SSE, by either header."""
    asked = request.headers.get("x-dashscope-sse", "").lower() == "enable"
    return asked or "text/event-stream" in request.headers.get("accept", "")


def reply_to_chat(fake: "DashScopeFake", request: RecordedRequest, vision: bool) -> Reply:
    """A chat's answer, whole or streamed; `vision` speaks the multimodal endpoint's lists."""
    body = request.json if isinstance(request.json, dict) else {}
    streamed = wants_stream(request)
    wrong = _wrong_parameter(body, streamed) or _wrong_message(body["input"].get("messages") or [], vision)
    if wrong:
        return fake.invalid(wrong)
    behaviour = behaviour_of(body["model"])
    failed = fake.failure(behaviour)
    if failed:
        return failed
    answer = _Answer(fake, body, behaviour, vision)
    if not streamed:
        return fake.reply(answer.whole(), behaviour)
    reply = fake.reply(answer.frames(), behaviour)
    reply.headers["content-type"] = None if behaviour == "no-content-type" else "text/event-stream;charset=UTF-8"
    if behaviour == "gzip" and "gzip" in request.headers.get("accept-encoding", ""):
        reply.body, reply.headers["content-encoding"] = gzipped(reply.body), "gzip"
    return reply


def _wrong_parameter(body: dict[str, Any], streamed: bool) -> str | None:
    parameters = body.get("parameters") or {}
    if not body.get("model"):
        return "Required parameter(model) missing or invalid, please check the request parameters."
    if not (body.get("input") or {}).get("messages") and not (body.get("input") or {}).get("prompt"):
        return "Required body invalid, please check the request body format."
    if not 0 <= (parameters.get("temperature") or 0) < 2:
        return "<400> InternalError.Algo.InvalidParameter: Temperature should be in [0.0, 2.0)"
    if not 0 < (1 if parameters.get("top_p") is None else parameters["top_p"]) <= 1:
        return "<400> InternalError.Algo.InvalidParameter: Range of top_p should be (0.0, 1.0]"
    if parameters.get("tool_choice") == "required":
        strings = '["none", "auto"]'
        return f"<400> InternalError.Algo.InvalidParameter: tool_choice is one of the strings that should be {strings}"
    if (parameters.get("response_format") or {}).get("type") == "json_object" and "json" not in json.dumps(
        body["input"]
    ).lower():
        return "<400> InternalError.Algo.InvalidParameter: 'messages' must contain the word 'json' in some form"
    if behaviour_of(body["model"]) == "stream-only" and not streamed:
        return "parameter.enable_thinking must be set to false for non-streaming calls"
    return None


def _wrong_message(messages: list[dict[str, Any]], vision: bool) -> str | None:
    for message in messages:
        content = message.get("content")
        if vision and (not isinstance(content, list) or any("type" in part for part in content)):
            return "Input should be a valid list: input.messages.content"
        if not vision and isinstance(content, list):
            return "url error, please check url！"
    return None


class _Answer:
    """One answer, whole or as frames."""

    def __init__(self, fake: "DashScopeFake", body: dict[str, Any], behaviour: str, vision: bool) -> None:
        self.fake, self.behaviour, self.vision = fake, behaviour, vision
        self.parameters = body.get("parameters") or {}
        self.incremental = bool(self.parameters.get("incremental_output"))
        self.as_message = vision or self.parameters.get("result_format") == "message"
        self.thinks = behaviour == "reasoning" or "qwq" in body["model"] or bool(self.parameters.get("enable_thinking"))
        self.calls = offered_calls(self.parameters, behaviour, body["input"].get("messages") or [])
        self.request_id = str(uuid.uuid4())
        self.number = self.tokens = 0
        self.content = self.reasoning = ""

    def ending(self) -> str:
        forced = isinstance(self.parameters.get("tool_choice"), dict)
        return self.fake.finish(self.behaviour, "tool_calls" if self.calls and not forced else "stop")

    def whole(self) -> dict[str, Any]:
        text = "" if self.calls else self.fake.text(self.behaviour)
        self.tokens = max(len(text), 1)
        message = self.message(text, samples.REASONING)
        if self.calls:
            message["tool_calls"] = [call_object(call, index=index) for index, call in enumerate(self.calls)]
        choices = [] if self.behaviour == "empty-choices" else [{"finish_reason": self.ending(), "message": message}]
        output = {"choices": choices} if self.as_message else {"finish_reason": self.ending(), "text": text}
        return {"output": output, "usage": self.usage(), "request_id": self.request_id}

    def message(self, content: str, reasoning: str) -> dict[str, Any]:
        shown: Any = content
        if self.vision:
            shown = [{"text": content}] if content else []
        message = {"role": "assistant", "content": shown}
        return {**message, "reasoning_content": reasoning} if self.thinks else message

    def usage(self) -> dict[str, Any]:
        usage: dict[str, Any] = {"input_tokens": INPUT_TOKENS, "output_tokens": self.tokens}
        if self.behaviour != "old-usage":
            usage |= {"total_tokens": INPUT_TOKENS + self.tokens, "prompt_tokens_details": {"cached_tokens": 0}}
        if self.thinks:
            usage["output_tokens_details"] = {"reasoning_tokens": len(samples.REASONING)}
        if self.vision:
            usage["image_tokens"] = IMAGE_TOKENS
        return usage

    def frames(self) -> Iterator[Piece]:
        if self.behaviour in ("null-usage", "empty-choices"):
            yield self.numbered({"output": {"choices": []}, "usage": None, "request_id": self.request_id})
        if self.thinks:
            for text in samples.REASONING_PIECES:
                yield self.delta(reasoning=text)
        if self.calls:
            yield from self.tool_deltas()
            return
        yield from self.fake.deltas(self.behaviour, self.delta, self.fake.bad_output_frame())
        if self.behaviour not in ("mid-error", "no-finish"):
            yield self.delta(finish=self.ending())

    def tool_deltas(self) -> Iterator[Piece]:
        """Each call in three frames; the last call's last frame ends the answer."""
        for index, call in enumerate(self.calls):
            start, rest = samples.halves(call.arguments)
            yield self.delta(call=self.call_delta(index, call, start))
            last = index == len(self.calls) - 1
            later = self.call_delta(index, call, call.arguments)
            if self.incremental:
                later = {"index": index, "id": "", "type": "function", "function": {"arguments": rest}}
            yield self.delta(finish=self.ending() if last else "null", call=later)

    def call_delta(self, index: int, call: ToolCall, arguments: str) -> dict[str, Any]:
        return call_object(call._replace(arguments=arguments), index=index)

    def delta(
        self, text: str = "", reasoning: str = "", finish: str = "null", call: dict[str, Any] | None = None
    ) -> str:
        self.tokens += len(text + reasoning)
        self.content += text
        self.reasoning += reasoning
        if not self.incremental:
            text, reasoning = self.content, self.reasoning
        message = self.message(text, reasoning)
        if call:
            message["tool_calls"] = [call]
        output: dict[str, Any] = {"finish_reason": finish, "text": text}
        if self.as_message:
            output = {"choices": [{"message": message, "index": 0, "finish_reason": finish}]}
        return self.numbered({"output": output, "usage": self.usage(), "request_id": self.request_id})

    def numbered(self, payload: dict[str, Any]) -> str:
        self.number += 1
        return dashscope_frame(self.number, payload)


ROUTES = [("POST", "/api/v1/services/aigc/text-generation/generation", generate_text)]
