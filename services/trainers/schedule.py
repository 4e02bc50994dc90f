"""How fast a run learns at each step, and the end of one that learns nothing any more."""

import math

from services.errors import Unavailable


def learning_rate(step: int, *, total: int, peak: float, warmup_ratio: float) -> float:
    """Of the step after *step*: rising to *peak*, then falling to nothing along a cosine."""
    rising = math.ceil(total * warmup_ratio)
    if step < rising:
        return peak * (step + 1) / rising
    done = (step - rising) / max(total - rising, 1)
    return peak * 0.5 * (1 + math.cos(math.pi * done))


def diverged(step: int) -> Unavailable:
    """The end of a run whose loss is no number."""
    return Unavailable(
        "The training diverged at step {step}: its loss is no number any more. Start it with a smaller learning_rate.",
        "训练在第 {step} 步发散（loss 不再是有效数值），请降低 learning_rate 后重新开始。",
        step=step,
        details={"reason": "diverged", "step": step},
    )
