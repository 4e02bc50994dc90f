"""A language model in memory, asked for its tokens: greedily, many prompts at once, or along a given answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.errors import Unavailable
from services.trainers.text import model as lora_model

if TYPE_CHECKING:
    import numpy as np

TOGETHER = 8


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a model answered one prompt: `tokens`, and where they were asked for `logits`, (tokens, words) fp32."""

    tokens: list[int]
    logits: "np.ndarray[Any, Any] | None" = None


def load(folder: Path, *, place: str, gguf_file: str | None = None) -> Any:
    """The language model in *folder*, or in its GGUF file, to be asked alone. Raises Unavailable.

    It computes in fp32 on a CPU, so that two models differ by their weights and not by how they are added up.
    """
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    dtype = torch.float32 if place == "cpu" else "auto"
    auto: Any = transformers.AutoModelForCausalLM
    options = {"gguf_file": gguf_file} if gguf_file else {"use_safetensors": True}
    try:
        model = auto.from_pretrained(folder, local_files_only=True, trust_remote_code=False, dtype=dtype, **options)
    except (OSError, ValueError, KeyError) as error:
        raise Unavailable(
            "The model cannot be loaded ({cause}).",
            "无法加载模型（{cause}）。",
            details={"reason": "model_broken"},
            cause=str(error)[:200],
        ) from error
    return model.to(place).eval()


def with_adapter(model: Any, adapter: Path) -> Any:
    """*model* with the adapter in the folder *adapter* on it, unmerged."""
    from peft import PeftModel

    return PeftModel.from_pretrained(model, adapter).eval()


def device() -> str:
    """Where models are measured."""
    return lora_model.device()


def speak(
    model: Any,
    prompts: Sequence[list[int]],
    *,
    most_tokens: int,
    end: int | None,
    logits: bool = False,
    check: Callable[[int], None] = lambda done: None,
) -> list[Spoken]:
    """What *model* answers each of *prompts*, the likeliest token each time, up to *end* or *most_tokens*.

    *check* hears how many are done, and may raise.
    """
    found: list[Spoken] = []
    for start in range(0, len(prompts), TOGETHER):
        check(start)
        found += _speak_together(model, prompts[start : start + TOGETHER], most_tokens, end, logits)
    return found


def _speak_together(
    model: Any, prompts: Sequence[list[int]], most_tokens: int, end: int | None, logits: bool
) -> list[Spoken]:
    import torch
    from transformers import GenerationConfig

    longest = max(len(prompt) for prompt in prompts)
    ids = torch.zeros((len(prompts), longest), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for number, prompt in enumerate(prompts):
        ids[number, longest - len(prompt) :] = torch.tensor(prompt)
        mask[number, longest - len(prompt) :] = 1
    # What the model's own configuration says of sampling and of repeating is left out: the plain likeliest is meant.
    plain = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        max_new_tokens=most_tokens,
        eos_token_id=end,
        pad_token_id=end or 0,
        use_cache=True,
        return_dict_in_generate=True,
        output_logits=logits,
    )
    with torch.no_grad():
        told = model.generate(
            input_ids=ids.to(model.device), attention_mask=mask.to(model.device), generation_config=plain
        )
    answers = [_until(row, end) for row in told.sequences[:, longest:].tolist()]
    if not logits:
        return [Spoken(answer) for answer in answers]
    steps = torch.stack(told.logits, dim=1).float().cpu().numpy()
    return [Spoken(answer, steps[number, : len(answer)]) for number, answer in enumerate(answers)]


def _until(tokens: list[int], end: int | None) -> list[int]:
    """*tokens* up to and with *end*."""
    return tokens[: tokens.index(end) + 1] if end is not None and end in tokens else tokens


def follow(model: Any, prompt: list[int], tokens: list[int]) -> "np.ndarray[Any, Any]":
    """What *model* would have said at each of *tokens* after *prompt*: logits, (tokens, words) fp32."""
    import torch

    ids = torch.tensor([[*prompt, *tokens[:-1]]], device=model.device)
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits[0, -len(tokens) :]
    found: np.ndarray[Any, Any] = logits.float().cpu().numpy()
    return found
