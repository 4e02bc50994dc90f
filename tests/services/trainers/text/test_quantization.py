"""What transformers is told of quantized weights."""

import sys

import pytest
import torch

from services.errors import Unavailable
from services.trainers.text import quantization


def test_four_bits_are_normal_floats_quantized_twice() -> None:
    told = quantization.configuration("int4", torch.float32)
    assert (told.load_in_4bit, told.bnb_4bit_quant_type, told.bnb_4bit_use_double_quant) == (True, "nf4", True)
    assert told.bnb_4bit_compute_dtype is torch.float32


def test_eight_bits() -> None:
    told = quantization.configuration("int8", torch.float32)
    assert (told.load_in_8bit, told.load_in_4bit) == (True, False)


def test_without_the_library_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(Unavailable) as caught:
        quantization.configuration("int8", torch.float32)
    assert caught.value.details == {"reason": "not_installed"}
