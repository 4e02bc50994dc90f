"""Weights of a frozen base in eight or four bits, so that it takes a half or a quarter of the memory.

Sources: Dettmers et al., 2022, LLM.int8(), arXiv:2208.07339; Dettmers et al., 2023, QLoRA, arXiv:2305.14314:
NormalFloat of four bits with its constants quantized again.
"""

import logging
import warnings
from typing import Any

from services.contracts.training import Quantization
from services.errors import Unavailable

# Bytes of a weight, its share of the constants included.
BYTES = {"int8": 1.05, "int4": 0.57}


def configuration(kind: Quantization, dtype: Any) -> Any:
    """What transformers is told to load weights in *kind*; it computes in *dtype*. Raises Unavailable."""
    try:
        import bitsandbytes  # noqa: F401  Told apart here from other causes, before anything is loaded.
        from transformers import BitsAndBytesConfig
    except ImportError as error:
        raise Unavailable(
            "Quantized training needs the package bitsandbytes; install requirements.txt or train without it.",
            "量化训练需要 bitsandbytes，请安装 requirements.txt，或取消量化。",
            details={"reason": "not_installed"},
        ) from error
    be_quiet()
    options: dict[str, Any] = {"load_in_8bit": True}
    if kind == "int4":
        options = {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": True,
            "bnb_4bit_compute_dtype": dtype,
        }
    return BitsAndBytesConfig(**options)  # type: ignore[no-untyped-call]


def keep_gradients(model: Any) -> None:
    """Leave the four-bit layers of *model* in the form that gradients pass.

    On a processor with AVX512-BF16 bitsandbytes packs a layer anew at its first call without gradients, such as a
    validation's, and what is packed so passes none ever after. Source: bitsandbytes 0.50, Linear4bit.forward.
    """
    from bitsandbytes.nn.modules import Linear4bit

    for layer in model.modules():
        if isinstance(layer, Linear4bit):
            layer.support_avx512bf16_for_cpu = False


def be_quiet() -> None:
    """Silence what bitsandbytes says at each call of each layer of eight bits."""
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="MatMul8bitLt: inputs will be cast")
