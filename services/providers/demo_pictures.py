"""What the offline stand-in paints and films: patterns from the prompt's digest, which say that they are demos."""

import hashlib
import math
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services import films, pictures
from services.contracts.images import ImageModel, ImageRequest, PaintedPictures, Picture, SourcePicture
from services.contracts.video import ShotFilm, VideoModel, VideoRequest

if TYPE_CHECKING:
    from PIL.Image import Image

    from services.compute.progress import Job

SIDE = 512
# The pattern is computed at most this wide and enlarged: it is smooth, and a demo shall be quick.
FINE_SIDE = 256
WAVES = 5
LONGEST_CAPTION = 160
HARMLESS_PIXELS = 100_000_000


class DemoPainter(ImageModel):
    """Paints waves of colour: the same prompt and seed give the same picture, everywhere."""

    def paint(self, request: ImageRequest, *, source: SourcePicture | None, job: "Job") -> PaintedPictures:
        seed = _seed(request.seed, request.prompt)
        width, height = _size(request.width, request.height, source)
        painted = []
        for number in range(request.n):
            job.progress(number / request.n, picture=number + 1)
            image = _pattern(request.prompt, seed + number, width, height)
            if source:
                image = _changed(source, image, request.strength)
            painted.append(Picture(pictures.png(_captioned(image, request.prompt)), seed + number))
        job.progress(1.0)
        used: dict[str, Any] = {"num_inference_steps": None, "guidance_scale": None, "negative_prompt": None}
        return PaintedPictures(painted, used | {"demo": True}, revision="demo")


class DemoCamera(VideoModel):
    """Films the same waves moving."""

    def film(self, request: VideoRequest, *, target: Path, source: SourcePicture | None, job: "Job") -> ShotFilm:
        seed = _seed(request.seed, request.prompt)
        width, height = _size(request.width, request.height, source, default=SIDE // 2)
        note = {"prompt": request.prompt, "seed": seed, "demo": True}

        def frames() -> Iterator["Image"]:
            for number in range(request.num_frames):
                job.progress(number / request.num_frames, frame=number + 1)
                moved = number / request.num_frames
                image = _pattern(request.prompt, seed, width, height, moved=moved)
                yield _captioned(_changed(source, image, moved) if source else image, request.prompt)

        films.write(target, frames(), fps=request.fps, parameters=note)
        used: dict[str, Any] = {"num_inference_steps": None, "guidance_scale": None, "negative_prompt": None}
        return ShotFilm(seed, used | {"demo": True}, revision="demo")


def _seed(seed: int | None, prompt: str) -> int:
    """The seed, or one that the prompt gives."""
    return seed if seed is not None else int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "big") >> 1


def _size(width: int | None, height: int | None, source: SourcePicture | None, default: int = SIDE) -> tuple[int, int]:
    if source and not (width or height):
        shrunk = min(1.0, 2 * SIDE / max(source.width, source.height))
        return max(1, round(source.width * shrunk)), max(1, round(source.height * shrunk))
    return width or height or default, height or width or default


def _pattern(prompt: str, seed: int, width: int, height: int, *, moved: float = 0.0) -> "Image":
    """Waves in three colours; *moved*, 0 to 1, is how far they went on their way round."""
    import numpy as np
    from PIL import Image

    dice = np.random.default_rng(list(hashlib.sha256(f"{seed}:{prompt}".encode()).digest()))
    shrunk = min(1.0, FINE_SIDE / max(width, height))
    columns, rows = max(1, int(width * shrunk)), max(1, int(height * shrunk))
    y, x = np.mgrid[0:rows, 0:columns] / max(rows, columns)
    light = np.zeros((rows, columns, 3))
    for _ in range(WAVES):
        angle, speed, phase = dice.uniform(0, math.tau), dice.integers(1, 3), dice.uniform(0, math.tau)
        length, colour = dice.uniform(4, 16), dice.uniform(0.2, 1.0, 3)
        way = (x * math.cos(angle) + y * math.sin(angle)) * length + np.sin(x * length) * np.cos(y * length)
        light += colour * np.sin(way + phase + math.tau * speed * moved)[..., None]
    shades = np.clip(127.5 + 127.5 * np.tanh(light / 2), 0, 255).astype("uint8")
    return Image.fromarray(shades).resize((width, height), Image.Resampling.BICUBIC)


def _changed(source: SourcePicture, pattern: "Image", strength: float) -> "Image":
    """The source with *pattern* over it as strongly as *strength* says; at 0 it is the source."""
    from PIL import Image

    given = pictures.read(source.data, max_pixels=HARMLESS_PIXELS).resize(pattern.size, Image.Resampling.LANCZOS)
    return Image.blend(given, pattern, strength)


def _captioned(image: "Image", prompt: str) -> "Image":
    """*image* with the word `demo` and what of the prompt the built-in font can write."""
    from PIL import ImageDraw, ImageFont

    font = ImageFont.load_default(max(10, image.width // 28))
    words = "".join(sign if " " <= sign <= "~" else " " for sign in prompt[:LONGEST_CAPTION]).split()
    lines = textwrap.wrap("demo: " + " ".join(words), 40)[:4] if words else ["demo"]
    text = "\n".join(lines)
    draw = ImageDraw.Draw(image, "RGBA")
    margin = image.width // 40 + 2
    box = draw.multiline_textbbox((margin * 2, margin * 2), text, font=font)
    draw.rectangle((box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin), fill=(0, 0, 0, 140))
    draw.multiline_text((margin * 2, margin * 2), text, font=font, fill="white")
    return image
