"""Voices for tests: the real starter voice, espeak-ng, and a tiny VITS of the library's class with random weights."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from services.assemble import Services, assemble
from services.domains import accounts
from services.engines.pool import ModelPool
from services.settings import Settings

Samples = Any
LOUD_ENOUGH = 500
LETTERS = " 'abcdefghijklmnopqrstuvwxyz"


def decode(path: Path) -> tuple[Samples, int]:
    """The 16-bit samples of the sound in *path*, and how many there are a second."""
    with av.open(str(path)) as container:
        rate = int(container.streams.audio[0].rate)
        resampler = av.AudioResampler("s16", "mono", rate)
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]), rate


def pcm_tone(seconds: float, *, rate: int, hertz: float = 220) -> Samples:
    """A sine as 16-bit samples."""
    return (12_000 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.int16)


def fundamental(samples: Samples, rate: int) -> float:
    """The height of a voice in Hz: the median over the parts that are voiced, by their own echo."""
    size = rate // 10
    heights = [_height(part, rate) for part in np.array_split(samples.astype(float), max(1, len(samples) // size))]
    return float(np.median([height for height in heights if height]))


def _height(part: Samples, rate: int) -> float:
    if np.abs(part).mean() < LOUD_ENOUGH:
        return 0
    echo = np.correlate(part, part, "full")[len(part) - 1 :]
    shortest, longest = int(rate / 1000), int(rate / 40)
    window = echo[shortest:longest]
    # The first peak nearly as high as the highest: the later ones are the same wave again.
    peaks = [at for at in range(1, len(window) - 1) if window[at - 1] < window[at] >= window[at + 1]]
    strong = [at for at in peaks if window[at] > 0.85 * window.max()]
    if not strong or window.max() < 0.4 * echo[0]:
        return 0
    return rate / (shortest + strong[0])


@pytest.fixture
def speaking(settings: Settings, sound_models: Path, ear: ModelPool) -> Iterator[Services]:
    """Services that have the starter voice; jobs run beside the request."""
    changed = settings.model_copy(update={"models_dir": sound_models, "job_runner": "thread", "sync_wait_seconds": 60})
    assembled = assemble(changed, place="inline")
    accounts.ensure_admin(services=assembled)
    shared = replace(assembled, pool=ear)
    shared.jobs.bind(shared)
    yield shared
    assembled.close()


@pytest.fixture(scope="session")
def tiny_vits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with `tiny-vits`: random weights, English letters."""
    import torch
    from transformers import VitsConfig, VitsModel

    torch.set_num_threads(1)
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("voices") / "tiny-vits"
    config = VitsConfig(
        vocab_size=len(LETTERS) + 1,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        ffn_dim=32,
        flow_size=16,
        spectrogram_bins=9,
        upsample_initial_channel=16,
        upsample_rates=[8, 4],
        upsample_kernel_sizes=[16, 8],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3]],
        prior_encoder_num_flows=2,
        prior_encoder_num_wavenet_layers=2,
        posterior_encoder_num_wavenet_layers=2,
        duration_predictor_num_flows=2,
        duration_predictor_flow_bins=4,
        duration_predictor_filter_channels=16,
        wavenet_kernel_size=3,
        sampling_rate=16_000,
    )
    VitsModel(config).save_pretrained(folder, safe_serialization=True)
    vits_tokenizer(folder.parent).save_pretrained(folder)
    return folder.parent


def vits_tokenizer(scratch: Path, **changes: Any) -> Any:
    """MMS's tokenizer for English letters."""
    import orjson
    from transformers import VitsTokenizer

    vocabulary = scratch / "vocab.json"
    vocabulary.write_bytes(orjson.dumps({letter: number for number, letter in enumerate(["_", *LETTERS])}))
    wanted = {"language": "eng", "phonemize": False, "pad_token": "_", "unk_token": "_", **changes}
    return VitsTokenizer(str(vocabulary), **wanted)
