"""The recipe of an image classifier: pictures with a class each, a pretrained backbone, and a new head for them.

Parts, then a look at every picture, then the head alone or all of the model, epoch after epoch, then the judgement on
pictures that nothing was learned from. Sources: Loshchilov and Hutter, 2019, arXiv:1711.05101 (AdamW); Yosinski et
al., 2014, arXiv:1411.1792 (a frozen backbone's features are as good as new ones where there are few pictures).
"""

from pathlib import Path
from typing import ClassVar

from services.datasets.labelled_pictures import open_pictures
from services.engines.folders import ModelFolder
from services.errors import Invalid, Unavailable
from services.trainers import memory
from services.trainers.base import Estimate, Run, Trained, Trainer
from services.trainers.images import model
from services.trainers.images.parts import Parts, part
from services.trainers.images.training import ImageTraining
from services.trainers.images.views import Views, side_of

# Some names go on after it: `DeiTForImageClassificationWithTeacher`.
WORD = "ForImageClassification"
FEW = 10


class ImageClassifierTrainer(Trainer):
    """Trains any folder that `AutoModelForImageClassification` loads."""

    name: ClassVar[str] = "image_classifier"

    def check(self, run: Run) -> Estimate:
        _refuse_base(run)
        with open_pictures(run.dataset, run.settings) as source:
            parts = part(source.pictures, run.request.seed)
            faults = source.faults.count
        asked = run.request
        side = side_of(ModelFolder(run.base).read(model.PROCESSOR))
        batch = min(asked.batch_size, len(parts.train))
        needed = model.estimated_mb(run.base, side=side, batch_size=batch, frozen=asked.freeze_backbone)
        available = memory.available_mb()
        if needed > available:
            raise _too_little_memory(needed, available)
        told = Estimate(rows=len(parts.all()), memory_mb=round(needed, 1), available_mb=round(available, 1))
        told.warnings.extend(_warnings(parts, faults))
        return told

    def train(self, run: Run) -> Trained:
        import torch

        if run.settings.cpu_threads:
            torch.set_num_threads(run.settings.cpu_threads)
        _refuse_base(run)
        with open_pictures(run.dataset, run.settings) as source:
            views = Views(source, run.base, run.settings)
            try:
                return ImageTraining(run, source, views).finish()
            finally:
                views.close()


def _refuse_base(run: Run) -> None:
    """Raise Invalid for a base that is no image classifier of transformers."""
    folder = ModelFolder(run.base)
    if WORD in folder.architecture and folder.has(model.PROCESSOR) and _has_weights(run.base):
        return
    raise Invalid(
        "base_model",
        "{model} is no image classifier of transformers with weights in safetensors; {starter} is one.",
        "{model} 不是带有 safetensors 权重的 transformers 图像分类模型，例如 {starter}。",
        reason="not_trainable",
        model=run.base_row.id,
        starter="efficientnet-lite0",
    )


def _has_weights(folder: Path) -> bool:
    return any(folder.glob("*.safetensors"))


def _warnings(parts: Parts, faults: int) -> list[dict[str, str]]:
    found = []
    if faults:
        found.append({"en": f"{faults} rows name no picture and are left out.", "zh": f"{faults} 行不是图片，已跳过。"})
    counts = {label: sum(one.label == label for one in parts.train) for label in parts.labels}
    if few := [label for label, count in counts.items() if count < FEW]:
        named = ", ".join(few[:FEW])
        found.append(
            {
                "en": f"Fewer than {FEW} pictures to learn from: {named}. Such classes are learned badly.",
                "zh": f"以下类别的训练图片不足 {FEW} 张：{named}，效果可能较差。",
            }
        )
    return found


def _too_little_memory(needed: float, available: float) -> Unavailable:
    return Unavailable(
        "This training takes about {needed} MB and {available} MB are free; take a smaller batch_size or model, or "
        "freeze_backbone.",
        "此训练约需 {needed} MB 内存，当前可用 {available} MB；请减小 batch_size、换用更小的模型，"
        "或使用 freeze_backbone。",
        details={"reason": "out_of_memory", "needed_mb": round(needed), "available_mb": round(available)},
        needed=round(needed),
        available=round(available),
    )
