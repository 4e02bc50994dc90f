"""GGUF chat models on llama.cpp, many chats at once on one loaded model.

Source: llama.cpp's server, through xllamacpp, which takes and gives OpenAI's dictionaries.
"""

import copy
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

from services import connections
from services.contracts.chat import ChatDelta, ChatModel, ChatRequest, TokenCount, ToolDelta, Usage
from services.contracts.models import CatalogRow
from services.engines.base import Engine
from services.engines.folders import ModelFolder
from services.errors import Invalid, Unavailable

SILENCE_SECONDS = 0.2
# Later pieces go on together this often: each way through the host and the web takes from the cores that write.
GATHER_SECONDS = 0.025
GIVE_UP_SECONDS = 30.0
# Cancelling is asked after each of these steps while a prompt is read; smaller ones were not slower.
PROMPT_STEP_TOKENS = 128
ANSWER_TOKENS = 1024
# What llama.cpp throws for a request that it refuses, and xllamacpp for a number of more than 64 bits.
REFUSALS = (RuntimeError, ValueError, TypeError)
FINISHED = {"stop": "stop", "length": "length", "tool_calls": "tool_calls"}


class LlamaCpp(Engine, ChatModel):
    """A chat model in a GGUF file. `stream()` may be called from many threads; llama.cpp batches them."""

    name: ClassVar[str] = "llama_cpp"
    adapters: tuple[Path, ...] = ()
    """GGUF adapters that are loaded beside the model; each chat goes with one of them, or with none."""
    chat_template: str = ""
    """How chats are worded where the GGUF file does not tell."""
    _chosen: int | None = None

    @classmethod
    def rows_of(cls, folder: ModelFolder) -> Iterator[CatalogRow]:
        if any(folder.path.glob("*.gguf")):
            yield folder.row(cls.name, ["chat", "training"], "A chat model in a GGUF file")

    def load(self) -> None:
        import xllamacpp

        files = sorted(self.path.rglob("*.gguf"))
        if not files:
            raise Unavailable(
                "Model {model} has no GGUF file; run: flask models pull {model}",
                "模型 {model} 缺少 GGUF 文件，请运行：flask models pull {model}",
                model=self.row.id,
            )
        settings = self.settings
        params = xllamacpp.CommonParams()
        params.model.path = str(files[0])
        params.n_parallel = settings.chat_slots
        params.n_ctx = settings.chat_slots * settings.chat_context_tokens
        params.n_batch = PROMPT_STEP_TOKENS
        params.warmup = True
        params.use_jinja = True
        params.ui = False
        params.verbosity = 1
        # llama.cpp opens a port of its own on the loopback interface; nobody knows the key to it.
        self._key = secrets.token_urlsafe(24)
        params.api_keys = [self._key]
        if settings.cpu_threads:
            params.cpuparams.n_threads = settings.cpu_threads
        if self.adapters:
            self._carry(params)
        self._server = xllamacpp.Server(params)
        self._port = connections.open_pool()
        self._working: set[threading.Thread] = set()

    def _carry(self, params: Any) -> None:
        """Have *params* load the adapters, each asleep until a chat asks for it."""
        import xllamacpp

        found = []
        for path in self.adapters:
            adapter = xllamacpp.CommonAdapterLoraInfo()
            adapter.path, adapter.scale = str(path), 0.0
            found.append(adapter)
        params.lora_adapters = found
        # What llama.cpp keeps of earlier prompts beside its slots does not say with which adapter it was read.
        params.cache_ram_mib = 0
        if self.chat_template:
            params.chat_template = self.chat_template

    def on(self, adapter: int | None) -> "LlamaCpp":
        """The same loaded model, answering with its adapter of that number; None is the model alone."""
        chosen = copy.copy(self)
        chosen._chosen = adapter
        return chosen

    def unload(self) -> None:
        # A chat that its reader gave up goes on until llama.cpp asks again; without a server under it, it crashes.
        for thread in list(self._working):
            thread.join(GIVE_UP_SECONDS)
        del self._server

    def stream(self, request: ChatRequest) -> Iterator[list[ChatDelta]]:
        yield from self._listen(self._server.handle_chat_completions, self._body(request))

    def continue_text(self, request: ChatRequest) -> Iterator[list[ChatDelta]]:
        body = self._body(request)
        body["prompt"] = body.pop("messages")[-1]["content"]
        if body.pop("logprobs", False):
            body["logprobs"] = body.pop("top_logprobs", None) or 1
        yield from self._listen(self._server.handle_completions, body)

    def count(self, request: ChatRequest) -> TokenCount:
        asked = request.model_dump(exclude_none=True, include={"messages", "tools", "tool_choice"})
        prompt = self._ask("/apply-template", asked)["prompt"]
        tokens = self._ask("/tokenize", {"content": prompt, "add_special": True, "parse_special": True})["tokens"]
        return TokenCount(len(tokens))

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What llama.cpp's own port answers, for what xllamacpp has no method for."""
        answer = self._port.request(
            "POST", self._server.listening_address + path, json=body, headers={"Authorization": f"Bearer {self._key}"}
        )
        told: dict[str, Any] = answer.json()
        if answer.status != 200:
            raise _refused(str((told.get("error") or {}).get("message", "")))
        return told

    def _listen(self, handle: Callable[..., Any], body: dict[str, Any]) -> Iterator[list[ChatDelta]]:
        """What *handle* of the server tells while it works on *body* in a thread of its own."""
        arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
        given_up, ended = threading.Event(), threading.Event()

        def hear(chunk: dict[str, Any]) -> bool:
            arrived.put(chunk)
            return given_up.is_set()

        def work() -> None:
            try:
                handle(body, hear)
                arrived.put(None)
            except REFUSALS as error:
                arrived.put(_refused(str(error)))
            except Exception as error:  # noqa: BLE001  Else the reader would wait for ever.
                arrived.put(error)
            finally:
                ended.set()
                self._working.discard(threading.current_thread())

        thread = threading.Thread(target=work, name="llama-cpp", daemon=True)
        self._working.add(thread)
        thread.start()
        try:
            yield from _read(arrived, ended)
        finally:
            given_up.set()

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        if any(message.images for message in request.messages):
            raise Invalid(
                "messages",
                "Model {model} reads no images; choose a vision model.",
                "模型 {model} 不支持图片，请选择视觉模型。",
                reason="no_vision",
                model=self.row.id,
            )
        asked = request.model_dump(exclude_none=True, exclude={"model"})
        chosen = [] if self._chosen is None else [{"id": self._chosen, "scale": 1.0}]
        return {
            "max_tokens": min(ANSWER_TOKENS, self.settings.chat_context_tokens),
            **asked,
            **({"lora": chosen} if self.adapters else {}),
            "stream": True,
            "stream_options": {"include_usage": True},
            # The callback is asked during the prompt too, so that a client that leaves stops its reading.
            "return_progress": True,
        }


def _read(arrived: "queue.SimpleQueue[Any]", ended: threading.Event) -> Iterator[list[ChatDelta]]:
    """What *arrived* as deltas: the first at once, later ones together. An empty list says "still alive"."""
    next_at = time.monotonic()
    while True:
        try:
            chunks = [arrived.get(timeout=SILENCE_SECONDS)]
        except queue.Empty:
            yield []
            continue
        ended.wait(next_at - time.monotonic())
        while not arrived.empty():
            chunks.append(arrived.get())
        if deltas := [delta for chunk in chunks if chunk and (delta := _delta(chunk))]:
            yield deltas
            next_at = time.monotonic() + GATHER_SECONDS
        if chunks[-1] is None:
            return


def _delta(chunk: Any) -> ChatDelta | None:
    """A chunk as a delta; None when it carries nothing for the reader. Raises what a chunk reports."""
    if isinstance(chunk, Exception):
        raise chunk
    if error := chunk.get("error"):
        long = error.get("type") == "exceed_context_size_error"
        raise _refused(str(error.get("message", "")), reason="context_length" if long else "refused")
    choice = (chunk.get("choices") or [{}])[0]
    delta = choice.get("delta") or {"content": choice.get("text")}
    finished, usage = FINISHED.get(choice.get("finish_reason") or ""), _usage(chunk.get("usage"))
    text, thought, calls = delta.get("content"), delta.get("reasoning_content"), delta.get("tool_calls")
    if not (text or thought or calls or finished or usage):
        return None
    return ChatDelta(
        text=text or "",
        reasoning=thought or "",
        tool_calls=[_tool_delta(call) for call in calls] if calls else None,
        finish_reason=finished,  # type: ignore[arg-type]
        usage=usage,
        id=chunk["id"],
        logprobs=(choice.get("logprobs") or {}).get("content"),
    )


def _usage(told: dict[str, Any] | None) -> Usage | None:
    if not told:
        return None
    cached = (told.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    return Usage(told["prompt_tokens"], told["completion_tokens"], told["total_tokens"], cached)


def _tool_delta(call: dict[str, Any]) -> ToolDelta:
    function = call.get("function") or {}
    return ToolDelta(call.get("index", 0), call.get("id"), function.get("name"), function.get("arguments") or "")


def _refused(why: str, *, reason: str = "refused") -> Invalid:
    return Invalid("messages", "The model refused the request: {why}", "模型拒绝了请求：{why}", reason=reason, why=why)
