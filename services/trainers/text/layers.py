"""The adapter's own arithmetic on a CPU, in one piece: what peft computes in eight, with half of what it keeps.

Beside a frozen layer peft keeps its input dropped, the noise that dropped it, and each product on the way. Here
one copy of the input serves every layer that reads it, and a byte a number tells what was dropped. The results
are peft's, but for which numbers chance drops.
"""

from functools import cache
from types import MethodType
from typing import Any

# A byte is dropped when it is below so many 256ths; the rest is scaled by exactly what is left.
BYTE = 256


def speed_up(model: Any) -> None:
    """Let the adapters of *model* compute in one piece. For a CPU, fp32, and adapters as plain LoRA has them."""
    from peft.tuners.lora.layer import LoraLayer

    for layer in model.modules():
        if isinstance(layer, LoraLayer) and not layer.lora_variant and hasattr(layer, "lora_A"):
            found: Any = layer
            found.forward = MethodType(_forward, found)


def _forward(layer: Any, states: Any, *given: Any, **told: Any) -> Any:
    """The frozen layer's output and the adapter's together."""
    name = layer.active_adapters[0]
    below, above = layer.lora_A[name].weight, layer.lora_B[name].weight
    dropped = layer.lora_dropout[name].p if layer.training and hasattr(layer.lora_dropout[name], "p") else 0.0
    output = layer.base_layer(states, *given, **told)
    added: Any = _adapted().apply(output, states, below, above, layer.scaling[name], round(dropped * BYTE))
    return added


@cache
def _adapted() -> Any:
    """The function with its derivative; torch is imported when it is first needed."""
    import torch

    class Adapted(torch.autograd.Function):
        """output + scaling * (drop(states) @ below.T) @ above.T"""

        @staticmethod
        def forward(ctx: Any, output: Any, states: Any, below: Any, above: Any, scaling: float, dropped: int) -> Any:
            flat = states.reshape(-1, states.shape[-1])
            kept = _chance(flat) >= dropped if dropped else None
            rest = BYTE / (BYTE - dropped)
            # The scale of what is kept is taken up where numbers are few.
            inner = (_keep(flat, kept) @ below.t()).mul_(rest)
            ctx.save_for_backward(flat, below, above, inner, kept)
            ctx.scaling, ctx.rest = scaling, rest
            return torch.addmm(output.reshape(inner.shape[0], -1), inner, above.t(), alpha=scaling).view_as(output)

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            flat, below, above, inner, kept = ctx.saved_tensors
            above_it = gradient.reshape(inner.shape[0], -1)
            of_inner = (above_it @ above).mul_(ctx.scaling * ctx.rest)
            of_above = (above_it.t() @ inner).mul_(ctx.scaling)
            of_below = of_inner.t() @ _keep(flat, kept)
            of_states = None
            if ctx.needs_input_grad[1]:
                of_states = _keep(of_inner @ below, kept).view(*gradient.shape[:-1], -1)
            return gradient, of_states, of_below, of_above, None, None

    def _chance(flat: Any) -> Any:
        """A random byte for each number of *flat*; eight are drawn at once, which is most of the speed."""
        eights = torch.empty((flat.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        return eights.view(torch.uint8)[: flat.numel()].view(flat.shape)

    def _keep(flat: Any, kept: Any) -> Any:
        return flat if kept is None else kept.to(flat.dtype).mul_(flat)

    return Adapted
