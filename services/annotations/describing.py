"""Who describes a picture: a vision model behind an endpoint, or its own pixels."""

import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from services.annotations import demo, endpoints, scaling
from services.annotations.endpoints import Endpoint
from services.annotations.pacing import Pace
from services.compute.progress import Job
from services.contracts.annotations import LONGEST_DESCRIPTION, AnnotationRequest
from services.contracts.chat import ChatMessage, ChatReply, ChatRequest, ImagePart, ImageUrl, TextPart
from services.contracts.images import SourcePicture
from services.errors import Cancelled, Malformed, NotFound, ServiceError, UpstreamBusy, UpstreamFailed
from services.providers.failures import no_answer
from services.providers.media_results import as_data_url
from services.usage import UsageEntry

if TYPE_CHECKING:
    from services.assemble import Services

PROMPTS = {"en": "Describe this picture in detail.", "zh": "请详细描述这张图片。"}
# What the same call may not meet a second time.
PASSING = {"server", "connection", "stream_broken"}
TRIES = 3
# What no other picture would be spared.
LASTING = {"auth", "quota"}


@dataclass(frozen=True, slots=True)
class Description:
    """What was said of a picture, and what it took."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Describer(ABC):
    """Describes one picture after the other, from many threads."""

    @abstractmethod
    def describe(self, path: Path, job: Job) -> Description:
        """The description of the picture at *path*. Raises ServiceError's subclasses."""


def open_describer(request: AnnotationRequest, endpoint: Endpoint, services: "Services") -> Describer:
    """Whoever describes pictures for *request*."""
    if endpoint.demo:
        return Pixels(request.language, services.settings.max_image_pixels)
    return VisionModel(request, endpoint, services)


def prompt_of(request: AnnotationRequest) -> str:
    """What is asked about each picture."""
    return request.prompt or PROMPTS[request.language]


class Pixels(Describer):
    """The demonstration."""

    def __init__(self, language: str, max_pixels: int) -> None:
        self._language, self._max_pixels = language, max_pixels

    def describe(self, path: Path, job: Job) -> Description:
        return Description(demo.describe(path, language=self._language, max_pixels=self._max_pixels))


class VisionModel(Describer):
    """A model behind an endpoint. When it refuses what every picture needs, it is not asked again."""

    def __init__(self, request: AnnotationRequest, endpoint: Endpoint, services: "Services") -> None:
        self._request, self._endpoint, self._services = request, endpoint, services
        self._chat = endpoints.open_chat(endpoint, services.outbound)
        self._pace = Pace()
        # Calls are bounded and not threads: while one picture is read or written down, another is asked about.
        self._slots = threading.BoundedSemaphore(request.concurrency)
        self._refused: ServiceError | None = None

    def describe(self, path: Path, job: Job) -> Description:
        self._check()
        most = self._services.settings.max_image_pixels
        picture = scaling.fit(path, self._endpoint.provider, max_pixels=most)
        reply = self._ask(self._wording(picture), job)
        if len(reply.text) > LONGEST_DESCRIPTION:
            raise UpstreamFailed(
                "The provider's description is longer than {most} characters.",
                "上游返回的描述超过 {most} 个字符。",
                kind="too_large",
                most=LONGEST_DESCRIPTION,
            )
        return Description(reply.text.strip(), reply.usage.prompt_tokens, reply.usage.completion_tokens)

    def _wording(self, picture: SourcePicture) -> ChatRequest:
        asked = [
            TextPart(type="text", text=prompt_of(self._request)),
            ImagePart(type="image_url", image_url=ImageUrl(url=as_data_url(picture))),
        ]
        messages = [ChatMessage(role="user", content=list(asked))]
        if self._request.system_prompt:
            messages.insert(0, ChatMessage(role="system", content=self._request.system_prompt))
        return ChatRequest(model=self._endpoint.model, messages=messages, temperature=self._request.temperature)

    def _ask(self, wording: ChatRequest, job: Job) -> ChatReply:
        """The answer, which has a text; what is busy is asked again later, what failed in passing at once."""
        tries = 0
        while True:
            self._pace.wait(job)
            try:
                with self._slots:
                    self._check()
                    job.check()
                    reply = self._metered(wording, job)
                self._pace.answered()
                return reply
            except UpstreamBusy as error:
                self._pace.refused(error)
            except UpstreamFailed as error:
                tries += 1
                if error.kind not in PASSING or tries == TRIES:
                    raise

    def _check(self) -> None:
        """Raise what was refused before, where that would be refused again."""
        if self._refused:
            raise self._refused

    def _metered(self, wording: ChatRequest, job: Job) -> ChatReply:
        """One call, written down however it ends."""
        entry = UsageEntry(job.owner, job.request_id, "annotation", self._endpoint.provider, self._endpoint.model)
        began = time.perf_counter()
        try:
            reply = self._chat.reply(wording)
            entry.prompt_tokens = reply.usage.prompt_tokens
            entry.completion_tokens = reply.usage.completion_tokens
            if not reply.text.strip():
                raise no_answer()
            return reply
        except ServiceError as error:
            entry.outcome = error.reason if isinstance(error, Cancelled) else type(error).__name__
            lasts = isinstance(error, (NotFound, Malformed)) or getattr(error, "kind", "") in LASTING
            self._refused = error if lasts else self._refused
            raise
        finally:
            entry.total_ms = round((time.perf_counter() - began) * 1000)
            self._services.usage.add(entry)
