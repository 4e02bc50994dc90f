"""What a frozen backbone sees, computed once: a turn of looks at all pictures, kept on the disk piece by piece.

A frozen backbone says the same of the same look for ever, so an epoch of the head alone takes milliseconds. With
variation a few turns of looks are enough, and the epochs take them one after another.
"""

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from services.datasets.labelled_pictures import Labelled
from services.files import full_disk_told
from services.trainers.images.model import ImageModel
from services.trainers.images.views import Views

# A piece is what is lost when the process is killed: some seconds.
PIECE = 256
# As with the engine: the activations of more no longer fit what malloc keeps.
TOGETHER = {"cuda": 64, "cpu": 4}
TENSOR = "features"


class Features:
    """The features of pictures, shape (pictures, features), kept in *folder* under names that begin with *key*."""

    def __init__(self, model: ImageModel, views: Views, folder: Path, key: str) -> None:
        self._model, self._views, self._folder, self._key = model, views, folder, key

    def of(
        self, part: str, listed: Sequence[Labelled], *, turn: str = "", check: Callable[[int], None] = lambda done: None
    ) -> Any:
        """The features of *listed*, in *turn* where there is one; *check* hears how many are done, and may raise."""
        import torch

        pieces = []
        for start in range(0, len(listed), PIECE):
            check(start)
            place = self._folder / f"{self._key}-{part}-{turn or 'plain'}-{start}.safetensors"
            pieces.append(self._piece(place, listed[start : start + PIECE], turn, partial(_later, check, start)))
        return torch.cat(pieces)

    def forget(self) -> None:
        """Remove what was kept."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _piece(self, place: Path, listed: Sequence[Labelled], turn: str, check: Callable[[int], None]) -> Any:
        import torch
        from safetensors.torch import load_file, save_file

        if place.is_file():
            return load_file(place)[TENSOR]
        found = []
        for numbers, arrays in self._views.batches(listed, TOGETHER[self._model.device.type], turn=turn):
            check(numbers[0])
            found.append(self._model.features(arrays))
        features = torch.cat(found)
        self._folder.mkdir(parents=True, exist_ok=True)
        with full_disk_told():
            part = place.with_suffix(".part")
            save_file({TENSOR: features}, part)
            part.replace(place)
        return features


def _later(check: Callable[[int], None], start: int, done: int) -> None:
    check(start + done)
