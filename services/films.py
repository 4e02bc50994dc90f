"""Films as files: MP4 with H.264, which every browser plays, written frame by frame and read back."""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from services.errors import Invalid

if TYPE_CHECKING:
    from PIL.Image import Image

# Nearly without loss to the eye; x264's own default is 23.
QUALITY = "18"
H264 = "h264"


@dataclass(frozen=True, slots=True)
class FilmFacts:
    """What a film is, as its file says: size in pixels, number of frames, frames a second."""

    width: int
    height: int
    num_frames: int
    fps: float
    codec: str
    pixel_format: str
    parameters: dict[str, Any] | None = None


def write(target: Path, frames: Iterable["Image"], *, fps: float, parameters: dict[str, Any] | None = None) -> None:
    """Write *frames*, RGB pictures of one size, to *target* as MP4; *parameters* go into its comment.

    4:2:0 colour needs even sides: an odd one gets its last row or column twice. The index stands in front,
    so that a browser begins to play before it has the whole file.
    """
    import av

    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(target), "w", format="mp4", options={"movflags": "faststart"}) as container:
        if parameters:
            container.metadata["comment"] = orjson.dumps(parameters).decode()
        stream = container.add_stream("libx264", rate=rate, options={"crf": QUALITY, "preset": "medium"})
        stream.pix_fmt = "yuv420p"
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_image(_even(image))  # type: ignore[no-untyped-call]
            if number == 0:
                stream.width, stream.height = frame.width, frame.height
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def inspect(source: Path, *, field: str = "video") -> FilmFacts:
    """What the film in *source* is. Raises Invalid for what is no film, or not a whole one."""
    import av

    try:
        with av.open(str(source)) as container:
            stream = container.streams.video[0]
            context = stream.codec_context
            frames = sum(1 for packet in container.demux(stream) if packet.size and not packet.is_corrupt)
            if context is None or not frames or frames < stream.frames:
                raise _broken(field)
            return FilmFacts(
                width=context.width,
                height=context.height,
                num_frames=frames,
                fps=float(stream.average_rate or 0),
                codec=context.name,
                pixel_format=context.pix_fmt or "",
                parameters=_note(container.metadata.get("comment")),
            )
    except (av.FFmpegError, IndexError) as error:
        raise _broken(field) from error


def _broken(field: str) -> Invalid:
    return Invalid(field, "The film is broken or truncated.", "视频已损坏或不完整。", reason="broken")


def _note(text: str | None) -> dict[str, Any] | None:
    try:
        found = orjson.loads(text or "null")
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _even(image: "Image") -> "Image":
    """*image* with even sides."""
    width, height = image.width + image.width % 2, image.height + image.height % 2
    if (width, height) == image.size:
        return image
    wider = image.crop((0, 0, width, height))
    if width > image.width:
        wider.paste(image.crop((image.width - 1, 0, image.width, image.height)), (image.width, 0))
    if height > image.height:
        wider.paste(wider.crop((0, image.height - 1, width, image.height)), (0, image.height))
    return wider
