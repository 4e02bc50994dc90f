"""A merged model as one GGUF file: tensors under llama.cpp's names, and what the base's own file says of its tokenizer.

Sources: ggml's specification of GGUF, version 3, and the names of tensors in the package `gguf`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from services.adapters.gguf import permuted
from services.errors import Conflict
from services.trainers.base_weights import CONFIG
from services.trainers.merging import gguf_words
from services.trainers.text.model import CHAT_TEMPLATE

if TYPE_CHECKING:
    import numpy as np

Form = Literal["f16", "q8_0"]

# transformers' families by llama.cpp's names of them. Those of `llama` keep the rows of queries and keys in pairs.
FAMILIES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
PAIRED = ("self_attn.q_proj.weight", "self_attn.k_proj.weight")
# What the base's file says of its own tensors, and what is written anew.
OF_ITS_TENSORS = ("GGUF.", "split.", "general.architecture", "general.file_type", "general.quantization_version")
TEMPLATE = "tokenizer.chat_template"


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of the file: its name there, the name of the weight that it is made of, and its shape."""

    name: str
    source: str
    shape: tuple[int, ...]


def refuse_unfit(folder: Path, base_gguf: Path | None) -> None:
    """Raise Conflict unless the model in *folder*, of which the base was in *base_gguf*, can become a GGUF file."""
    config = _config(folder)
    if config.get("model_type") not in FAMILIES:
        raise unfit(f"it is of the family {config.get('model_type')}", f"其模型系列为 {config.get('model_type')}")
    if base_gguf is None:
        if _rope(config).get("rope_type", "default") != "default":
            raise unfit("its positions are scaled", "其位置编码经过缩放")
        gguf_words.read(folder)


def write(folder: Path, out: Path, *, base_gguf: Path | None, form: Form) -> None:
    """Write the model in *folder*, which lies there as safetensors, to the file *out*.

    Tensors are read and written one by one. Raises Conflict for a model that is not fit for it.
    """
    import gguf

    refuse_unfit(folder, base_gguf)
    config = _config(folder)
    writer = gguf.GGUFWriter(out, FAMILIES[config["model_type"]])
    kind = gguf.LlamaFileType.MOSTLY_F16 if form == "f16" else gguf.LlamaFileType.MOSTLY_Q8_0
    writer.add_file_type(kind)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    if base_gguf:
        _copy_facts(writer, base_gguf)
    else:
        _write_facts(writer, config)
        gguf_words.write(writer, gguf_words.read(folder))
    if (folder / CHAT_TEMPLATE).is_file():
        template = (folder / CHAT_TEMPLATE).read_text(encoding="utf-8")
        writer.add_key_value(TEMPLATE, template, gguf.GGUFValueType.STRING)
    _write_tensors(writer, _Weights(folder), config, form, _more_tensors(base_gguf))
    writer.close()


def _config(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = orjson.loads((folder / CONFIG).read_bytes())
    return told


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    """What the configuration says of positions, in the words of either version of transformers."""
    told = config.get("rope_parameters") or {
        "rope_theta": config.get("rope_theta"),
        **(config.get("rope_scaling") or {}),
    }
    return {"rope_type": told.get("rope_type") or told.get("type") or "default", **told}


def _copy_facts(writer: Any, base_gguf: Path) -> None:
    import gguf

    for field in gguf.GGUFReader(base_gguf).fields.values():
        if field.name.startswith(OF_ITS_TENSORS) or field.name == TEMPLATE:
            continue
        inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], inner)


def _write_facts(writer: Any, config: dict[str, Any]) -> None:
    heads = int(config["num_attention_heads"])
    width = int(config.get("head_dim") or config["hidden_size"] // heads)
    writer.add_type("model")
    writer.add_context_length(int(config["max_position_embeddings"]))
    writer.add_embedding_length(int(config["hidden_size"]))
    writer.add_block_count(int(config["num_hidden_layers"]))
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(config.get("num_key_value_heads") or heads))
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    writer.add_rope_freq_base(float(_rope(config).get("rope_theta") or 10_000.0))
    writer.add_vocab_size(int(config["vocab_size"]))


class _Weights:
    """The tensors of a folder of safetensors, read when they are asked for."""

    def __init__(self, folder: Path) -> None:
        from safetensors import safe_open

        files: list[Any] = [safe_open(path, framework="pt") for path in sorted(folder.glob("*.safetensors"))]
        self._home: dict[str, Any] = {name: file for file in files for name in file.keys()}  # noqa: SIM118  It is no dictionary.

    def shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        return ((name, tuple(file.get_slice(name).get_shape())) for name, file in sorted(self._home.items()))

    def read(self, name: str) -> "np.ndarray[Any, Any]":
        found: np.ndarray[Any, Any] = self._home[name].get_tensor(name).float().numpy()
        return found


def _write_tensors(
    writer: Any, weights: _Weights, config: dict[str, Any], form: Form, more: "dict[str, np.ndarray[Any, Any]]"
) -> None:
    import gguf

    entries = list(_entries(weights, config))
    for entry in entries:
        kind = _kind(entry, form)
        shape = (
            gguf.quant_shape_to_byte_shape(entry.shape, kind) if kind == gguf.GGMLQuantizationType.Q8_0 else entry.shape
        )
        size = gguf.quants.quant_shape_to_byte_shape(entry.shape, kind)
        writer.add_tensor_info(entry.name, shape, _numpy_type(kind), _product(size), raw_dtype=kind)
    for name, tensor in more.items():
        writer.add_tensor_info(name, tensor.shape, tensor.dtype, tensor.nbytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for entry in entries:
        weight = weights.read(entry.source)
        if entry.source.endswith(PAIRED) and FAMILIES[config["model_type"]] == "llama":
            weight = permuted(weight, _heads(entry.source, config))
        writer.write_tensor_data(gguf.quants.quantize(weight, _kind(entry, form)))
    for tensor in more.values():
        writer.write_tensor_data(tensor)


def _entries(weights: _Weights, config: dict[str, Any]) -> Iterator[Entry]:
    import gguf

    number = {name: kind for kind, name in gguf.MODEL_ARCH_NAMES.items()}[FAMILIES[config["model_type"]]]
    names = gguf.get_tensor_name_map(number, int(config["num_hidden_layers"]))
    for name, shape in weights.shapes():
        if name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if known is None:
            raise unfit(f"llama.cpp knows no {name}", f"llama.cpp 不支持 {name}")
        yield Entry(known, name, shape)


def _kind(entry: Entry, form: Form) -> Any:
    """What a tensor is kept in: norms and biases in full, and rows that do not fill blocks in halves."""
    import gguf

    if len(entry.shape) == 1:
        return gguf.GGMLQuantizationType.F32
    block = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType.Q8_0][0]
    if form == "f16" or entry.shape[-1] % block:
        return gguf.GGMLQuantizationType.F16
    return gguf.GGMLQuantizationType.Q8_0


def _numpy_type(kind: Any) -> Any:
    import gguf
    import numpy as np

    known = {gguf.GGMLQuantizationType.F32: np.float32, gguf.GGMLQuantizationType.F16: np.float16}
    return np.dtype(known.get(kind, np.uint8))


def _more_tensors(base_gguf: Path | None) -> "dict[str, np.ndarray[Any, Any]]":
    """Tensors of the base's file that are no weights: the factors of scaled positions."""
    import gguf
    import numpy as np

    if base_gguf is None:
        return {}
    found = (tensor for tensor in gguf.GGUFReader(base_gguf).tensors if tensor.name.startswith("rope_"))
    return {tensor.name: np.array(tensor.data) for tensor in found}


def _heads(name: str, config: dict[str, Any]) -> int:
    heads = int(config["num_attention_heads"])
    return heads if "q_proj" in name else int(config.get("num_key_value_heads") or heads)


def _product(sides: tuple[int, ...]) -> int:
    product = 1
    for side in sides:
        product *= side
    return product


def unfit(en: str, zh: str) -> Conflict:
    """The error for a model that cannot become a GGUF file because of *en*, or *zh* in Chinese."""
    return Conflict(
        "This model cannot be written as GGUF: {why}. Merge it as safetensors.",
        "该模型无法写成 GGUF：{why_zh}。请合并为 safetensors。",
        details={"field": "format", "reason": "gguf_not_possible"},
        why=en,
        why_zh=zh,
    )
