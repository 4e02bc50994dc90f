"""What arrives in a form that is not loaded here becomes one that is, before it is installed.

A torch state dict is a pickle; it is read once, by its pinned checksum and with `weights_only`, and goes.
"""

from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import orjson

from services.errors import Unavailable

if TYPE_CHECKING:
    from torch import Tensor

STATE_DICTS = (".pth", ".pt", ".bin")
WEIGHTS = "model.safetensors"
LABELS = "labels.json"
CONFIG = "config.json"
PROCESSOR = "preprocessor_config.json"

# EfficientNet-Lite is EfficientNet with ReLU6 and without squeeze and excitation; its modules are called so.
# Source: the configuration of "efficientnet-lite0" in tensorflow/tpu, models/official/efficientnet/lite.
OUTER = {
    "_conv_stem": "efficientnet.embeddings.convolution",
    "_bn0": "efficientnet.embeddings.batchnorm",
    "_conv_head": "efficientnet.encoder.top_conv",
    "_bn1": "efficientnet.encoder.top_bn",
    "_fc": "classifier",
}
INNER = {
    "_expand_conv": "expansion.expand_conv",
    "_bn0": "expansion.expand_bn",
    "_depthwise_conv": "depthwise_conv.depthwise_conv",
    "_bn1": "depthwise_conv.depthwise_norm",
    "_project_conv": "projection.project_conv",
    "_bn2": "projection.project_bn",
}
# A gate whose sigmoid is exactly 1 lets everything pass, also in training, as its gradient is 0.
OPEN_GATE = 100.0
LITE0: dict[str, Any] = {"image_size": 224, "hidden_act": "relu6", "width_coefficient": 1.0, "depth_coefficient": 1.0}
LITE0 |= {"hidden_dim": 1280, "dropout_rate": 0.2}
LITE0_PROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"shortest_edge": 224},
    "resample": 2,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def convert(form: str, folder: Path) -> None:
    """Turn what was fetched into *folder* from *form*, one of `FORMS`, into what is loaded here.

    Raises Unavailable for a file that is not of that form.
    """
    try:
        FORMS[form](folder)
    except (RuntimeError, ValueError, KeyError, EOFError, UnpicklingError) as error:
        raise Unavailable(
            "The weights cannot be converted: {why}.",
            "无法转换模型权重：{why}。",
            details={"reason": "conversion"},
            why=str(error)[:300],
        ) from error


def _save_state_dict(folder: Path) -> None:
    """The tensors of the only state dict in *folder*, under the names that they have."""
    _replace(folder, _take(folder))


def _save_efficientnet_lite0(folder: Path) -> None:
    """A folder of transformers' EfficientNet that computes what the state dict of EfficientNet-Lite0 does.

    The class names are those of `labels.json`, by their numbers.
    """
    from transformers import EfficientNetConfig, EfficientNetForImageClassification

    tensors = {_lite_name(name): tensor for name, tensor in _take(folder).items()}
    labels = {int(number): name for number, name in orjson.loads((folder / LABELS).read_bytes()).items()}
    model = EfficientNetForImageClassification(EfficientNetConfig(**LITE0, id2label=labels))
    gates = {name: _open_gate(name, own) for name, own in model.state_dict().items() if "squeeze_excite" in name}
    model.load_state_dict(tensors | gates, strict=True)
    _replace(folder, dict(model.state_dict()))
    model.config.architectures = [type(model).__name__]
    model.config.to_json_file(folder / CONFIG)
    (folder / PROCESSOR).write_bytes(orjson.dumps(LITE0_PROCESSOR, option=orjson.OPT_INDENT_2))
    (folder / LABELS).unlink()


def _take(folder: Path) -> "dict[str, Tensor]":
    import torch

    tensors = torch.load(_state_dict(folder), map_location="cpu", weights_only=True)
    if not isinstance(tensors, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise ValueError("the file holds more than tensors by name")
    return tensors


def _replace(folder: Path, tensors: "dict[str, Tensor]") -> None:
    from safetensors.torch import save

    # Tensors that share memory, or lie in it with gaps, are no plain files.
    plain = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    # Written as bytes and not by the library, which would keep the file from all but its owner.
    (folder / WEIGHTS).write_bytes(save(plain, metadata={"format": "pt"}))
    _state_dict(folder).unlink()


def _state_dict(folder: Path) -> Path:
    found = [path for path in folder.iterdir() if path.suffix in STATE_DICTS]
    if len(found) != 1:
        raise ValueError(f"one state dict is wanted, there are {len(found)}")
    return found[0]


def _lite_name(name: str) -> str:
    outer, *inner = name.split(".")
    if outer == "_blocks":
        return f"efficientnet.encoder.blocks.{inner[0]}.{INNER[inner[1]]}.{inner[2]}"
    return f"{OUTER[outer]}.{inner[0]}"


def _open_gate(name: str, own: "Tensor") -> "Tensor":
    return own.new_full(own.shape, OPEN_GATE if name.endswith("expand.bias") else 0.0)


FORMS: dict[str, Callable[[Path], None]] = {
    "torch-state-dict": _save_state_dict,
    "efficientnet-lite0": _save_efficientnet_lite0,
}
