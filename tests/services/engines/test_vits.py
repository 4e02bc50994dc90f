"""VITS of transformers: a tiny one of the real class gives what the library gives when it is called directly."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import VitsModel, VitsTokenizer

from services.contracts.models import CatalogRow
from services.contracts.speech import Manner
from services.engines.base import rows_under
from services.engines.vits import SEED, Vits
from services.errors import Unavailable
from services.settings import Settings
from tests.voices import vits_tokenizer

SENTENCE = "Hello, world!"


def load(folder: Path, row: CatalogRow | None = None) -> Vits:
    engine = Vits(row or rows_under(folder.parent)[0], folder, Settings(_env_file=None, cpu_threads=1))
    engine.load()
    return engine


@pytest.fixture(scope="module")
def voice(tiny_vits: Path) -> Iterator[Vits]:
    loaded = load(tiny_vits / "tiny-vits")
    yield loaded
    loaded.unload()


def direct(folder: Path) -> np.ndarray:
    model = VitsModel.from_pretrained(folder).eval()
    inputs = VitsTokenizer.from_pretrained(folder)(SENTENCE, return_tensors="pt")
    torch.manual_seed(SEED)
    with torch.inference_mode():
        return model(**inputs).waveform[0].numpy()


def test_it_sounds_as_the_library_called_directly(voice: Vits, tiny_vits: Path) -> None:
    assert np.array_equal(voice.waveform(SENTENCE), direct(tiny_vits / "tiny-vits"))


def test_the_same_sentence_sounds_the_same_and_leaves_others_their_chance(voice: Vits) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first = voice.say(SENTENCE, Manner())
    assert torch.equal(torch.rand(3), expected)
    assert voice.say(SENTENCE, Manner()) == first


def test_samples_are_sixteen_bits(voice: Vits) -> None:
    samples = np.frombuffer(voice.say(SENTENCE, Manner()), np.int16)
    assert voice.sample_rate == 16_000
    assert np.allclose(samples / 32767, np.clip(voice.waveform(SENTENCE), -1, 1), atol=1e-4)


def test_speed_and_pitch_are_left_to_the_sound(voice: Vits) -> None:
    assert voice.own(Manner(1.2, 4)) == Manner()


@pytest.mark.parametrize("text", ["你好", "!!!", "12", ""])
def test_letters_that_it_does_not_know_are_silent(voice: Vits, text: str) -> None:
    assert voice.say(text, Manner()) == b""


def test_a_voice_that_needs_a_package_says_which(tiny_vits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "foreign"
    vits_tokenizer(tmp_path, is_uroman=True).save_pretrained(folder)
    row = CatalogRow(id="foreign", name="foreign", abilities=["speech"], licence="own", engine="vits")
    with pytest.raises(Unavailable, match="pip install uroman"):
        load(folder, row)


def test_a_folder_is_a_row(tiny_vits: Path) -> None:
    (row,) = rows_under(tiny_vits)
    assert (row.id, row.engine, row.abilities, row.voice.languages) == ("tiny-vits", "vits", ["speech"], ["en"])


def test_what_was_pulled_by_a_hub_id_is_called_so_too(tmp_path: Path) -> None:
    folder = tmp_path / "facebook--mms-tts-fra"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "vits"}')
    (folder / "tokenizer_config.json").write_text('{"language": "fra"}')
    (folder / "polymath.json").write_text('{"source": "facebook/mms-tts-fra", "licence": "cc-by-nc-4.0"}')
    (row,) = rows_under(tmp_path)
    assert (row.aliases, row.voice.languages) == (["facebook/mms-tts-fra"], ["fr"])


@pytest.mark.parametrize("config", ["", "[]", "{}", '{"model_type": "bert"}', '{"model_type": 7}'])
def test_other_folders_are_no_voices(tmp_path: Path, config: str) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "config.json").write_text(config)
    (tmp_path / "x" / "tokenizer_config.json").write_text("{}")
    assert rows_under(tmp_path) == []
    assert rows_under(tmp_path / "nowhere") == []
