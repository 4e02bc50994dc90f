"""Attention over rows that lie end to end in one sequence: each row sees itself alone, and nothing is padded.

Padding costs as much as text does; rows end to end cost what they are. Each row is attended to by a causal
kernel of its own, so that no mask is ever built and nothing leaks from one row into the next.
"""

from typing import Any

NAME = "polymath_rows"
# How far logits may differ between rows alone and rows end to end, for a model to be trusted with this.
TOLERANCE = 2e-3


def enrol() -> None:
    """Make the attention known to transformers under NAME. It is enrolled without masks: none are made for it."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)


def attend(  # noqa: PLR0913  What transformers calls it with.
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    *,
    row_lengths: list[int] | None = None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **told: Any,
) -> tuple[Any, None]:
    """Causal attention inside each row; *query* (1, heads, tokens, width), *row_lengths* tokens in all.

    Gives (1, tokens, heads, width). Raises NotImplementedError for a kind of attention that this is not.
    """
    import torch

    unknown = told.get("softcap") is not None or told.get("s_aux") is not None or attention_mask is not None
    if unknown or row_lengths is None or query.shape[0] != 1 or (told.get("dropout") and module.training):
        raise NotImplementedError("attention of another kind")
    repeat = query.shape[1] // key.shape[1]
    if repeat > 1:
        key, value = key.repeat_interleave(repeat, dim=1), value.repeat_interleave(repeat, dim=1)
    queries, keys, values = (states.split(row_lengths, dim=2) for states in (query, key, value))
    rows = []
    for part in zip(queries, keys, values, strict=True):
        mask = _window(part[0], sliding_window)
        attended = torch.nn.functional.scaled_dot_product_attention(
            *part, attn_mask=mask, is_causal=mask is None, scale=scaling
        )
        rows.append(attended.transpose(1, 2))
    return torch.cat(rows, dim=1), None


def _window(states: Any, width: int | None) -> Any:
    """What each token of a row sees where that is not all before it; None where it is."""
    import torch

    length = states.shape[2]
    if width is None or length <= width:
        return None
    places = torch.arange(length, device=states.device)
    behind = places[:, None] - places[None, :]
    return (behind >= 0) & (behind < width)


def fits(model: Any) -> bool:
    """Whether *model* says the same of rows end to end as of each alone; then it is left with this attention.

    Tried and not looked up: an architecture may remember across rows in ways that no list tells of.
    """
    import torch

    before = model.config._attn_implementation
    if not getattr(model, "_supports_attention_backend", False):
        return False
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            return _try(model, before)
    finally:
        model.train(training)


def _try(model: Any, before: str) -> bool:
    import torch

    most = int(model.get_input_embeddings().num_embeddings)
    device = model.get_input_embeddings().weight.device
    rows = [torch.arange(1, length + 1, device=device) % most for length in (7, 4, 9)]
    alone = torch.cat([model(input_ids=row[None], use_cache=False).logits[0] for row in rows])
    enrol()
    try:
        model.set_attn_implementation(NAME)
        together = model(**end_to_end(rows), use_cache=False).logits[0]
    except (NotImplementedError, ValueError, TypeError, RuntimeError):
        model.set_attn_implementation(before)
        return False
    difference = (alone - together).abs().max() / alone.abs().max().clamp(min=1)
    if bool(difference < TOLERANCE * _coarseness(model)):
        return True
    model.set_attn_implementation(before)
    return False


def _coarseness(model: Any) -> float:
    """How much more two ways of computing the same may differ in halves and in few bits."""
    import torch

    quantized = getattr(model, "quantization_method", None) is not None
    return 50.0 if quantized or model.dtype in (torch.bfloat16, torch.float16) else 1.0


def end_to_end(rows: list[Any]) -> dict[str, Any]:
    """What a model with this attention is given for *rows* of token numbers."""
    import torch

    lengths = [len(row) for row in rows]
    positions = torch.cat([torch.arange(length, device=rows[0].device) for length in lengths])
    return {"input_ids": torch.cat(rows)[None], "position_ids": positions[None], "row_lengths": lengths}
