"""Transcription: from a kept sound to text, heard here or in a child, with the errors of what cannot be heard."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.assemble import Services
from services.compute.progress import Job
from services.contracts.transcription import TranscriptionRequest
from services.domains import transcription
from services.errors import Cancelled, Invalid, NotFound, Unavailable
from tests.sounds import RATE, SENTENCE, Samples, keep, silence, tone, words_of, write_sound


class Listener(Job):
    """Hears how far the job is; *at* is called each time."""

    owner = "somebody"

    def __init__(self, at: Callable[[float], None] = lambda fraction: None) -> None:
        self.told: list[float] = []
        self._at = at

    def progress(self, fraction: float, **metrics: Any) -> None:
        self.told.append(fraction)
        self._at(fraction)


def uploads(services: Services) -> list[Path]:
    return list(services.files.folder("uploads").glob("*"))


def ask(services: Services, path: Path, **asked: Any) -> TranscriptionRequest:
    return TranscriptionRequest(audio=keep(services, path, owner="somebody"), **asked)


def with_settings(services: Services, **changes: Any) -> Services:
    from dataclasses import replace

    return replace(services, settings=services.settings.model_copy(update=changes))


def test_a_spoken_sentence_comes_back(hearing: Services, spoken_wav: Path, spoken: Samples) -> None:
    job = Listener()
    result = transcription.transcribe(ask(hearing, spoken_wav), services=hearing, job=job)
    assert words_of(result.text) == words_of(SENTENCE)
    assert result.text == " ".join(segment.text for segment in result.segments).strip()
    assert (result.language, result.model) == ("en", "whisper-base")
    assert result.duration == pytest.approx(len(spoken) / RATE, abs=0.01)
    assert [segment.id for segment in result.segments] == list(range(len(result.segments)))
    assert job.told == sorted(job.told) and job.told[-1] > 0.5
    assert uploads(hearing) == []


def test_the_sound_of_a_silent_room_is_no_text(hearing: Services, tmp_path: Path) -> None:
    quiet = write_sound(tmp_path / "quiet.mp3", silence(4))
    result = transcription.transcribe(ask(hearing, quiet, model="base"), services=hearing, job=Listener())
    assert (result.text, result.segments, result.language) == ("", [], None)
    assert result.duration == pytest.approx(4, abs=0.1)


def test_a_long_sound_is_heard_in_a_child_and_is_the_same(hearing: Services, spoken_wav: Path) -> None:
    here = transcription.transcribe(ask(hearing, spoken_wav, word_timestamps=True), services=hearing, job=Listener())
    job, hurried = Listener(), with_settings(hearing, audio_child_seconds=1.0)
    there = transcription.transcribe(ask(hurried, spoken_wav, word_timestamps=True), services=hurried, job=job)
    assert there == here
    assert job.told == sorted(job.told) and job.told[-1] > 0.5
    assert uploads(hearing) == []


def test_times_count_from_the_beginning_of_the_whole(hearing: Services, spoken: Samples, tmp_path: Path) -> None:
    before = transcription.WINDOW_SECONDS + 20
    path = write_sound(tmp_path / "late.flac", np.concatenate([silence(before), spoken]))
    patient = with_settings(hearing, audio_child_seconds=1e6)
    result = transcription.transcribe(ask(patient, path, word_timestamps=True), services=patient, job=Listener())
    assert words_of(result.text) == words_of(SENTENCE)
    assert result.language == "en"
    first = result.segments[0]
    assert first.start == pytest.approx(before, abs=1)
    assert first.words and first.words[0].start == pytest.approx(before, abs=1)


@pytest.mark.parametrize(
    ("asked", "reason"), [({"language": "tlh"}, "unknown_language"), ({"language": "xx-YY"}, "unknown_language")]
)
def test_what_no_attempt_can_mend_takes_the_sound_along(
    hearing: Services, spoken_wav: Path, asked: dict[str, str], reason: str
) -> None:
    with pytest.raises(Invalid) as refused:
        transcription.transcribe(ask(hearing, spoken_wav, **asked), services=hearing, job=Listener())
    assert refused.value.details["reason"] == reason
    assert uploads(hearing) == []


def test_more_than_the_longest_sound_is_refused(hearing: Services, tmp_path: Path) -> None:
    short = with_settings(hearing, max_audio_seconds=2.0)
    with pytest.raises(Invalid) as refused:
        transcription.transcribe(ask(short, write_sound(tmp_path / "x.wav", tone(4))), services=short, job=Listener())
    assert refused.value.details == {"field": "audio", "reason": "too_long"}


def test_who_cancels_ends_it_and_may_start_it_again(hearing: Services, spoken_wav: Path) -> None:
    def cancel(_fraction: float) -> None:
        raise Cancelled()

    request = ask(hearing, spoken_wav)
    with pytest.raises(Cancelled):
        transcription.transcribe(request, services=hearing, job=Listener(cancel))
    again = transcription.transcribe(request, services=hearing, job=Listener())
    assert words_of(again.text) == words_of(SENTENCE)


def test_somebody_elses_sound_is_not_there(hearing: Services, spoken_wav: Path) -> None:
    request = TranscriptionRequest(audio=keep(hearing, spoken_wav, owner="another"))
    with pytest.raises(NotFound):
        transcription.transcribe(request, services=hearing, job=Listener())
    assert len(uploads(hearing)) == 1


@pytest.mark.parametrize(
    ("model", "error"), [("large-v3", Unavailable), ("huge", NotFound), ("smollm2-135m-instruct", NotFound)]
)
def test_a_wrong_model_is_told_before_there_is_a_job(hearing: Services, model: str, error: type[Exception]) -> None:
    request = TranscriptionRequest(audio="0" * 32 + ".snd", model=model)
    with pytest.raises(error):
        transcription.lane(request, services=hearing, owner="somebody")


@pytest.mark.parametrize("size", ["tiny", "base", "small", "medium", "large", "large-v2", "large-v3", "turbo"])
def test_every_size_of_system_3_is_in_the_catalog(hearing: Services, size: str) -> None:
    row = hearing.catalog.find(size)
    assert (row.engine, row.abilities) == ("whisper", ["transcription"])
    assert all(file.sha256 for source in row.sources for file in source.files if file.name == "model.bin")


@pytest.mark.parametrize(
    ("sent", "code"), [("zh-CN", "zh"), ("EN", "en"), ("en_US", "en"), ("auto", None), ("", None), (None, None)]
)
def test_a_language_is_told_by_its_code(sent: str | None, code: str | None) -> None:
    assert TranscriptionRequest(audio="0" * 32 + ".snd", language=sent).language == code
