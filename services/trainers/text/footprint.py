"""About how much memory a LoRA run takes, from the shapes of its weights alone; nothing is loaded."""

from collections.abc import Sequence

from services.contracts.training import TrainingRequest
from services.errors import Unavailable
from services.trainers.memory import MIB, available_mb
from services.trainers.text.quantization import BYTES

# torch, transformers and peft with nothing loaded.
LIBRARIES_MB = 450.0
# What autograd keeps of a token in a layer, in numbers: about so many of the layer's width, and of its widest part.
# Measured on Llama's layers with adapters on every linear one.
KEPT_WIDTHS, KEPT_WIDEST = 22, 6
# Logits, their fp32 copy, and the gradient of both.
KEPT_OF_WORDS = 3
# A weight that learns, its gradient and the optimizer's two memories, all fp32.
LEARNING_BYTES = 16

Shapes = dict[str, tuple[int, ...]]


def needed_mb(shapes: Shapes, request: TrainingRequest, *, lengths: Sequence[int], gpu: bool) -> float:
    """About what a run takes whose base has *shapes* and whose rows have *lengths* in tokens."""
    linear = {name: shape for name, shape in shapes.items() if len(shape) == 2 and not _is_words(name)}
    words = [shape for name, shape in shapes.items() if len(shape) == 2 and _is_words(name)]
    others = sum(_product(shape) for shape in shapes.values()) - sum(_product(shape) for shape in linear.values())
    full = 2.0 if gpu else 4.0
    each = BYTES[request.quantization] if request.quantization else full
    weights = sum(_product(shape) for shape in linear.values()) * each + others * full
    adapter = sum(sum(shape) for shape in linear.values()) * request.lora.r * LEARNING_BYTES
    width = min((min(shape) for shape in words), default=min((min(s) for s in linear.values()), default=1))
    widest = max((max(shape) for shape in linear.values()), default=1)
    layers = max(sum(name.endswith((".q_proj.weight", "attn_q.weight")) for name in shapes), 1)
    tokens = _tokens_of_step(request, lengths)
    kept = (KEPT_WIDTHS * width + KEPT_WIDEST * widest) * full
    a_token = kept + layers * width * full if request.gradient_checkpointing else kept * layers
    said = max((max(shape) for shape in words), default=0) * 4 * KEPT_OF_WORDS
    return LIBRARIES_MB + (weights + adapter + tokens * (a_token + said)) / MIB


def check(needed: float) -> float:
    """What memory there is, in MiB. Raises Unavailable when *needed* is more."""
    available = available_mb()
    if needed <= available:
        return available
    raise Unavailable(
        "The training needs about {needed} MB of memory and {available} MB are free; use a smaller batch_size or "
        "max_length, gradient_checkpointing, quantization, or a smaller model.",
        "训练约需 {needed} MB 内存，而可用内存只有 {available} MB；请减小 batch_size 或 max_length，启用 "
        "gradient_checkpointing 或量化，或选择更小的模型。",
        needed=round(needed),
        available=round(available),
        details={"reason": "out_of_memory", "needed_mb": round(needed), "available_mb": round(available)},
    )


def _tokens_of_step(request: TrainingRequest, lengths: Sequence[int]) -> int:
    """The most tokens that are before the model at once."""
    if request.packing:
        return min(request.batch_size * request.max_length, sum(lengths))
    return sum(sorted(min(length, request.max_length) for length in lengths)[-request.batch_size :])


def _is_words(name: str) -> bool:
    """Whether the weight *name* is a table of words, in or out; adapters and quantization leave these alone."""
    return any(word in name for word in ("embed", "embd", "lm_head", "output.weight", "wte", "wpe")) and not any(
        word in name for word in ("attn_output",)
    )


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for side in shape:
        product *= side
    return product
