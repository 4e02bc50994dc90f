"""What a provider is: a remote service that answers for models. Declared by class attributes, found by its file."""

import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import orjson

from services.contracts.chat import ChatDelta, ChatModel
from services.contracts.embeddings import EmbeddingModel
from services.contracts.images import ImageModel
from services.contracts.models import CatalogRow, ChatFlags
from services.contracts.video import VideoModel
from services.errors import Invalid, NotFound, ServiceError, UpstreamFailed, UpstreamTimeout
from services.outbound import Outbound
from services.outbound.client import LARGEST_ANSWER_BYTES, Answer, read_bounded
from services.providers.failures import MESSAGES, failure, raise_failure
from services.providers.sse import Event, EventReader


class Provider(ABC):
    """A vendor with a key and a base URL. *trusted* says that the operator, and not a user, chose the URL."""

    name: ClassVar[str]
    """Before the slash in `provider/model`."""
    aliases: ClassVar[tuple[str, ...]] = ()
    key_setting: ClassVar[str] = ""
    """The setting that holds the operator's key; empty where none is needed."""
    url_setting: ClassVar[str] = ""
    """The setting that holds the operator's base URL."""
    model_prefixes: ClassVar[tuple[str, ...]] = ()
    """Names that begin so are this vendor's."""
    models_path: ClassVar[str] = "/models"
    """Where it lists its models: a call that costs nothing and yet needs the key."""
    offline: ClassVar[bool] = False
    """It calls nobody, and so has neither key nor address."""

    def __init__(self, outbound: Outbound, *, key: str = "", base_url: str = "", trusted: bool = False) -> None:
        if not (key.isascii() and key.isprintable()):
            raise Invalid("api_key", "The key holds characters that no key has.", "密钥包含无效字符。")
        self.outbound = outbound
        self.key = key
        self.base_url = base_url.rstrip("/")
        self.trusted = trusted
        self.field = MESSAGES
        self._endpoint = ""

    def about(self, field: str) -> Self:
        """The same provider, whose content filter speaks of *field* of our requests."""
        found = copy.copy(self)
        found.field = field
        return found

    def at(self, endpoint: str) -> Self:
        """The same provider at one full URL, to which no call appends anything."""
        found = copy.copy(self)
        found._endpoint = endpoint
        return found

    def address(self, path: str) -> str:
        """Where a call of *path* goes."""
        return self._endpoint or self.base_url + path

    @abstractmethod
    def chat(self, model: str, flags: ChatFlags) -> ChatModel:
        """The chat model that this provider calls *model*."""

    def images(self, model: str, row: CatalogRow | None) -> ImageModel:
        """The model that this provider calls *model* and that paints; *row* is its catalog row, if it has one.

        Raises NotFound where the provider has none.
        """
        raise _has_none(self.name, "text-to-image")

    def video(self, model: str, row: CatalogRow | None) -> VideoModel:
        """The model that this provider calls *model* and that films. Raises NotFound where it has none."""
        raise _has_none(self.name, "text-to-video")

    def embeddings(self, model: str) -> EmbeddingModel:
        """The model that this provider calls *model* and that embeds. Raises NotFound where it has none."""
        raise _has_none(self.name, "embeddings")

    def headers(self) -> dict[str, str]:
        """What every call carries."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def post(self, path: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
        """The JSON answer of a call. Raises what the provider's refusal means."""
        return self.ask("POST", path, body, **headers)

    def ask(self, method: str, path: str, body: dict[str, Any] | bytes | None = None, **headers: str) -> dict[str, Any]:
        """The JSON answer of a call by *method*; bytes go as they are, with the type that *headers* say.

        Raises what the provider's refusal means.
        """
        status, answered, data = self.outbound.call(
            method, self.address(path), json_body=body, headers=self.headers() | headers, trusted=self.trusted
        )
        if status != 200:
            raise_failure(status, answered, data, key=self.key, field=self.field)
        return parse_answer(data, key=self.key, field=self.field)

    def refusal(self, told: dict[str, Any]) -> ServiceError:
        """The error that *told*, an error inside an answer, means."""
        return failure(200, told, key=self.key, field=self.field)

    @contextmanager
    def stream(self, path: str, body: dict[str, Any], **headers: str) -> Iterator[Iterator[list[Event]]]:
        """The events of a streamed call, those that arrive together in one list.

        Raises what the provider's refusal means, and UpstreamTimeout when nothing but keep-alives comes.
        """
        settings = self.outbound.settings
        wanted = {"Accept": "text/event-stream", "Accept-Encoding": "identity", **self.headers(), **headers}
        with self.outbound.open(
            "POST",
            self.address(path),
            json_body=body,
            headers=wanted,
            read_seconds=settings.upstream_first_byte_seconds,
            trusted=self.trusted,
        ) as response:
            if response.status != 200:
                raise_failure(response.status, response.headers, read_error(response), key=self.key)
            if "json" in response.headers.get("content-type", ""):
                # Whoever was asked to stream and answers whole mostly tells of an error.
                answer = parse_answer(read_bounded(response, LARGEST_ANSWER_BYTES), key=self.key)
                yield iter([[Event("", answer, None)]])
                return
            yield self._events(response)
            response.drain()

    def _events(self, response: Answer) -> Iterator[list[Event]]:
        reader, settings, spoken = EventReader(), self.outbound.settings, False
        deadline = time.monotonic() + settings.upstream_first_byte_seconds
        while data := response.read1():
            events = reader.feed(data)
            if len(events) > 1 or (events and events[0].name != "ping"):
                if not spoken:
                    spoken = True
                    response.limit_waits(settings.upstream_idle_seconds)
                deadline = time.monotonic() + settings.upstream_idle_seconds
                yield events
            elif time.monotonic() > deadline:  # Comments and pings keep the connection awake and say nothing.
                raise UpstreamTimeout("The provider sends nothing.", "上游长时间没有返回内容。")
        if rest := reader.end():
            yield rest


def together(pieces: Iterable[ChatDelta | None]) -> Iterator[list[ChatDelta]]:
    """What arrived together as one list; what came before a failure is handed on before that is raised."""
    batch: list[ChatDelta] = []
    try:
        for piece in pieces:
            if piece:
                batch.append(piece)
    except ServiceError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _has_none(provider: str, ability: str) -> NotFound:
    return NotFound(
        "Provider {provider} has no models for {ability} here; GET /api/models lists those there are.",
        "服务商 {provider} 没有可用于 {ability} 的模型，可通过 GET /api/models 查看可用模型。",
        details={"reason": "model_not_found"},
        provider=provider,
        ability=ability,
    )


def read_error(response: Answer) -> bytes:
    """The beginning of an error's body."""
    pieces = b""
    while len(pieces) < 2**16 and (piece := response.read1()):
        pieces += piece
    return pieces


def parse_answer(data: bytes, *, key: str = "", field: str = MESSAGES) -> dict[str, Any]:
    """The JSON object of a whole answer; an error that comes as 200 is an error."""
    try:
        answer = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UpstreamFailed("The provider's answer is not JSON.", "上游返回的不是 JSON。", kind="server") from error
    if not isinstance(answer, dict):
        raise UpstreamFailed("The provider's answer is not an object.", "上游返回的内容无法识别。", kind="server")
    # A task that failed has an error and a state; whoever asked after it reads both.
    failed = answer.get("error") and not isinstance(answer.get("status"), str)
    if failed or (answer.get("code") and "output" not in answer and "choices" not in answer):
        raise_failure(200, {}, data, key=key, field=field)
    return answer
