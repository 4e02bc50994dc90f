"""What classifier and detector share: a model of transformers that looks at pictures, many callers' together.

Each caller's own thread prepares its picture; only the forward pass is batched. Pictures are stacked when
their arrays have one shape, so that nothing is padded and each gets the numbers that it would get alone.
Source: huggingface/transformers 5.23, the PIL image processors.
"""

import gc
from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from services.compute.batches import Batches, Crew
from services.contracts.models import Ability, CatalogRow
from services.contracts.recognition import Prepared
from services.engines.base import Engine
from services.engines.folders import ModelFolder
from services.errors import Invalid, ServiceError, Unavailable

if TYPE_CHECKING:
    from PIL.Image import Image

Seen = TypeVar("Seen")

PROCESSOR = "preprocessor_config.json"
MOST_WAITING = 64
# How many pictures go through a model together, and of how many pixels: a GPU wants many. On a processor four of
# 224×224 were the fastest; the activations of eight no longer fit what malloc keeps, and took half as long again.
MOST_TOGETHER = {"cuda": 32, "cpu": 4}
MOST_PIXELS_A_PASS = {"cuda": 8_000_000, "cpu": 4 * 256 * 256}
# A core for itself does best with two.
MOST_A_CORE = 2
# Processors that keep the shape of a picture would make a strip of it that fills the memory.
LONGEST_SHAPE = 100


class VisionEngine(Engine, Generic[Seen]):
    """A loaded model, its processor and the one thread that runs it."""

    auto_class: ClassVar[str]
    """The class of transformers that knows how to load it."""
    word: ClassVar[str]
    """What transformers calls its classes says what they do; some names go on after it."""
    abilities: ClassVar[list[Ability]]

    @classmethod
    def rows_of(cls, folder: ModelFolder) -> Iterator[CatalogRow]:
        # The class that both engines share has no word, and no folders.
        if folder.has(PROCESSOR) and cls.word in folder.architecture:
            yield folder.row(cls.name, cls.abilities, folder.architecture)

    def load(self) -> None:
        import torch
        import transformers

        if self.settings.cpu_threads:
            torch.set_num_threads(self.settings.cpu_threads)
        transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._processor = self._open(transformers.AutoImageProcessor, backend="pil")
        # Weights that were saved in halves too: pictures come in fp32, and a processor is slower with less.
        options = {"use_safetensors": True, "dtype": torch.float32}
        self._model = self._open(getattr(transformers, self.auto_class), **options).to(self._device).eval()
        names = self._model.config.id2label
        self._labels = [str(names.get(number, number)) for number in range(max(names) + 1)]
        threads = torch.get_num_threads()
        self._batches: Batches[Prepared, Seen] = Batches(
            self.look,
            name=f"batches-{self.row.id}",
            max_batch=MOST_TOGETHER[self._device],
            max_waiting=MOST_WAITING,
            crew=_crew_of(threads) if self._device == "cpu" and threads > 1 else None,
        )
        # What a thread of the crew set for itself is also what torch gives to threads that come later.
        torch.set_num_threads(threads)

    def unload(self) -> None:
        self._batches.close()
        del self._model, self._processor
        gc.collect()
        if self._device != "cpu":
            import torch

            torch.cuda.empty_cache()

    @property
    def labels(self) -> list[str]:
        return self._labels

    @abstractmethod
    def _read(self, outputs: Any, looks: list[Prepared]) -> list[Seen]:
        """What the model saw on each picture of one pass, in their order."""

    def prepare(self, image: "Image") -> Prepared:
        if max(image.size) > LONGEST_SHAPE * min(image.size):
            raise _too_long()
        arrays = dict(self._processor(image, return_tensors="np"))
        return Prepared(arrays, *image.size)

    def look(self, looks: list[Prepared]) -> list[Seen | Exception]:
        """What the model sees on each of *looks*, in the calling thread; those of one shape go together."""
        found: dict[int, Seen | Exception] = {}
        for numbers in self._passes(looks):
            found.update(zip(numbers, self._pass([looks[number] for number in numbers]), strict=True))
        return [found[number] for number in range(len(looks))]

    def _open(self, loader: Any, **options: Any) -> Any:
        try:
            return loader.from_pretrained(str(self.path), local_files_only=True, trust_remote_code=False, **options)
        except (OSError, ValueError, ImportError, KeyError) as error:
            raise _unusable(self.row.id, str(error)) from error

    def _passes(self, looks: list[Prepared]) -> Iterator[list[int]]:
        """The numbers of those that go through the model together."""
        alike: dict[tuple[Any, ...], list[int]] = {}
        for number, look in enumerate(looks):
            alike.setdefault(look.shape, []).append(number)
        for numbers in alike.values():
            most = MOST_PIXELS_A_PASS[self._device] // looks[numbers[0]].pixels
            step = max(1, min(most, MOST_TOGETHER[self._device]))
            for start in range(0, len(numbers), step):
                yield numbers[start : start + step]

    def _pass(self, looks: list[Prepared]) -> list[Seen | Exception]:
        """One forward pass; where the GPU has too little memory for all, two of half the size."""
        import torch

        try:
            return [*self._forward(looks)]
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
        if len(looks) == 1:
            return [_too_little_memory()]
        half = len(looks) // 2
        return [*self._pass(looks[:half]), *self._pass(looks[half:])]

    def _forward(self, looks: list[Prepared]) -> list[Seen]:
        import numpy as np
        import torch

        stacked = {name: np.concatenate([look.arrays[name] for look in looks]) for name in looks[0].arrays}
        with torch.inference_mode():
            inputs = {name: torch.from_numpy(array).to(self._device) for name, array in stacked.items()}
            return self._read(self._model(**inputs), looks)


def _crew_of(threads: int) -> Crew:
    """*threads* with a core each, who see a quarter more pictures a second than one thread on all cores.

    Never a team each: libgomp counts those of the whole process, and where they are more than cores, all of them
    sleep and wake at every layer instead of spinning, which made a lone picture take 140 ms instead of 58.
    """
    import torch

    def begin() -> None:
        # Torch gives a thread its number when it is first asked for it, and would take this one back.
        torch.get_num_threads()
        torch.set_num_threads(1)

    return Crew(threads, max_batch=MOST_A_CORE, begin=begin)


def _too_long() -> Invalid:
    return Invalid(
        "image",
        "The picture is more than {most} times as long as wide; send a part of it.",
        "图片长宽比超过 {most}，请裁剪后重新上传。",
        reason="too_long",
        most=LONGEST_SHAPE,
    )


def _unusable(model: str, why: str) -> ServiceError:
    return Unavailable(
        "Model {model} cannot be loaded: {why}",
        "无法加载模型 {model}：{why}",
        details={"reason": "model_unusable", "model": model},
        model=model,
        why=why.splitlines()[0][:300] if why else "?",
    )


def _too_little_memory() -> Unavailable:
    return Unavailable(
        "The GPU has too little memory for this picture; send a smaller one.",
        "显存不足，请缩小图片后重试。",
        details={"reason": "out_of_memory"},
    )
