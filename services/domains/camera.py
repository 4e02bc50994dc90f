"""The camera: a frame goes the way of a single picture, so that all cameras and all routes share one batch."""

import time
from typing import TYPE_CHECKING, Any

from services import filetypes
from services.compute import registry
from services.contracts.camera import Frame, Look, Mode
from services.errors import UnsupportedMedia

if TYPE_CHECKING:
    from services.assemble import Services

FRAMES = {"image/jpeg", "image/webp", "image/png"}
# By mode: the function that looks, and what its answer calls what it found.
LOOKS: dict[Mode, tuple[str, str]] = {
    "faces": ("faces.recognize", "faces"),
    "detect": ("recognition.detect", "detections"),
}


def look(frame: Frame, *, services: "Services") -> Look:
    """What *frame* shows.

    Raises UnsupportedMedia for bytes of another kind, and what the mode's function raises: Invalid for a broken
    picture, Unavailable for a model that is not installed, Busy when too many wait.
    """
    started = time.perf_counter()
    found = filetypes.media_type(frame.picture[: filetypes.HEAD_BYTES])
    if found not in FRAMES:
        raise UnsupportedMedia(
            "The frame's bytes are {found}; send JPEG or WebP.", "帧内容为 {found}，请发送 JPEG 或 WebP。", found=found
        )
    name, kind = LOOKS[frame.options.mode]
    asked = registry.find(name).request.model_validate(_asked(frame))
    answer = services.calls.call(name, asked, services=services).model_dump()
    return Look.model_validate(
        {"kind": kind, "found": answer[kind], "ms": round((time.perf_counter() - started) * 1000, 1)}
    )


def _asked(frame: Frame) -> dict[str, Any]:
    """The request's fields; a threshold that nobody named is the function's own."""
    options = frame.options.model_dump(exclude={"mode"}, exclude_none=True)
    return {"attached": frame.picture, "owner": frame.owner, "language": frame.language, **options}
