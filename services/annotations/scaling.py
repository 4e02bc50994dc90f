"""Pictures as vision models take them: upright, and no larger than what the model looks at anyway.

Sources: OpenAI's vision guide (2048 pixels a side), Anthropic's (1568 pixels, 5 MB), DashScope's (10 MB).
"""

import io
from pathlib import Path

from services import filetypes, pictures
from services.contracts.images import SourcePicture

LONGEST_SIDES = {"openai": 2048, "anthropic": 1568, "dashscope": 2048}
# A data URL is a third longer than its picture; 5 MB is the least that a vendor takes.
MOST_BYTES = 3_500_000
QUALITIES = (90, 75, 60)


def fit(path: Path, provider: str, *, max_pixels: int) -> SourcePicture:
    """The picture at *path* for a model of *provider*. Raises what `pictures.check` raises."""
    longest = LONGEST_SIDES.get(provider, 2048)
    width, height, plain = pictures.glance(path, max_pixels=max_pixels)
    if plain and max(width, height) <= longest and path.stat().st_size <= MOST_BYTES:
        # It was read whole when it was uploaded; decoding it once more cost as much as all else here.
        data = path.read_bytes()
        return SourcePicture(data, filetypes.media_type(data[: filetypes.HEAD_BYTES]), width, height)
    source = pictures.check(path, max_pixels=max_pixels)
    if max(source.width, source.height) <= longest and len(source.data) <= MOST_BYTES:
        return source
    return _smaller(source, longest, max_pixels)


def _smaller(source: SourcePicture, longest: int, max_pixels: int) -> SourcePicture:
    image = pictures.read(source.data, max_pixels=max_pixels)
    # No gap below one pixel: a panorama of 20,000 x 4 keeps a height.
    image.thumbnail((longest, longest))
    data = b""
    for quality in QUALITIES:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        data = file.getvalue()
        if len(data) <= MOST_BYTES:
            break
    return SourcePicture(data, "image/jpeg", image.width, image.height)
