"""Sounds for tests: real speech by the starter voice, tones and silence, in the forms that people send."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from services.assemble import Services, assemble
from services.contracts.models import PullRequest
from services.domains import accounts, models
from services.engines.pool import ModelPool
from services.settings import Settings

RATE = 16_000
SENTENCE = "The quick brown fox jumps over the lazy dog."
# Whisper takes the same words again and again for its own stammer and tries anew; a story has none of that.
STORY = (
    "Early in the morning the fisherman carried his nets down to the harbor. The water was calm, and a thin mist "
    "covered the islands. His daughter had packed bread, cheese, and two green apples for the trip. They rowed past "
    "the old lighthouse, where seven gulls were sleeping on the rail. Nobody had lived there since the winter of the "
    "great storm. Before noon their boat was heavy with silver fish. On the way home a strong wind came up from the "
    "west. The girl held the rope while her father lowered the sail. When they reached the pier, their neighbors "
    "were waiting with baskets and warm soup. That evening the whole village danced in the market square."
)
CODECS = {
    ".wav": "pcm_s16le",
    ".mp3": "libmp3lame",
    ".m4a": "aac",
    ".ogg": "libopus",
    ".webm": "libopus",
    ".flac": "flac",
    ".mp4": "aac",
}
Samples = Any
Speak = Callable[[str], Samples]


def write_sound(
    target: Path,
    samples: Samples,
    *,
    rate: int = RATE,
    layout: str = "mono",
    codec: str | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """*samples*, floats from -1 to 1, as the sound file that *target*'s name says."""
    codec = codec or CODECS[target.suffix]
    whole = (np.clip(samples, -1, 1) * 32767).astype(np.int16).reshape(1, -1)
    with av.open(str(target), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=48_000 if codec == "libopus" else rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(whole, format="s16", layout="mono")
        frame.sample_rate = rate
        for part in _parts(frame, stream):
            container.mux(stream.encode(part))
        container.mux(stream.encode())
    return target


def _parts(frame: Any, stream: Any) -> Any:
    """*frame* as the encoder of *stream* wants it: of its form and rate, in pieces of its size."""
    resampler = av.AudioResampler(stream.format.name, stream.layout.name, stream.rate)
    fifo = av.AudioFifo()
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        part.pts = None
        fifo.write(part)
    size = stream.codec_context.frame_size or 1024
    return [*fifo.read_many(size), *filter(None, [fifo.read(0, partial=True)])]


def tone(seconds: float, *, hertz: float = 440, rate: int = RATE) -> Samples:
    """A sine, half as loud as can be."""
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE))


def starter_voice(models_dir: Path) -> Speak:
    """Says a text with the starter voice of *models_dir*: samples at `RATE`."""
    from piper import PiperVoice, SynthesisConfig

    # Without noise it says the same in the same way each time.
    steady = SynthesisConfig(noise_scale=0, noise_w_scale=0)
    voice = PiperVoice.load(models_dir / "piper-en-us-joe" / "en_US-joe-medium.onnx")

    def say(text: str) -> Samples:
        whole = np.concatenate([chunk.audio_float_array for chunk in voice.synthesize(text, steady)])
        at = np.arange(0, len(whole), voice.config.sample_rate / RATE)
        return np.interp(at, np.arange(len(whole)), whole)

    return say


def quiet_wav(path: Path, seconds: int) -> Path:
    """Silence at 8 kHz and 8 bits; the disk keeps no byte of it."""
    size = seconds * 8000
    head = b"RIFF" + (size + 36).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
    head += b"".join(number.to_bytes(width, "little") for number, width in [(1, 2), (1, 2), (8000, 4), (8000, 4)])
    head += (1).to_bytes(2, "little") + (8).to_bytes(2, "little") + b"data" + size.to_bytes(4, "little")
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
    return path


@pytest.fixture(scope="session")
def sound_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with the starter set's ear and voice, pulled as a user pulls them; downloads are cached."""
    folder = tmp_path_factory.mktemp("sound-models")
    scratch = tmp_path_factory.mktemp("pull")
    assembled = assemble(Settings(_env_file=None, secret_key="x" * 32, instance_dir=scratch, models_dir=folder))
    for name in ("whisper-base", "piper-en-us-joe"):
        models.pull(PullRequest(model=name), services=assembled)
    assembled.close()
    return folder


@pytest.fixture(scope="session")
def speak(sound_models: Path) -> Speak:
    """Says a text with the starter voice: samples at `RATE`."""
    return starter_voice(sound_models)


@pytest.fixture(scope="session")
def spoken(speak: Speak) -> Samples:
    """`SENTENCE`, spoken."""
    return speak(SENTENCE)


@pytest.fixture(scope="session")
def story(speak: Speak) -> Samples:
    """`STORY`, spoken: half a minute."""
    return speak(STORY)


@pytest.fixture(scope="session")
def spoken_wav(spoken: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sound(tmp_path_factory.mktemp("spoken") / "spoken.wav", spoken)


def write_film(target: Path, samples: Samples) -> Path:
    """A grey film, 32 × 32, with *samples* as its sound."""
    whole = (np.clip(samples, -1, 1) * 32767).astype(np.int16).reshape(1, -1)
    with av.open(str(target), "w") as container:
        picture = container.add_stream("libx264", rate=8, options={"preset": "ultrafast"})
        picture.width = picture.height = 32
        picture.pix_fmt = "yuv420p"
        stream = container.add_stream("aac", rate=RATE, layout="mono")
        for _ in range(round(8 * len(samples) / RATE)):
            container.mux(picture.encode(av.VideoFrame(32, 32, "yuv420p")))
        container.mux(picture.encode())
        frame = av.AudioFrame.from_ndarray(whole, format="s16", layout="mono")
        frame.sample_rate = RATE
        for part in _parts(frame, stream):
            container.mux(stream.encode(part))
        container.mux(stream.encode())
    return target


@pytest.fixture(scope="session")
def ear(sound_models: Path) -> Iterator[ModelPool]:
    """The models that are loaded, once for all tests."""
    pool = ModelPool(Settings(_env_file=None, secret_key="x" * 32, models_dir=sound_models, model_idle_seconds=-1))
    yield pool
    pool.close()


@pytest.fixture
def hearing(settings: Settings, sound_models: Path, ear: ModelPool) -> Iterator[Services]:
    """Services that have the starter set's ear and voice; jobs run in the request."""
    assembled = assemble(settings.model_copy(update={"models_dir": sound_models}), place="inline")
    accounts.ensure_admin(services=assembled)
    shared = replace(assembled, pool=ear)
    shared.jobs.bind(shared)
    yield shared
    assembled.close()


def keep(services: Services, path: Path, *, owner: str = "") -> str:
    """The name under which the sound in *path* is kept, as an upload is."""
    return services.files.keep(path.read_bytes(), "uploads", ".snd", owner=owner).name


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())
