"""What films are made of, before an encoder has it: x264's code for AVX-512 does not always write the same bytes."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from services import films


def note_frames(monkeypatch: pytest.MonkeyPatch) -> list[list[bytes]]:
    """The frames of each film that is written from now on, in order; the film is written all the same."""
    written: list[list[bytes]] = []
    write = films.write

    def note(target: Path, frames: Iterable[Image.Image], **options: Any) -> None:
        images = list(frames)
        written.append([image.tobytes() for image in images])
        write(target, images, **options)

    monkeypatch.setattr(films, "write", note)
    return written
