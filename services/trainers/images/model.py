"""A pretrained classifier with a new head: what of it learns, and what its head is given to look at."""

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from services.errors import Unavailable
from services.trainers import memory

PROCESSOR = "preprocessor_config.json"
# The same to so many digits is the same, computed in another order.
NEAR = 1e-3


@dataclass
class ImageModel:
    """A model on its device; `learned` are the parameters that learn, by name.

    `head` is the one linear layer that makes the classes of features, where the model has one such.
    """

    model: Any
    labels: list[str]
    learned: dict[str, Any]
    head: Any
    device: Any

    def logits(self, arrays: list[Any]) -> Any:
        """The model's word on *arrays*, shape (pictures, classes); those of one shape go together."""
        return self._by_shape(arrays, lambda pixels: self.model(pixel_values=pixels).logits)

    def features(self, arrays: list[Any]) -> Any:
        """What the head is given of *arrays*, shape (pictures, features), on the CPU; none where it has no one head.

        Checked against the model's own word, so that a head which is more than one layer is found out.
        """
        import torch

        if self.head is None:
            return None
        given: list[Any] = []
        hook = self.head.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
        try:
            with torch.no_grad():
                logits = self.logits(arrays)
        finally:
            hook.remove()
        found = torch.cat(given) if all(one.dim() == 2 for one in given) else None
        if found is None or len(found) != len(arrays):
            return None
        with torch.no_grad():
            same = torch.allclose(self.head(found), logits, atol=NEAR, rtol=NEAR)
        return found.float().cpu() if same else None

    def begin(self, *, learning: bool) -> None:
        """Stand ready to learn or to be looked at. What is frozen is never in training mode."""
        from torch import nn

        self.model.train(learning and any(name for name in self.learned if not self._is_of_head(name)))
        for module in self.model.modules():
            # A small batch's own mean and variance are noise; those of the million pictures before it stay.
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()

    def save(self, base: Path, folder: Path) -> None:
        """Write a folder that transformers loads into *folder*; pictures are prepared as for *base*."""
        self.model.save_pretrained(folder)
        shutil.copyfile(base / PROCESSOR, folder / PROCESSOR)

    def _is_of_head(self, name: str) -> bool:
        return not name.startswith(f"{self.model.base_model_prefix}.")

    def _by_shape(self, arrays: list[Any], work: Any) -> Any:
        import numpy as np
        import torch

        if len({array.shape for array in arrays}) == 1:
            return work(torch.from_numpy(np.stack(arrays)).to(self.device))
        return torch.cat([work(torch.from_numpy(array[None]).to(self.device)) for array in arrays])


def open_model(base: Path, labels: list[str], *, seed: int, frozen: bool, name: str) -> ImageModel:
    """The classifier in *base* with a new head for *labels*; only that one learns where the rest is *frozen*.

    The same *seed* gives the same head. Raises Unavailable for a folder that cannot be loaded.
    """
    import torch
    import transformers

    be_quiet()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    names = dict(enumerate(labels))
    load = partial(transformers.AutoModelForImageClassification.from_pretrained, str(base), local_files_only=True)
    torch.manual_seed(seed)
    try:
        model: Any = load(
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            id2label=names,
            label2id={label: number for number, label in names.items()},
            problem_type="single_label_classification",
            ignore_mismatched_sizes=True,
        )
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        raise _unusable(name, str(error)) from error
    heads = _heads(model, len(labels))
    if not heads:
        raise _unusable(name, "its head is no linear layer")
    _begin_anew(heads, seed)
    for parameter_name, parameter in model.named_parameters():
        parameter.requires_grad = not (frozen and parameter_name.startswith(f"{model.base_model_prefix}."))
    learned = {told: parameter for told, parameter in model.named_parameters() if parameter.requires_grad}
    model.to(device)
    return ImageModel(model, labels, learned, heads[0] if len(heads) == 1 else None, device)


def be_quiet() -> None:
    """Silence what transformers says of a head of another size, which is as it shall be, and its bars."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]


def estimated_mb(base: Path, *, side: int, batch_size: int, frozen: bool) -> float:
    """About what the training of the weights in *base* takes, in MiB, from what others of its kind took."""
    weights = sum(file.stat().st_size for file in base.glob("*.safetensors")) / memory.MIB
    look = (side / 224) ** 2
    # Weights, gradients and AdamW's two moments; of each picture what its gradients will need.
    return PROCESS_MB + (weights + look * FROZEN_MB if frozen else 4 * weights + look * batch_size * PICTURE_MB)


PROCESS_MB, FROZEN_MB, PICTURE_MB = 450, 150, 45


def _heads(model: Any, labels: int) -> list[Any]:
    """The linear layers outside of the backbone that end in a class each."""
    from torch import nn

    inside = f"{model.base_model_prefix}."
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module.out_features == labels and not name.startswith(inside)
    ]


def _begin_anew(heads: list[Any], seed: int) -> None:
    """Give *heads* fresh weights, also where the base happened to have as many classes."""
    import torch

    torch.manual_seed(seed)
    with torch.no_grad():
        for head in heads:
            head.reset_parameters()


def _unusable(model: str, why: str) -> Unavailable:
    return Unavailable(
        "Model {model} cannot be loaded as an image classifier: {why}",
        "无法将模型 {model} 作为图像分类模型加载：{why}",
        details={"reason": "model_unusable", "field": "base_model", "model": model},
        model=model,
        why=why.splitlines()[0][:300] if why else "?",
    )
