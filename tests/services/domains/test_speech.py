"""Speech as the domain gives it: real voices, files that are measured by decoding them."""

from pathlib import Path
from typing import Any

import pytest

from services import sentences
from services.assemble import Services
from services.compute.progress import Job
from services.contracts.speech import SpeechRequest, SpeechResult
from services.domains import speech
from services.errors import Cancelled, Invalid
from tests.voices import decode, fundamental

TEXT = "The quick brown fox jumps over the lazy dog, and then it sleeps in the warm sun."
CHINESE = "你好，世界！今天天气很好，我们去公园走走吧。"


class Watched(Job):
    """A job that remembers what it was told and ends at its *last* sentence."""

    def __init__(self, last: int = 1_000_000) -> None:
        self.heard: list[tuple[float, dict[str, Any]]] = []
        self.last = last

    def progress(self, fraction: float, **metrics: Any) -> None:
        self.heard.append((fraction, metrics))
        if len(self.heard) > self.last:
            raise Cancelled(reason="cancelled")


def speak(services: Services, text: str = TEXT, job: Job | None = None, **wanted: Any) -> SpeechResult:
    request = SpeechRequest.model_validate({"text": text, **wanted})
    return speech.synthesize(request, services=services, job=job or Job())


def path_of(services: Services, result: SpeechResult) -> Path:
    return services.files.find(result.name).path


def left(services: Services) -> list[str]:
    folder = services.files.folder("audio")
    return sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []


@pytest.mark.parametrize("form", ["mp3", "wav", "ogg"])
@pytest.mark.parametrize("voice", ["piper-en-us-joe", "espeak-en-us"])
def test_the_duration_is_that_of_the_file(hearing: Services, form: str, voice: str) -> None:
    result = speak(hearing, voice=voice, format=form)
    samples, rate = decode(path_of(hearing, result))
    assert (result.format, result.sample_rate, result.model) == (form, rate, voice)
    assert result.duration == pytest.approx(len(samples) / rate, abs=0.03)
    assert 3 < result.duration < 8


@pytest.mark.parametrize("voice", ["piper-en-us-joe", "espeak-en-us"])
@pytest.mark.parametrize("speed", [0.25, 0.5, 2, 4])
def test_speed_divides_the_duration(hearing: Services, voice: str, speed: float) -> None:
    usual, changed = (speak(hearing, voice=voice, format="wav", speed=by).duration for by in (1, speed))
    # Piper draws the length of each sound by chance.
    assert changed == pytest.approx(usual / speed, rel=0.25)


@pytest.mark.parametrize("pitch", [-6, 7, 12])
def test_pitch_moves_the_voice_and_not_the_time(hearing: Services, pitch: int) -> None:
    usual, moved = (speak(hearing, CHINESE, voice="espeak-cmn", format="wav", pitch=by) for by in (0, pitch))
    heights = [fundamental(*decode(path_of(hearing, result))) for result in (usual, moved)]
    assert heights[1] / heights[0] == pytest.approx(2 ** (pitch / 12), rel=0.15)
    assert moved.duration == pytest.approx(usual.duration, rel=0.05)


def test_chinese_speaks_as_a_woman_and_as_a_man(hearing: Services) -> None:
    results = [speak(hearing, CHINESE, voice=f"default-{gender}", language="zh") for gender in ("female", "male")]
    woman, man = (fundamental(*decode(path_of(hearing, result))) for result in results)
    assert woman > 1.3 * man
    assert {result.model for result in results} == {"espeak-cmn"}


def test_two_sentences_have_a_pause(hearing: Services) -> None:
    one = speak(hearing, "Hello there.", voice="espeak-en", format="wav").duration
    two = speak(hearing, "Hello there. Hello there.", voice="espeak-en", format="wav").duration
    assert two == pytest.approx(2 * one + speech.PAUSE_SECONDS, rel=0.02)


def test_progress_goes_by_sentences(hearing: Services) -> None:
    job = Watched()
    speak(hearing, "One. Two. Three. Four.", voice="espeak-en", job=job)
    assert [fraction for fraction, _ in job.heard] == [0, 0.25, 0.5, 0.75]
    assert job.heard[-1][1] == {"sentence": 4, "sentences": 4}


def test_a_cancelled_text_ends_between_two_sentences_and_leaves_nothing(hearing: Services) -> None:
    job = Watched(last=2)
    with pytest.raises(Cancelled):
        speak(hearing, "One. Two. Three. Four.", voice="espeak-en", job=job)
    assert len(job.heard) == 3
    assert left(hearing) == []


@pytest.mark.parametrize("voice", ["espeak-en", "espeak-cmn"])
@pytest.mark.parametrize("text", ["…", "…。…", "\u200b", "---"])
def test_a_text_without_words_is_refused_and_leaves_nothing(hearing: Services, voice: str, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        speak(hearing, text, voice=voice)
    assert caught.value.details == {"field": "text", "reason": "nothing_to_say"}
    assert left(hearing) == []


def test_the_longest_text_is_spoken_to_its_end(hearing: Services) -> None:
    text = "天地玄黄，宇宙洪荒。" * 2000
    job = Watched()
    result = speak(hearing, text, voice="espeak-cmn", format="wav", speed=4, job=job)
    assert len(job.heard) == len(sentences.split(text)) == 2000
    samples, rate = decode(path_of(hearing, result))
    assert result.duration == pytest.approx(len(samples) / rate, abs=0.03)
    assert result.duration > 600
    assert abs(samples[-10 * rate :]).max() > 1000


def test_the_file_is_the_owners(hearing: Services) -> None:
    job = Watched()
    job.owner, job.id = "user-1", "job-1"
    kept = hearing.files.find(speak(hearing, voice="espeak-en", job=job).name)
    assert (kept.owner, kept.job_id, kept.kind, kept.media_type) == ("user-1", "job-1", "audio", "audio/mpeg")
    assert kept.url == f"/outputs/audio/{kept.name}"


def test_small_voices_wait_beside_the_gpu(hearing: Services) -> None:
    request = SpeechRequest(text="a", voice="espeak-en")
    assert speech.lane(request, services=hearing, owner="") == "cpu"
