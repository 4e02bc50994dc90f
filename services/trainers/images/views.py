"""Pictures as a model takes them: read, varied by chance where they are to be, and prepared, some ahead of time."""

import os
import random
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services import pictures
from services.datasets.labelled_pictures import Labelled, LabelledPictures
from services.errors import Invalid, UnsupportedMedia
from services.settings import Settings
from services.trainers.images.augmentation import varied

if TYPE_CHECKING:
    from PIL.Image import Image

# A whole picture is no longer read for each look at it once a small copy of it is kept.
MOST_KEPT_BYTES = 512 * 2**20
# Half of a kept picture is still as large as what the model takes.
KEPT_SIDES = 2
MOST_THREADS = 4
LONGEST_SHAPE = 100
BROKEN = (Invalid, UnsupportedMedia, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError)


class Views:
    """Looks at the pictures of *source* as the processor in *folder* prepares them. Close it."""

    def __init__(self, source: LabelledPictures, folder: Path, settings: Settings) -> None:
        import transformers

        self._source = source
        self._max_pixels = settings.max_image_pixels
        loader: Any = transformers.AutoImageProcessor
        self._processor = loader.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False, backend="pil"
        )
        self._threads = ThreadPoolExecutor(min(MOST_THREADS, settings.cpu_threads or os.cpu_count() or 1))
        self._kept: dict[str, Image] = {}
        self._kept_bytes = 0
        self._side = side_of(self._processor.to_dict())

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)

    def broken(self, listed: Sequence[Labelled], *, check: Callable[[int], None]) -> list[str]:
        """The names of those that cannot be read; *check* hears how many were looked at, and may raise."""
        found = []
        for number, (picture, is_whole) in enumerate(zip(listed, self._ahead(self._is_whole, listed), strict=True)):
            check(number + 1)
            if not is_whole:
                found.append(picture.name)
        return found

    def batches(
        self, listed: Sequence[Labelled], size: int, *, turn: str = ""
    ) -> Iterator[tuple[list[int], list[Any]]]:
        """*listed* by *size* together: their numbers, and their arrays of shape (channels, height, width).

        With *turn* each is varied by chance, as every look in the same turn is.
        """
        arrays = self._ahead(lambda picture: self._array(picture, turn), listed)
        for start in range(0, len(listed), size):
            numbers = list(range(start, min(start + size, len(listed))))
            yield numbers, [next(arrays) for _ in numbers]

    def _array(self, picture: Labelled, turn: str) -> Any:
        if not turn:
            return self._prepared(self._read(picture))
        kept = self._kept.get(picture.name) or self._keep(picture.name, self._read(picture))
        return self._prepared(varied(kept, random.Random(f"{turn}/{picture.name}")))

    def _prepared(self, image: "Image") -> Any:
        return self._processor(image, return_tensors="np")["pixel_values"][0]

    def _read(self, picture: Labelled) -> "Image":
        return pictures.read(self._source.data(picture), max_pixels=self._max_pixels)

    def _keep(self, name: str, image: "Image") -> "Image":
        """*image* as it is varied, no larger than is of use; kept while there is room."""
        smaller = self._side * KEPT_SIDES / min(image.size)
        if smaller < 1:
            image = image.resize((round(image.width * smaller), round(image.height * smaller)))
        size_bytes = 3 * image.width * image.height
        if self._kept_bytes + size_bytes <= MOST_KEPT_BYTES:
            self._kept[name] = image
            self._kept_bytes += size_bytes
        return image

    def _is_whole(self, picture: Labelled) -> bool:
        try:
            image = self._read(picture)
        except BROKEN:
            return False
        return max(image.size) <= LONGEST_SHAPE * min(image.size)

    def _ahead(self, work: Callable[[Labelled], Any], listed: Sequence[Labelled]) -> Iterator[Any]:
        """What *work* makes of each, in order; some are worked on ahead of the one that is asked for."""
        waiting: deque[Future[Any]] = deque()
        for picture in listed:
            waiting.append(self._threads.submit(work, picture))
            if len(waiting) > 4 * MOST_THREADS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def side_of(processor: dict[str, Any]) -> int:
    """The shorter side of what a processor's configuration makes of a picture, in pixels."""
    sizes = [processor.get("crop_size"), processor.get("size")]
    found = [int(value) for size in sizes if isinstance(size, dict) for value in size.values() if value]
    found += [size for size in sizes if isinstance(size, int) and size]
    return max(found, default=224)
