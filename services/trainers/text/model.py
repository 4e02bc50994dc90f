"""The base with an adapter on it: loaded, told what to learn, and written so that plain peft reads it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from services.contracts.training import TrainingRequest
from services.errors import Unavailable
from services.trainers.base_weights import unusable
from services.trainers.text import quantization

# What belongs to a tokenizer in a folder of transformers.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
)
CHAT_TEMPLATE, HOW_TRAINED = "chat_template.jinja", "training.json"


def device() -> str:
    """Where training computes: the first GPU, or this process's own, else the CPU."""
    import torch

    return f"cuda:{torch.cuda.current_device()}" if torch.cuda.is_available() else "cpu"


def dtype_on(place: str) -> Any:
    """What is computed in at *place*: bf16 where the device has it, else fp32."""
    import torch

    return torch.bfloat16 if place != "cpu" and torch.cuda.is_bf16_supported() else torch.float32


def load_base(folder: Path, request: TrainingRequest, place: str) -> Any:
    """The frozen base in *folder*, ready to carry an adapter. Raises Unavailable, Invalid."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    options: dict[str, Any] = {"dtype": dtype_on(place), "use_safetensors": True, "trust_remote_code": False}
    if request.quantization:
        options["quantization_config"] = quantization.configuration(request.quantization, dtype_on(place))
        options["device_map"] = {"": place}
    auto: Any = transformers.AutoModelForCausalLM
    try:
        model = auto.from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, KeyError) as error:
        raise unusable(f"it cannot be loaded ({str(error)[:200]})", f"无法加载（{str(error)[:200]}）") from error
    if request.quantization == "int4":
        quantization.keep_gradients(model)
    if not request.quantization:
        model.to(place)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
        # Norms and biases of a quantized base stay in what they came in; computing wants one kind alone.
        if request.quantization and parameter.dtype in (torch.float16, torch.bfloat16) and place == "cpu":
            parameter.data = parameter.data.float()
    model.config.use_cache = False
    return model


def with_adapter(model: Any, request: TrainingRequest, *, base_name: str) -> Any:
    """*model* with a fresh adapter on all of its linear layers; the adapter alone learns, in fp32."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(request.seed)
    asked = LoraConfig(
        r=request.lora.r,
        lora_alpha=request.lora.lora_alpha,  # type: ignore[arg-type]  # It takes fractions too.
        lora_dropout=request.lora.lora_dropout,
        target_modules=_linear(model),
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, asked, autocast_adapter_dtype=True)
    adapted.peft_config["default"].base_model_name_or_path = base_name
    if request.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return adapted


def learned(model: Any) -> dict[str, Any]:
    """The parameters that learn, by name, in an order that is the same each time."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def _linear(model: Any) -> list[str]:
    """The names of the layers that multiply by weights, but for the one that says words."""
    import torch
    from transformers.pytorch_utils import Conv1D

    words = model.get_output_embeddings()
    found = [
        name
        for name, layer in model.named_modules()
        if isinstance(layer, (torch.nn.Linear, Conv1D)) and layer is not words
    ]
    if not found:
        raise unusable("it has no linear layers", "它没有线性层")
    short = {name.rpartition(".")[2] for name in found}
    return sorted(found if any(name.isdigit() for name in short) else short)


def load_adapter(model: Any, folder: Path) -> None:
    """Give the adapter on *model* the weights that `write_adapter` put into *folder*."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    set_peft_model_state_dict(model, load_file(folder / "adapter_model.safetensors"))


def write_adapter(model: Any, base: Path, folder: Path, *, chat_template: str | None, told: dict[str, Any]) -> None:
    """Put into *folder* what plain peft and whoever serves the adapter need, the tokenizer and *told* with it."""
    # Left to itself peft would ask the hub whether the table of words changed, which an adapter here never does.
    model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
    # peft leaves a form for people to fill in, which says nothing.
    (folder / "README.md").unlink(missing_ok=True)
    for name in TOKENIZER_FILES:
        if (base / name).is_file():
            shutil.copyfile(base / name, folder / name)
    if chat_template:
        (folder / CHAT_TEMPLATE).write_text(chat_template, encoding="utf-8")
    (folder / HOW_TRAINED).write_bytes(orjson.dumps(told, option=orjson.OPT_INDENT_2))


@contextmanager
def memory_told() -> Iterator[None]:
    """Say in words what a device says in its own when it has no more memory."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise Unavailable(
            "The training ran out of memory; use a smaller batch_size or max_length, gradient_checkpointing, or "
            "quantization.",
            "训练内存不足，请减小 batch_size 或 max_length，或启用 gradient_checkpointing、量化。",
            details={"reason": "out_of_memory"},
        ) from error
