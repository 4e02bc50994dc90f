"""The offline stand-in: says back what it was told, paints patterns, and says that it does."""

import re
import secrets
from collections.abc import Iterator

from services.contracts.chat import ChatDelta, ChatModel, ChatRequest, Usage
from services.contracts.images import ImageModel
from services.contracts.models import CatalogRow, ChatFlags
from services.contracts.video import VideoModel
from services.providers.base import Provider
from services.providers.demo_pictures import DemoCamera, DemoPainter

WORDS = re.compile(r"\s*\S+")
LONGEST_ECHO = 2000


class Demo(Provider):
    name = "demo"
    model_prefixes = ()
    offline = True

    def chat(self, model: str, flags: ChatFlags) -> ChatModel:
        return DemoChat()

    def images(self, model: str, row: CatalogRow | None) -> ImageModel:
        return DemoPainter()

    def video(self, model: str, row: CatalogRow | None) -> VideoModel:
        return DemoCamera()


class DemoChat(ChatModel):
    """Echoes the last user message word by word; a word counts as a token."""

    def stream(self, request: ChatRequest) -> Iterator[list[ChatDelta]]:
        words = WORDS.findall(_answer(request))
        shown = words[: request.max_tokens] if request.max_tokens else words
        prompt_tokens = sum(len(message.text.split()) for message in request.messages)
        answer_id = f"demo-{secrets.token_hex(8)}"
        for word in shown:
            yield [ChatDelta(text=word, id=answer_id)]
        yield [
            ChatDelta(finish_reason="length" if len(shown) < len(words) else "stop"),
            ChatDelta(usage=Usage(prompt_tokens, len(shown), prompt_tokens + len(shown))),
        ]


def _answer(request: ChatRequest) -> str:
    last = next((message for message in reversed(request.messages) if message.role == "user"), request.messages[-1])
    pictures = f" (with {len(last.images)} image(s))" if last.images else ""
    return f"[demo] This is the offline demo; no model is at work. You said{pictures}: {last.text[:LONGEST_ECHO]}"
