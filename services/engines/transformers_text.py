"""Causal language models in safetensors on transformers, many answers at once on one loaded model.

Adapters of peft's lie side by side on it, and each answer goes with one of them, or with none.
"""

import copy
import queue
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from services.contracts.chat import ChatDelta, ChatModel, ChatRequest, TokenCount, Usage
from services.contracts.models import CatalogRow
from services.datasets.faults import Fault
from services.datasets.tokens import Tokens
from services.engines.base import Engine
from services.engines.folders import ModelFolder
from services.engines.text_batch import Row
from services.engines.text_loop import TextLoop
from services.engines.text_sampling import Sampler, Stops
from services.errors import Invalid, Unavailable
from services.trainers.text.prompting import PLAIN_TEMPLATE

SILENCE_SECONDS = 0.2
ANSWER_TOKENS = 1024
CAUSAL = ("ForCausalLM", "LMHeadModel")


class TransformersText(Engine, ChatModel):
    """A language model in a folder of transformers. `stream()` may be called from many threads, which share batches."""

    name: ClassVar[str] = "transformers_text"
    _adapter: tuple[str, Path] | None = None

    @classmethod
    def rows_of(cls, folder: ModelFolder) -> Iterator[CatalogRow]:
        if not folder.architecture.endswith(CAUSAL) or not folder.has("tokenizer.json"):
            return
        if any(folder.path.glob("*.safetensors")) and not any(folder.path.glob("*.gguf")):
            yield folder.row(cls.name, ["chat", "training"], "A language model in safetensors")

    def load(self) -> None:
        import torch
        import transformers

        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        self._tokens = Tokens(self.path, otherwise=PLAIN_TEMPLATE)
        gpu = torch.cuda.is_available()
        if self.settings.cpu_threads and not gpu:
            torch.set_num_threads(self.settings.cpu_threads)
        dtype = torch.bfloat16 if gpu and torch.cuda.is_bf16_supported() else torch.float32
        auto: Any = transformers.AutoModelForCausalLM
        try:
            model = auto.from_pretrained(
                self.path, dtype=dtype, use_safetensors=True, trust_remote_code=False, local_files_only=True
            )
        except (OSError, ValueError, KeyError) as error:
            raise self._unusable(str(error)[:200], str(error)[:200]) from error
        if getattr(model, "_is_stateful", False):
            raise self._unusable("its state cannot be batched; serve it as GGUF", "其状态无法批处理，请使用 GGUF 版本")
        model.to("cuda" if gpu else "cpu").eval()
        self._device = model.device
        self._context = min(self.settings.chat_context_tokens, _longest(model.config))
        self._loop = TextLoop(model, self._ends(model), slots=self.settings.chat_slots)

    def unload(self) -> None:
        import gc

        import torch

        self._loop.close()
        del self._loop
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def adapted(self, name: str, folder: Path) -> ChatModel:
        """The same loaded model, answering with the adapter in *folder*, which is called *name*."""
        chosen = copy.copy(self)
        chosen._adapter = name, folder
        template = folder / "chat_template.jinja"
        if template.is_file() and template.read_text(encoding="utf-8") != self._tokens.chat_template:
            chosen._tokens = Tokens(folder, otherwise=PLAIN_TEMPLATE)
        return chosen

    def stream(self, request: ChatRequest) -> Iterator[list[ChatDelta]]:
        yield from self._answer(request, self._worded(request))

    def continue_text(self, request: ChatRequest) -> Iterator[list[ChatDelta]]:
        ids = self._tokens.ids([request.messages[-1].text])[0]
        yield from self._answer(request, [*self._tokens.begin, *ids])

    def count(self, request: ChatRequest) -> TokenCount:
        return TokenCount(len(self._worded(request)))

    def _worded(self, request: ChatRequest) -> list[int]:
        """The tokens of the conversation, up to where the answer begins. Raises Invalid."""
        if any(message.images for message in request.messages):
            raise self._cannot("messages", "reads no images", "不支持图片", "no_vision")
        turns: list[Any] = [
            {"role": "system" if message.role == "developer" else message.role, "content": message.text}
            for message in request.messages
        ]
        text = self._tokens.render(turns, add_generation_prompt=True)
        if isinstance(text, Fault):
            raise Invalid("messages", f"The conversation {text.en}.", f"对话{text.zh}。", reason="refused")
        return self._tokens.ids([text])[0]

    def _answer(self, request: ChatRequest, ids: list[int]) -> Iterator[list[ChatDelta]]:
        if request.tools:
            raise self._cannot("tools", "calls no tools", "不支持工具调用", "no_tools")
        if (request.response_format or {}).get("type", "text") != "text":
            raise self._cannot("response_format", "answers in text alone", "仅支持文本输出", "no_response_format")
        if not ids or len(ids) >= self._context:
            raise Invalid(
                "messages",
                "The prompt has {count} tokens, and {model} takes {most} with its answer; shorten it.",
                "提示词有 {count} 个 token，而 {model} 的上下文（含回答）为 {most} 个，请缩短提示词。",
                reason="context_length" if ids else "required",
                count=len(ids),
                model=self.row.id,
                most=self._context,
            )
        most = min(request.max_tokens or ANSWER_TOKENS, self._context - len(ids))
        row = Row(ids, most, Sampler(request, self._device), self._adapter)
        self._loop.submit([row])
        try:
            yield from _read(row, Stops(request.stop), self._tokens)
        finally:
            row.given_up.set()

    def _ends(self, model: Any) -> set[int]:
        """Every token that ends an answer: the tokenizer's, and those that the model's configuration names."""
        told = [self._tokens.end]
        for config in (model.config, model.generation_config):
            found = getattr(config, "eos_token_id", None)
            told += found if isinstance(found, list) else [found]
        return {number for number in told if number is not None}

    def _cannot(self, field: str, en: str, zh: str, reason: str) -> Invalid:
        return Invalid(field, f"Model {{model}} {en}.", f"模型 {{model}} {zh}。", reason=reason, model=self.row.id)

    def _unusable(self, en: str, zh: str) -> Unavailable:
        return Unavailable(
            "Model {model} cannot be loaded: {why}.",
            "无法加载模型 {model}：{why_zh}。",
            details={"reason": "model_broken"},
            model=self.row.id,
            why=en,
            why_zh=zh,
        )


def _read(row: Row, stops: Stops, tokens: Tokens) -> Iterator[list[ChatDelta]]:
    """What of *row* arrives, as texts; the last delta counts the tokens."""
    speak, name, count = tokens.speaker(), f"chatcmpl-{secrets.token_hex(12)}", 0
    while True:
        try:
            arrived = [row.heard.get(timeout=SILENCE_SECONDS)]
        except queue.Empty:
            yield []
            continue
        while not row.heard.empty():
            arrived.append(row.heard.get())
        deltas = []
        for one in arrived:
            if isinstance(one, Exception):
                raise one
            if isinstance(one, int):
                count += 1
                text = stops.feed(speak(one))
            else:
                text = stops.rest()
            ended = "stop" if stops.found else None if isinstance(one, int) else one
            if text or ended:
                deltas.append(ChatDelta(text=text, finish_reason=ended, id=name))
            if ended:
                used = Usage(len(row.ids), count, len(row.ids) + count)
                yield [*deltas, ChatDelta(usage=used, id=name)]
                return
        if deltas:
            yield deltas


def _longest(config: Any) -> int:
    """The longest text that a model of *config* was made for, in tokens."""
    found = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    return int(found) if found else 2**31
