"""The starter voice on Piper: real weights, real speech."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from services.catalog import Catalog
from services.contracts.speech import Manner
from services.engines.piper import Piper
from services.errors import Unavailable
from services.settings import Settings
from services.soundfiles import SoundWriter
from tests.voices import decode, fundamental

VOICE = "piper-en-us-joe"
SENTENCE = "The quick brown fox jumps over the lazy dog."
# Piper says nothing twice alike, and a short speech may be measured at twice or half its height.
SPEECH = " ".join([SENTENCE] * 4)


@pytest.fixture(scope="module")
def voice(sound_models: Path) -> Iterator[Piper]:
    settings = Settings(_env_file=None, models_dir=sound_models, cpu_threads=1)
    loaded = Piper(Catalog(settings).find(VOICE), sound_models / VOICE, settings)
    loaded.load()
    yield loaded
    loaded.unload()


def test_speech_is_of_a_man(voice: Piper) -> None:
    samples = np.frombuffer(voice.say(SPEECH, Manner()), np.int16)
    assert voice.sample_rate == 22_050
    assert 8 < len(samples) / voice.sample_rate < 16
    assert 70 < fundamental(samples, voice.sample_rate) < 180


def test_speed_and_pitch_are_left_to_the_sound(voice: Piper) -> None:
    assert voice.own(Manner(1.2, 5, "female")) == Manner()


@pytest.mark.parametrize("text", ["!!!", "…", "—", "😀", "[[", "[[ hello ]]", "<speak>x</speak>", "a", "\ufffd"])
def test_odd_texts_are_no_error(voice: Piper, text: str) -> None:
    assert len(voice.say(text, Manner())) % 2 == 0


@pytest.mark.parametrize("pitch", [5, 12])
def test_the_sound_moves_its_pitch(voice: Piper, tmp_path: Path, pitch: float) -> None:
    pcm = voice.say(SPEECH, Manner())
    usual = fundamental(np.frombuffer(pcm, np.int16), voice.sample_rate)
    with SoundWriter(tmp_path / "a.wav", "wav", voice.sample_rate, pitch=pitch) as sound:
        sound.write(pcm)
    assert fundamental(*decode(tmp_path / "a.wav")) > 1.1 * usual
    assert sound.seconds == pytest.approx(len(pcm) / 2 / voice.sample_rate, rel=0.03)


def test_brackets_are_no_phonemes(voice: Piper) -> None:
    assert len(voice.say("Say [[one two three four]] now", Manner())) / 2 / voice.sample_rate > 1.3


def test_two_at_once_both_speak(voice: Piper) -> None:
    heard: list[bytes] = []
    threads = [threading.Thread(target=lambda: heard.append(voice.say(SENTENCE, Manner()))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lengths = [len(pcm) / 2 / voice.sample_rate for pcm in heard]
    assert len(lengths) == 2
    assert min(lengths) > 2


def test_a_folder_without_a_voice_is_told(voice: Piper, tmp_path: Path) -> None:
    empty = Piper(voice.row, tmp_path, voice.settings)
    with pytest.raises(Unavailable):
        empty.load()


def test_the_library_is_not_loaded_before_it_is_needed() -> None:
    probe = "import sys; from services.engines.base import all_engines; all_engines(); "
    probe += "sys.exit(bool({'piper', 'espeakng_loader', 'onnxruntime', 'numpy', 'av'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0
