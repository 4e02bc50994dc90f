"""Sound files that are written: whole, of the length and height that was asked for."""

import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest

from services.contracts.speech import SoundFormat
from services.soundfiles import SoundWriter
from tests.voices import decode, fundamental, pcm_tone

RATE = 22_050
FORMATS: list[SoundFormat] = ["mp3", "wav", "ogg"]


def write(
    folder: Path, form: SoundFormat, *, speed: float = 1, pitch: float = 0, rate: int = RATE
) -> tuple[Path, float]:
    target = folder / f"sound.{form}"
    with SoundWriter(target, form, rate, speed=speed, pitch=pitch) as sound:
        for piece in np.array_split(pcm_tone(3, rate=rate), 7):
            sound.write(piece.tobytes())
    return target, sound.seconds


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 44_100])
def test_each_format_is_decoded_to_what_was_written(tmp_path: Path, form: SoundFormat, rate: int) -> None:
    path, seconds = write(tmp_path, form, rate=rate)
    samples, found = decode(path)
    assert len(samples) / found == pytest.approx(seconds, abs=0.03)
    assert seconds == pytest.approx(3, abs=0.03)
    assert fundamental(samples, found) == pytest.approx(220, rel=0.02)


@pytest.mark.parametrize("form", FORMATS)
def test_the_file_is_what_it_is_called(tmp_path: Path, form: SoundFormat) -> None:
    with av.open(str(write(tmp_path, form)[0])) as container:
        assert container.format.name == form
        assert container.streams.audio[0].channels == 1


@pytest.mark.parametrize("speed", [0.25, 0.5, 0.9, 1.7, 2, 4])
def test_speed_changes_the_length_and_not_the_height(tmp_path: Path, speed: float) -> None:
    path, seconds = write(tmp_path, "wav", speed=speed)
    samples, rate = decode(path)
    assert seconds == pytest.approx(3 / speed, rel=0.02)
    assert len(samples) / rate == pytest.approx(seconds, abs=0.001)
    assert fundamental(samples, rate) == pytest.approx(220, rel=0.02)


@pytest.mark.parametrize("pitch", [-24, -12, -3, 3, 12, 24])
def test_pitch_changes_the_height_and_not_the_length(tmp_path: Path, pitch: float) -> None:
    path, seconds = write(tmp_path, "wav", pitch=pitch)
    samples, rate = decode(path)
    assert seconds == pytest.approx(3, rel=0.02)
    assert fundamental(samples, rate) == pytest.approx(220 * 2 ** (pitch / 12), rel=0.03)


def test_without_a_change_a_wav_holds_the_very_samples(tmp_path: Path) -> None:
    samples, _ = decode(write(tmp_path, "wav")[0])
    assert np.array_equal(samples, pcm_tone(3, rate=RATE))


def test_silence_is_silent_and_as_long_as_asked(tmp_path: Path) -> None:
    with SoundWriter(tmp_path / "a.wav", "wav", RATE) as sound:
        sound.silence(0.5)
    samples, _ = decode(tmp_path / "a.wav")
    assert (len(samples), int(np.abs(samples).max())) == (RATE // 2, 0)


def test_an_hour_takes_no_more_memory_than_a_minute(tmp_path: Path) -> None:
    minute = pcm_tone(60, rate=8000).tobytes()
    tracemalloc.start()
    with SoundWriter(tmp_path / "a.wav", "wav", 8000, speed=1.5) as sound:
        sound.write(minute)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(30):
            sound.write(minute)
        peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - before < 2**20
    assert sound.seconds == pytest.approx(31 * 60 / 1.5, rel=0.01)


def test_an_error_inside_is_the_one_that_is_heard(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), SoundWriter(tmp_path / "a.mp3", "mp3", RATE) as sound:
        sound.write(bytes(2000))
        raise ZeroDivisionError
