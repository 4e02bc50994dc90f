"""The base and the tuned model on the same rows, one after the other."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from services.compute.progress import SILENT, Job
from services.contracts.evaluation import EvaluateRequest, Evaluation
from services.datasets.labelled_pictures import Labelled, LabelledPictures, open_pictures
from services.datasets.reading import Limits
from services.datasets.store import Located
from services.datasets.tokens import Tokens
from services.errors import Conflict
from services.measures import held_out, language, speaking
from services.measures.classes import evaluate_classifier, picture_data
from services.measures.held_out import HeldOut
from services.settings import Settings
from services.trainers import base_weights
from services.trainers.images.parts import part
from services.trainers.text import rows

Better = Literal["base", "tuned", "same"]
NOT_TEST = {
    held_out.VALIDATION: {
        "en": "The data set has no part for tests; its part for validation was used, which the training looked at.",
        "zh": "数据集没有测试集，使用了训练过程中查看过的验证集。",
    },
    held_out.HELD_OUT: {
        "en": "The data set has no part for tests; the rows that the training put aside were used.",
        "zh": "数据集没有测试集，使用了训练时预留的数据行。",
    },
    held_out.TRAIN: {
        "en": "The data set has one part alone; all of it was used.",
        "zh": "数据集只有一个部分，已全部用于评估。",
    },
}


@dataclass(frozen=True)
class Measuring:
    """One evaluation: the model in `folder`, its base, and the rows to measure them on."""

    folder: Path
    base: Path
    adapter: bool
    dataset: Located
    own: bool
    """Whether the data set is the one that the model learned."""
    request: EvaluateRequest
    settings: Settings
    max_length: int = 512
    parts_seed: int = 42
    """By which a picture training split what had no parts."""
    job: Job = SILENT


def of_text(asked: Measuring) -> Evaluation:
    """Two language models side by side. Raises Conflict where every row was learned, Invalid for what is no text."""
    import torch

    began = time.monotonic()
    if asked.settings.cpu_threads:
        torch.set_num_threads(asked.settings.cpu_threads)
    asked.job.progress(0.0, stage="loading")
    tokens = rows.tokenizer(asked.folder)
    found = held_out.read(
        asked.dataset,
        tokens,
        max_length=asked.max_length,
        most=asked.request.max_rows,
        limits=Limits.of(asked.settings),
        learned=not asked.own,
    )
    if not found.rows:
        raise nothing_held_out()
    questions = language.questions(found.rows, tokens, asked.request.max_generated_rows)
    base, tuned = _measured(asked, found, questions, tokens)
    return Evaluation(
        kind="text",
        base=base,
        tuned=tuned,
        better=_better(tuned["loss"], base["loss"]),
        rows=len(found.rows),
        split=found.split,
        generated_rows=len(questions.prompts),
        cut_rows=found.cut,
        notes=_notes(found.split) + _unasked(asked, questions),
        **_facts(asked, began),
    )


def _measured(
    asked: Measuring, found: HeldOut, questions: language.Questions, tokens: Tokens
) -> tuple[dict[str, float], dict[str, float]]:
    place = speaking.device()
    folder = base_weights.loadable(asked.base, models_dir=asked.settings.models_dir, tell=asked.job.log)

    def measure(model: Any, stage: str, start: float) -> dict[str, float]:
        asked.job.progress(start, stage=stage, rows=len(found.rows))
        return language.measure(model, found.rows, questions, tokens, check=_telling(asked.job, start))

    model = speaking.load(folder, place=place)
    if asked.adapter:
        model = speaking.with_adapter(model, asked.folder)
        with model.disable_adapter():
            base = measure(model, "base", 0.05)
        return base, measure(model, "tuned", 0.5)
    base = measure(model, "base", 0.05)
    del model
    file = base_weights.judge(asked.folder)
    return base, measure(speaking.load(asked.folder, place=place, gguf_file=file.name if file else None), "tuned", 0.5)


def _telling(job: Job, start: float) -> Callable[[float], None]:
    return lambda done: job.progress(start + 0.45 * done)


def _better(tuned: float, base: float) -> Better:
    """Which of two has the smaller number."""
    if tuned == base:
        return "same"
    return "tuned" if tuned < base else "base"


def _notes(split: str) -> list[dict[str, str]]:
    return [NOT_TEST[split]] if split in NOT_TEST else []


def _unasked(asked: Measuring, questions: language.Questions) -> list[dict[str, str]]:
    if questions.prompts or not asked.request.max_generated_rows:
        return []
    told = "The rows are plain text without prompts, so the models were asked nothing: loss and perplexity alone."
    return [{"en": told, "zh": "数据行为纯文本，没有提示词，因此只计算损失与困惑度。"}]


def of_classes(asked: Measuring) -> Evaluation:
    """Two classifiers side by side, by what they say of pictures that the tuned one did not learn.

    The base knows its own classes alone: where none of the data set's is among them it is right nowhere.
    """
    began = time.monotonic()
    asked.job.progress(0.0, stage="loading")
    with open_pictures(asked.dataset, asked.settings) as source:
        split, listed = _pictures(asked, source)
        if not listed:
            raise nothing_held_out()

        def measure(folder: Path, stage: str, start: float) -> dict[str, Any]:
            asked.job.progress(start, stage=stage, rows=len(listed))
            tell = _telling(asked.job, start)
            read = ((picture_data(source, picture), picture.label) for picture in listed)
            return evaluate_classifier(folder, read, asked.settings, check=lambda done: tell(done / len(listed))).told()

        base, tuned = measure(asked.base, "base", 0.05), measure(asked.folder, "tuned", 0.5)
    scores = [(-one["f1_score"], -one["accuracy"]) for one in (tuned, base)]
    better: Better = "same" if scores[0] == scores[1] else "tuned" if scores[0] < scores[1] else "base"
    known = {"notes": _notes(split), **_facts(asked, began)}
    return Evaluation(kind="classes", base=base, tuned=tuned, better=better, rows=len(listed), split=split, **known)


def _pictures(asked: Measuring, source: LabelledPictures) -> tuple[str, list[Labelled]]:
    """The pictures that judge, at most as many as asked for, and of which part they are."""
    pictures = list(source.pictures)
    if asked.own:
        split, listed = part(pictures, asked.parts_seed).judges
    else:
        parts = {name: [one for one in pictures if one.part == name] for name in (held_out.TEST, held_out.VALIDATION)}
        split = next((name for name, found in parts.items() if found), held_out.TRAIN)
        listed = parts.get(split) or pictures
    most = asked.request.max_rows
    if len(listed) <= most:
        return split, listed
    chosen = sorted(random.Random(asked.request.seed).sample(range(len(listed)), most))
    return split, [listed[number] for number in chosen]


def _facts(asked: Measuring, began: float) -> dict[str, Any]:
    return {
        "dataset_id": asked.dataset.id,
        "dataset_name": asked.dataset.name,
        "dataset_version": asked.dataset.version if asked.dataset.card else None,
        "seed": asked.request.seed,
        "seconds": round(time.monotonic() - began, 2),
    }


def nothing_held_out() -> Conflict:
    """The error where the model learned all that there is."""
    return Conflict(
        "Every row of this data set was learned, so nothing is left to measure on; process it with a part for tests, "
        "or name another data set in 'dataset_path'.",
        "该数据集的所有行都已用于训练，没有可用于评估的数据；请划分测试集，或用 'dataset_path' 指定其他数据集。",
        details={"field": "dataset_path", "reason": "nothing_held_out"},
    )
