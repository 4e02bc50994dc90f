"""What the web and the engine host say to each other: JSON, errors as they are, and names beside the domains'."""

from typing import Any

import orjson
from pydantic import BaseModel

from services import errors

TOKEN_HEADER = "X-Engine-Token"
# What the host answers of itself; no domain has such names.
HEALTH, KNOCK, NOTICES = "host.health", "host.knock", "host.notices"


# A camera's frame, and what else is sent beside the JSON of a request.
MOST_ATTACHED_BYTES = 8 * 2**20


def pack_request(request: BaseModel) -> bytes:
    """*request* as JSON, and behind a line's end what is attached to it."""
    packed = request.model_dump_json().encode()
    attached: bytes = getattr(request, "attached", b"")
    return b"%s\n%s" % (packed, attached) if attached else packed


def function_name(question: bytes) -> str:
    """Which function a question is for: what stands in its first line, and its request behind that."""
    return question[: question.find(b"\n")].decode(errors="replace")


def unpack_request(kind: type[BaseModel], question: bytes) -> BaseModel:
    """The request in *question*, which `pack_request` packed."""
    start = question.find(b"\n") + 1
    end = question.find(b"\n", start)
    request = kind.model_validate_json(question[start : None if end < 0 else end])
    if end >= 0:
        request.attached = question[end + 1 :]  # type: ignore[attr-defined]
    return request


def pack(answer: Any) -> bytes:
    """*answer* as JSON: pydantic models, dataclasses and plain values."""
    return orjson.dumps(answer, default=lambda model: model.model_dump(mode="json"))


def pack_error(error: errors.ServiceError) -> bytes:
    """*error* as a JSON object that `raise_packed` raises again."""
    return orjson.dumps({"class": type(error).__name__, "attributes": vars(error)})


def raise_packed(packed: dict[str, Any]) -> None:
    """Raise the error that `pack_error` packed."""
    raise unpack_error(packed)


def unpack_error(packed: dict[str, Any]) -> errors.ServiceError:
    """The error that `pack_error` packed."""
    kind = getattr(errors, packed["class"], errors.ServiceError)
    error: errors.ServiceError = kind.__new__(kind)
    error.__dict__.update(packed["attributes"])
    error.args = (error.sentences["en"],)
    return error
