"""Whisper: what faster-whisper hears when it is called directly, and nothing where nobody speaks."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from services.contracts.models import CatalogRow
from services.contracts.transcription import Hearing, HearingManner, Segment
from services.engines.pool import ModelPool
from services.engines.whisper import Whisper
from services.errors import Invalid, Unavailable
from services.settings import Settings
from tests.sounds import SENTENCE, Samples, silence, tone, words_of

ROW = CatalogRow(id="whisper-base", name="base", abilities=["transcription"], licence="MIT", engine="whisper")


@pytest.fixture
def engine(ear: ModelPool, sound_models: Path) -> Iterator[Whisper]:
    with ear.lease(ROW, lambda: sound_models / ROW.id) as leased:
        assert isinstance(leased, Whisper)
        yield leased


def hear(engine: Whisper, samples: Samples, **asked: object) -> tuple[Hearing, list[Segment]]:
    hearing = engine.hear(samples.astype(np.float32), HearingManner.model_validate(asked))
    return hearing, list(hearing.pieces)


def test_a_sentence_is_what_the_library_hears(engine: Whisper, spoken: Samples, sound_models: Path) -> None:
    from faster_whisper import WhisperModel

    ours = engine._model.model
    direct = WhisperModel(str(sound_models / ROW.id), device=ours.device, compute_type=ours.compute_type)
    expected, info = direct.transcribe(spoken.astype(np.float32), vad_filter=True, word_timestamps=True)
    hearing, pieces = hear(engine, spoken, word_timestamps=True)
    assert hearing.language == info.language == "en"
    assert [(piece.start, piece.end, piece.text) for piece in pieces] == [(s.start, s.end, s.text) for s in expected]
    assert words_of(pieces[0].text) == words_of(SENTENCE)


def test_words_follow_one_another_in_their_sentence(engine: Whisper, spoken: Samples) -> None:
    _, pieces = hear(engine, spoken, language="en", word_timestamps=True)
    words = [word for piece in pieces for word in piece.words or []]
    assert words_of(" ".join(word.word for word in words)) == words_of(SENTENCE)
    assert all(0 <= word.start <= word.end <= len(spoken) / 16_000 + 0.1 for word in words)
    assert [word.start for word in words] == sorted(word.start for word in words)


def test_two_who_speak_at_once_are_both_heard(engine: Whisper, spoken: Samples) -> None:
    both = [spoken, np.concatenate([spoken, silence(0.5), spoken])]
    with ThreadPoolExecutor(2) as threads:
        texts = list(threads.map(lambda samples: hear(engine, samples, language="en")[1], both))
    assert [words_of(" ".join(piece.text for piece in pieces)) for pieces in texts] == [
        words_of(SENTENCE),
        words_of(SENTENCE) * 2,
    ]


@pytest.mark.parametrize("samples", [silence(0.01), silence(6), tone(6), 0.01 * tone(3, hertz=50)])
def test_nothing_is_invented_where_nobody_speaks(engine: Whisper, samples: Samples) -> None:
    hearing, pieces = hear(engine, samples)
    assert (hearing.language, pieces) == (None, [])


def test_silence_in_a_named_language_keeps_its_name(engine: Whisper) -> None:
    assert hear(engine, silence(1), language="de")[0].language == "de"


def test_a_language_that_it_does_not_know_is_told(engine: Whisper) -> None:
    with pytest.raises(Invalid) as refused:
        engine.hear(silence(1), HearingManner(language="tlh"))
    assert refused.value.details == {"field": "language", "reason": "unknown_language"}
    assert "zh" in refused.value.say("zh")


def test_a_model_without_its_tokenizer_asks_no_hub(tmp_path: Path, settings: Settings) -> None:
    with pytest.raises(Unavailable) as refused:
        Whisper(ROW, tmp_path, settings).load()
    assert refused.value.details["reason"] == "model_incomplete"


def test_an_unloaded_model_gives_its_memory_back(settings: Settings, sound_models: Path) -> None:
    engine = Whisper(ROW, sound_models / ROW.id, settings)
    engine.load()
    inner = engine._model.model
    assert inner.model_is_loaded
    engine.unload()
    assert not inner.model_is_loaded
