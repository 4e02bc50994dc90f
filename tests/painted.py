"""Small pictures that differ from each other, and a vision model that answers as a test wants."""

import io
import threading
from collections.abc import Callable
from typing import Any

from PIL import Image

from tests.fakes.connection import RecordedRequest, Reply
from tests.fakes.server import FakeServer

USED = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


def small_picture(number: int, kind: str = "PNG", size: tuple[int, int] = (8, 8)) -> bytes:
    """The picture of that number, 8 pixels wide."""
    file = io.BytesIO()
    Image.new("RGB", size, (number % 256, number // 256 % 256, 77)).save(file, kind)
    return file.getvalue()


class VisionFake(FakeServer):
    """Answers every POST as OpenAI's chat does; `reply` makes the answer of the call with a number from 1."""

    def __init__(self) -> None:
        super().__init__()
        self.reply: Callable[[int], Reply] = said
        self.most_at_once = 0
        self._at_once = 0
        self._turn = threading.Lock()

    @property
    def endpoint(self) -> str:
        """The full URL to name in a request."""
        return self.url("/vision/describe")

    def answer(self, request: RecordedRequest) -> Reply:
        with self._turn:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return self.reply(self.count("calls"))
        finally:
            with self._turn:
                self._at_once -= 1


def said(number: int, text: str | None = None) -> Reply:
    """A whole answer with *text*."""
    content = f"Picture {number}." if text is None else text
    message: dict[str, Any] = {"role": "assistant", "content": content}
    return Reply({"id": f"call-{number}", "choices": [{"message": message, "finish_reason": "stop"}], "usage": USED})


def refused(status: int, **headers: str) -> Reply:
    """An error of that status."""
    named: dict[str, str | None] = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply({"error": {"message": "no", "code": "refused"}}, status, named)
