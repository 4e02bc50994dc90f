"""Whisper by CTranslate2: speech of a hundred languages becomes text, and silence none."""

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from services import sound
from services.contracts.transcription import Hearing, HearingManner, Segment, SegmentFacts, Transcriber, Word
from services.engines.base import Engine
from services.errors import Invalid, Unavailable

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

    from services.sound import Samples

log = logging.getLogger(__name__)


class Whisper(Engine, Transcriber):
    """A checkpoint of faster-whisper: int8 on a CPU, float16 on a GPU.

    Many threads may call it; the library lets them take turns, half a minute of speech long.
    """

    name: ClassVar[str] = "whisper"

    def load(self) -> None:
        if not (self.path / "tokenizer.json").is_file():
            # The library would ask the hub for it.
            raise _incomplete(self.row.id)
        self._model = self._on_gpu() or self._open("cpu", "int8")

    def _on_gpu(self) -> "WhisperModel | None":
        """The model on the first GPU; None where there is none that CTranslate2 can use."""
        import ctranslate2
        import numpy

        if not ctranslate2.get_cuda_device_count():
            return None
        try:
            model = self._open("cuda", "float16")
            # That a library of CUDA is missing is noticed only here.
            model.encode(model.feature_extractor(numpy.zeros(sound.SAMPLE_RATE, dtype=numpy.float32)))
        except (RuntimeError, ValueError) as error:
            log.warning("whisper runs without the GPU", extra={"model": self.row.id, "reason": str(error)})
            return None
        return model

    def _open(self, device: str, compute_type: str) -> "WhisperModel":
        from faster_whisper import WhisperModel

        threads = self.settings.cpu_threads
        return WhisperModel(
            str(self.path), device=device, compute_type=compute_type, cpu_threads=threads, local_files_only=True
        )

    def unload(self) -> None:
        self._model.model.unload_model()
        del self._model

    def hear(self, samples: "Samples", manner: HearingManner) -> Hearing:
        language = manner.language
        if language and language not in self._model.supported_languages:
            raise _unknown_language(language, self.row.id, self._model.supported_languages)
        if manner.task == "translate" and not self._model.model.is_multilingual:
            raise _only_english(self.row.id)
        # Without a temperature the library begins at 0 and rises where the words repeat themselves.
        chosen = {} if manner.temperature is None else {"temperature": manner.temperature}
        segments, info = self._model.transcribe(
            samples,
            language=language,
            task=manner.task,
            word_timestamps=manner.word_timestamps,
            initial_prompt=manner.prompt,
            vad_filter=True,
            **chosen,
        )
        if not info.duration_after_vad:
            # Nobody speaks; the language that is guessed then means nothing.
            return Hearing(language, iter(()))
        return Hearing(info.language, _pieces(segments, facts=manner.facts))


def _pieces(segments: Iterable[Any], *, facts: bool) -> Iterator[Segment]:
    for number, segment in enumerate(segments):
        words = None if segment.words is None else [_word(word) for word in segment.words]
        told = _facts(segment) if facts else None
        yield Segment(id=number, start=segment.start, end=segment.end, text=segment.text, words=words, facts=told)


def _facts(segment: Any) -> SegmentFacts:
    return SegmentFacts(
        seek=segment.seek,
        tokens=segment.tokens,
        temperature=segment.temperature or 0.0,
        avg_logprob=segment.avg_logprob,
        compression_ratio=segment.compression_ratio,
        no_speech_prob=segment.no_speech_prob,
    )


def _word(word: Any) -> Word:
    return Word(word=word.word.strip(), start=word.start, end=word.end, probability=round(word.probability, 3))


def _incomplete(model: str) -> Unavailable:
    return Unavailable(
        "Model {model} has no tokenizer.json; remove it and pull it again.",
        "模型 {model} 缺少 tokenizer.json，请删除后重新下载。",
        details={"reason": "model_incomplete", "model": model},
        model=model,
    )


def _unknown_language(language: str, model: str, known: list[str]) -> Invalid:
    return Invalid(
        "language",
        "Model {model} does not know the language {language}; it knows {known}.",
        "模型 {model} 不支持语言 {language}，支持：{known}。",
        reason="unknown_language",
        model=model,
        language=repr(language),
        known=", ".join(known),
    )


def _only_english(model: str) -> Invalid:
    return Invalid(
        "model",
        "Model {model} knows English alone and cannot translate; take one that knows several languages.",
        "模型 {model} 仅支持英语，无法翻译，请使用多语言模型。",
        reason="only_english",
        model=model,
    )
