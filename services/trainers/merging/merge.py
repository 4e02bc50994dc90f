"""An adapter becomes part of its base: the product of its two matrices is added to each weight, rounded once."""

import shutil
from pathlib import Path
from typing import Any

from services.errors import Unavailable
from services.trainers.text import model


def merge(base: Path, adapter: Path, out: Path, *, full: bool = False) -> str:
    """Write the model in *base* with *adapter* in it to *out*, as safetensors in the base's own dtype, which is told.

    *full* keeps fp32, for what rounds it in a way of its own.
    What belongs to the tokenizer and tells how prompts were worded goes with it. Raises Unavailable for an adapter
    that does not fit.
    """
    import torch
    import transformers
    from peft import PeftModel

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    auto: Any = transformers.AutoModelForCausalLM
    with torch.no_grad():
        plain = auto.from_pretrained(
            base,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32 if full else "auto",
        )
        dtype = str(plain.dtype).removeprefix("torch.")
        try:
            adapted = PeftModel.from_pretrained(plain, adapter)
        except (RuntimeError, ValueError, KeyError) as error:
            raise Unavailable(
                "The adapter does not fit its base ({cause}).",
                "适配器与其基础模型不匹配（{cause}）。",
                details={"reason": "adapter_does_not_fit"},
                cause=str(error)[:200],
            ) from error
        _add(adapted)
        merged = adapted.unload()
    merged.save_pretrained(out)
    for name in (*model.TOKENIZER_FILES, model.CHAT_TEMPLATE, model.HOW_TRAINED):
        if source := next((folder / name for folder in (adapter, base) if (folder / name).is_file()), None):
            shutil.copyfile(source, out / name)
    return dtype


def _add(adapted: Any) -> None:
    """Add the adapter to the weights under it, in fp32 whatever these are kept in."""
    from peft.tuners.lora import LoraLayer

    layers: list[tuple[str, Any]] = [found for found in adapted.named_modules() if isinstance(found[1], LoraLayer)]
    for name, layer in layers:
        weight = layer.get_base_layer().weight
        summed = weight.data.float() + layer.get_delta_weight("default").float()
        if not summed.isfinite().all():
            raise Unavailable(
                "The adapter holds numbers that are none, in {layer}; train it again.",
                "适配器在 {layer} 中含有非法数值，请重新训练。",
                details={"reason": "diverged"},
                layer=name,
            )
        weight.data = summed.to(weight.dtype)
