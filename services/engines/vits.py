"""transformers' VITS: one network from letters to sound, such as the thousand languages of facebook/mms-tts.

The same sentence sounds the same each time: the noise in it is drawn from a fixed seed. Source:
huggingface/transformers 5.23.
"""

import gc
import importlib.util
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from services.contracts.models import CatalogRow, VoiceFlags
from services.contracts.speech import Manner, Speaker
from services.engines.base import Engine
from services.engines.folders import ModelFolder
from services.errors import Unavailable
from services.languages import canonical

if TYPE_CHECKING:
    import numpy

TOKENIZER = "tokenizer_config.json"
SEED = 0
LOUDEST = 32767


class Vits(Engine, Speaker):
    """One voice; threads take turns, since the noise comes from the process's generator."""

    name: ClassVar[str] = "vits"

    @classmethod
    def rows_of(cls, folder: ModelFolder) -> Iterator[CatalogRow]:
        if folder.has(TOKENIZER) and folder.config.get("model_type") == "vits":
            language = folder.read(TOKENIZER).get("language")
            tag = canonical(language) if isinstance(language, str) else None
            voice = VoiceFlags(languages=[tag] if tag else [])
            yield folder.row(cls.name, ["speech"], "A voice of transformers' VITS", voice=voice)

    def load(self) -> None:
        import torch
        import transformers

        if self.settings.cpu_threads:
            torch.set_num_threads(self.settings.cpu_threads)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        where: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        self._tokenizer: Any = transformers.VitsTokenizer.from_pretrained(str(self.path), **where)
        _check_letters(self._tokenizer, self.row.id)
        model: Any = transformers.VitsModel.from_pretrained(str(self.path), use_safetensors=True, **where)
        self._model = model.eval().to(self._device)
        self._turn = threading.Lock()

    def unload(self) -> None:
        import torch

        del self._model, self._tokenizer
        gc.collect()
        if self._device == "cuda":
            torch.cuda.empty_cache()

    @property
    def sample_rate(self) -> int:
        return int(self._model.config.sampling_rate)

    def own(self, manner: Manner) -> Manner:
        # Its own speed is not what it says: it rounds the length of each sound up.
        return Manner()

    def say(self, sentence: str, manner: Manner) -> bytes:
        import numpy

        wave = self.waveform(sentence)
        samples: bytes = (numpy.clip(wave, -1, 1) * LOUDEST).astype(numpy.int16).tobytes()
        return samples

    def waveform(self, sentence: str) -> "numpy.ndarray[Any, Any]":
        """*sentence* as the library gives it after `torch.manual_seed(SEED)`; empty without a letter it knows."""
        import numpy
        import torch

        inputs = self._tokenizer(sentence, return_tensors="pt").to(self._device)
        # One blank stands around each letter, so that a single one is what nothing looks like.
        if inputs["input_ids"].shape[1] < 2:
            return numpy.zeros(0, numpy.float32)
        devices = [torch.cuda.current_device()] if self._device == "cuda" else []
        with self._turn, torch.inference_mode(), torch.random.fork_rng(devices):
            torch.manual_seed(SEED)
            spoken = self._model(**inputs)
        wave: numpy.ndarray[Any, Any] = spoken.waveform[0].float().cpu().numpy()
        return wave


def _check_letters(tokenizer: Any, name: str) -> None:
    """Refuse a voice whose letters need a package that is not here: it would leave out most of what it reads."""

    needed = [("uroman", "uroman"), ("phonemizer", "phonemizer")]
    wanted = [tokenizer.is_uroman, tokenizer.phonemize]
    missing = [package for (package, module), is_ in zip(needed, wanted, strict=True) if is_ and not _there(module)]
    if missing:
        raise Unavailable(
            "The voice {model} needs a package: pip install {package}",
            "语音 {model} 需要安装：pip install {package}",
            details={"reason": "package_missing", "package": missing[0]},
            model=name,
            package=missing[0],
        )


def _there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
