"""Piper's voices: small neural networks (VITS in ONNX), each of one language, many times faster than speech.

`piper-tts` is GPL-3.0; it is imported here and nowhere else. Source: OHF-Voice/piper1-gpl 1.8.
"""

import gc
from typing import Any, ClassVar

import orjson

from services.contracts.speech import Manner, Speaker
from services.engines.base import Engine
from services.errors import Unavailable


class Piper(Engine, Speaker):
    """One voice. Threads phonemize in turns (espeak-ng inside has one state) and synthesize at once."""

    name: ClassVar[str] = "piper"

    def load(self) -> None:
        import onnxruntime
        from piper import PiperVoice
        from piper.config import PhonemeType, PiperConfig

        weights = next(iter(sorted(self.path.glob("*.onnx"))), None)
        if weights is None:
            raise _broken(self.row.id)
        config = PiperConfig.from_dict(orjson.loads((weights.parent / f"{weights.name}.json").read_bytes()))
        if config.phoneme_type not in (PhonemeType.ESPEAK, PhonemeType.TEXT):
            # The other kinds fetch models of their own when they first speak.
            raise _broken(self.row.id)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.settings.cpu_threads
        session = onnxruntime.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        self._voice: Any = PiperVoice(session=session, config=config, download_dir=self.path)

    def unload(self) -> None:
        del self._voice
        gc.collect()

    @property
    def sample_rate(self) -> int:
        return int(self._voice.config.sample_rate)

    def own(self, manner: Manner) -> Manner:
        # Its own speed is not what it says: it rounds the length of each sound up.
        return Manner()

    def say(self, sentence: str, manner: Manner) -> bytes:
        # Double brackets would be read as phonemes.
        chunks = self._voice.synthesize(sentence.replace("[[", "[ ["))
        return b"".join(chunk.audio_int16_bytes for chunk in chunks)


def _broken(name: str) -> Unavailable:
    return Unavailable(
        "The voice {model} cannot be read; pull it again.",
        "语音 {model} 无法读取，请重新拉取。",
        details={"reason": "model_broken", "model": name},
        model=name,
    )
