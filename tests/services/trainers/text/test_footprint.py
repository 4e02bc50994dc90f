"""What a run is thought to take, beside what it took."""

import pytest

from services.errors import Unavailable
from services.trainers.text import footprint
from services.trainers.text.footprint import needed_mb
from tests.language_models import asked


def llama_shapes(layers: int, width: int, inner: int, words: int) -> dict[str, tuple[int, ...]]:
    """The weights of a Llama as its headers tell them."""
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (words, width)}
    for number in range(layers):
        home = f"model.layers.{number}"
        found |= {f"{home}.self_attn.{name}_proj.weight": (width, width) for name in "qo"}
        found |= {f"{home}.self_attn.{name}_proj.weight": (width // 3, width) for name in "kv"}
        found |= {f"{home}.mlp.{name}_proj.weight": (inner, width) for name in ("gate", "up")}
        found |= {f"{home}.mlp.down_proj.weight": (width, inner), f"{home}.norm.weight": (width,)}
    return found


SHORT = [50] * 8
STARTER = llama_shapes(30, 576, 1536, 49152)


def test_the_starter_models_run_takes_about_what_was_measured() -> None:
    """Eight rows of about a hundred tokens: 3.2 GB at the peak, measured on two cores."""
    told = needed_mb(STARTER, asked(batch_size=8, max_length=512), lengths=[105] * 20, gpu=False)
    assert 2400 < told < 4400


LARGER = {
    "batch": {"batch_size": 16},
    "packing": {"packing": True},
    "rank": {"lora": {"r": 64}},
}
SMALLER = {
    "eight bits": {"quantization": "int8"},
    "checkpointing": {"gradient_checkpointing": True},
    "shorter": {"max_length": 32},
}


@pytest.mark.parametrize("name", sorted(LARGER))
def test_what_takes_more_is_said_to(name: str) -> None:
    plain = needed_mb(STARTER, asked(max_length=512), lengths=[100] * 64, gpu=False)
    assert needed_mb(STARTER, asked(**{"max_length": 512, **LARGER[name]}), lengths=[100] * 64, gpu=False) > plain


@pytest.mark.parametrize("name", sorted(SMALLER))
def test_what_takes_less_is_said_to(name: str) -> None:
    plain = needed_mb(STARTER, asked(max_length=512), lengths=[100] * 64, gpu=False)
    assert needed_mb(STARTER, asked(**{"max_length": 512, **SMALLER[name]}), lengths=[100] * 64, gpu=False) < plain


def test_four_bits_take_less_than_eight_and_a_gpu_half() -> None:
    eight, four = (needed_mb(STARTER, asked(quantization=kind), lengths=SHORT, gpu=False) for kind in ("int8", "int4"))
    assert four < eight
    assert needed_mb(STARTER, asked(), lengths=SHORT, gpu=True) < needed_mb(STARTER, asked(), lengths=SHORT, gpu=False)


def test_more_than_there_is_is_refused_in_both_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "available_mb", lambda: 1000.0)
    assert footprint.check(999) == 1000
    with pytest.raises(Unavailable) as caught:
        footprint.check(1001)
    assert caught.value.details == {"reason": "out_of_memory", "needed_mb": 1001, "available_mb": 1000}
    assert "1001 MB" in caught.value.say("en") and "1001 MB" in caught.value.say("zh")


def test_packing_takes_no_more_than_all_rows_do() -> None:
    packed, plain = (
        needed_mb(STARTER, asked(max_length=512, packing=packing), lengths=[30] * 4, gpu=False)
        for packing in (True, False)
    )
    assert packed == plain
