"""A LoRA as peft writes it, in the form that llama.cpp loads beside a GGUF base.

Sources: Hu et al., 2021, LoRA, arXiv:2106.09685; ggml's specification of GGUF, adapters of type `lora`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from services.errors import Unavailable

if TYPE_CHECKING:
    import numpy as np

CONFIG, ADAPTER_CONFIG, WEIGHTS = "config.json", "adapter_config.json", "adapter_model.safetensors"
PREFIX, HALVES = "base_model.model.", {".lora_A.weight": ".weight.lora_a", ".lora_B.weight": ".weight.lora_b"}
# What llama.cpp runs as `llama`: these store the rows of queries and keys in pairs that it keeps apart.
FAMILY = {"llama", "mistral"}
# What changes the sum that llama.cpp computes, base + alpha / r * B A x, or says it differently for some layers.
UNTOLD = (
    "use_dora",
    "use_rslora",
    "fan_in_fan_out",
    "lora_bias",
    "modules_to_save",
    "rank_pattern",
    "alpha_pattern",
    "layer_replication",
)


def write_gguf_adapter(adapter: Path, base: Path, out: Path) -> None:
    """Write the peft adapter in the folder *adapter* to the GGUF file *out*.

    *base* is the folder of the base in transformers' form, or its `config.json`. Raises Unavailable for a base
    that is none of llama's family, and for an adapter that does more than llama.cpp computes.
    """
    import gguf

    config = _read(base if base.is_file() else base / CONFIG)
    told = _read(adapter / ADAPTER_CONFIG)
    _judge(config, told)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, int(config["num_hidden_layers"]))
    tensors = [_converted(name, weight, names, config) for name, weight in _weights(adapter / WEIGHTS)]
    writer = gguf.GGUFWriter(out, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.LLAMA])
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(told["lora_alpha"]))
    for name, weight in tensors:
        writer.add_tensor(name, weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _judge(config: dict[str, Any], told: dict[str, Any]) -> None:
    family = config.get("model_type")
    if family not in FAMILY:
        raise _unfit(f"its base is of the family {family}", f"其基础模型属于 {family} 系列")
    if told.get("peft_type") != "LORA":
        raise _unfit(f"it is of the kind {told.get('peft_type')}", f"其类型为 {told.get('peft_type')}")
    if told.get("bias", "none") != "none":
        raise _unfit("it changes biases", "它修改了偏置")
    if asked := next((name for name in UNTOLD if told.get(name)), None):
        raise _unfit(f"it was trained with {asked}", f"它使用了 {asked}")


def _weights(path: Path) -> "list[tuple[str, np.ndarray[Any, Any]]]":
    """The adapter's matrices by name, fp32."""
    from safetensors.torch import load_file

    return [(name, weight.float().numpy()) for name, weight in sorted(load_file(path).items())]


def _converted(
    name: str, weight: "np.ndarray[Any, Any]", names: Any, config: dict[str, Any]
) -> "tuple[str, np.ndarray[Any, Any]]":
    """A matrix under llama.cpp's name, its rows in llama.cpp's order."""
    half = next((ending for ending in HALVES if name.endswith(ending)), None)
    module = name.removeprefix(PREFIX).removesuffix(half or "")
    known = names.get_name(module)
    if half is None or known is None:
        raise _unfit(f"it changes {name}", f"它修改了 {name}")
    if half == ".lora_B.weight" and module.endswith((".q_proj", ".k_proj")):
        heads = int(config["num_attention_heads"])
        if module.endswith(".k_proj"):
            heads = int(config.get("num_key_value_heads") or heads)
        weight = permuted(weight, heads)
    return known + HALVES[half], weight


def permuted(weight: "np.ndarray[Any, Any]", heads: int) -> "np.ndarray[Any, Any]":
    """Rows of each head, (2, half) to (half, 2): transformers turns halves, llama.cpp neighbours."""
    import numpy as np

    rows, columns = weight.shape
    turned = weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
    return np.ascontiguousarray(turned)


def _read(path: Path) -> dict[str, Any]:
    try:
        told = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise _unfit(f"{path.name} cannot be read", f"无法读取 {path.name}") from error
    return told if isinstance(told, dict) else {}


def _unfit(en: str, zh: str) -> Unavailable:
    return Unavailable(
        "This adapter cannot run on llama.cpp: {why}. It answers through transformers instead.",
        "该适配器无法在 llama.cpp 上运行：{why_zh}。将改用 transformers。",
        details={"reason": "adapter_not_convertible"},
        why=en,
        why_zh=zh,
    )
