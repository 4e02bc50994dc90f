"""A base and what was trained of it, measured on the same rows: the trainer's own loss, answers, splits and classes."""

from pathlib import Path
from typing import Any

import pytest

from services.contracts.evaluation import EvaluateRequest, Evaluation
from services.contracts.training import TrainingRequest
from services.datasets.reading import Limits
from services.datasets.store import Located
from services.errors import Conflict, Invalid
from services.measures import held_out, side_by_side
from services.measures.side_by_side import Measuring
from services.settings import Settings
from services.trainers.base import Run, Trained, find_trainer
from services.trainers.text import rows
from tests.language_models import asked, located, row_of
from tests.taught_pictures import colour_files, put_folder

# One thing to learn: the answer to every question.
ROWS = [{"instruction": f"Question {number}?", "output": "owls"} for number in range(40)]


def with_parts(folder: Path, *names: str) -> Located:
    """The rows, with parts of these names of six rows each."""
    found = {name: located(folder, ROWS[:6]).parts["train"] for name in names}
    return located(folder, ROWS, parts=found)


@pytest.fixture(scope="module")
def settings_here(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("measured")
    place = {"instance_dir": folder, "models_dir": folder / "models"}
    return Settings(_env_file=None, secret_key="x" * 32, cpu_threads=1, **place)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path, settings_here: Settings) -> tuple[Run, Trained]:
    """An adapter that answers every question alike."""
    folder = tmp_path_factory.mktemp("trained")
    run = Run(
        request=asked(epochs=12, learning_rate=0.02, lora={"r": 8, "lora_dropout": 0}),
        base=tiny_llama,
        base_row=row_of(tiny_llama),
        dataset=with_parts(folder / "data", "validation"),
        folder=folder / "run",
        settings=settings_here,
    )
    return run, find_trainer("lora").train(run)


def measure(run: Run, dataset: Located | None = None, **more: Any) -> Evaluation:
    request = EvaluateRequest(**({"max_generated_rows": 4} | more.pop("request", {})))
    facts = {"folder": run.final, "adapter": True, "own": True, "max_length": 128} | more
    return side_by_side.of_text(
        Measuring(base=run.base, dataset=dataset or run.dataset, request=request, settings=run.settings, **facts)
    )


def test_the_loss_is_the_one_that_the_training_told(trained: tuple[Run, Trained]) -> None:
    run, left = trained
    found = measure(run)
    assert found.tuned["loss"] == pytest.approx(left.metrics["val_loss"], abs=1e-4)
    assert found.tuned["perplexity"] == pytest.approx(left.metrics["perplexity"], abs=1e-3)
    assert (found.split, found.rows, found.generated_rows, found.better) == ("validation", 6, 4, "tuned")
    assert found.base["loss"] > found.tuned["loss"] + 0.5 and found.base["rouge_l"] <= found.tuned["rouge_l"]
    assert [note["en"][:34] for note in found.notes] == ["The data set has no part for tests"]


def test_what_was_learned_is_answered(trained: tuple[Run, Trained]) -> None:
    found = measure(trained[0])
    assert (found.tuned["exact_match"], found.tuned["rouge_l"]) == (1.0, 1.0)
    assert found.base["exact_match"] == 0.0


def test_the_part_for_tests_comes_first(trained: tuple[Run, Trained], tmp_path: Path) -> None:
    found = measure(trained[0], with_parts(tmp_path / "data", "validation", "test"), request={"max_rows": 3})
    assert (found.split, found.rows, found.notes) == ("test", 3, [])


def test_another_data_set_of_one_part_is_used_whole(trained: tuple[Run, Trained], tmp_path: Path) -> None:
    few = located(tmp_path / "data", ROWS[:10])
    found = measure(trained[0], few, own=False)
    assert (found.split, found.rows) == ("train", 10) and "all of it" in found.notes[0]["en"]
    with pytest.raises(Conflict, match="Every row"):
        measure(trained[0], few)


def test_rows_without_prompts_are_asked_nothing(trained: tuple[Run, Trained], tmp_path: Path) -> None:
    plain = located(tmp_path / "data", [{"text": f"Owls {number}."} for number in range(8)], "text")
    found = measure(trained[0], plain, own=False)
    assert found.tuned.keys() == {"loss", "perplexity"} and found.generated_rows == 0
    assert "asked nothing" in found.notes[-1]["en"]


def test_rows_that_are_no_text_are_refused(trained: tuple[Run, Trained], tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="format"):
        measure(trained[0], located(tmp_path / "data", [{"a": 1}, {"a": 2}], "table"), own=False)


def test_a_merged_model_is_measured_like_its_adapter(trained: tuple[Run, Trained], tmp_path: Path) -> None:
    from services.trainers.merging import merge

    run, _ = trained
    (tmp_path / "merged").mkdir()
    merge.merge(run.base, run.final, tmp_path / "merged")
    found = measure(run, folder=tmp_path / "merged", adapter=False)
    assert found.tuned["loss"] == pytest.approx(measure(run).tuned["loss"], abs=1e-4)
    assert found.better == "tuned"


def test_classifiers_are_measured_on_pictures_that_were_not_learned(
    tiny_bases: Path, tmp_path: Path, settings_here: Settings
) -> None:
    base, dataset = tiny_bases / "tiny-resnet", put_folder(tmp_path / "colours", colour_files())
    words: dict[str, Any] = {"epochs": 4, "batch_size": 8, "learning_rate": 0.01, "freeze_backbone": False}
    request = TrainingRequest(trainer="image_classifier", base_model="tiny-resnet", dataset_path="x", **words)
    row = row_of(base, "classifier")
    run = Run(request, base, row, dataset, tmp_path / "run", settings_here)
    left = find_trainer("image_classifier").train(run)
    found = side_by_side.of_classes(
        Measuring(run.final, base, False, dataset, True, EvaluateRequest(), settings_here, parts_seed=request.seed)
    )
    assert (found.kind, found.split, found.rows, found.better) == ("classes", "test", 3, "tuned")
    assert (found.tuned["accuracy"], found.tuned["f1_score"]) == (left.metrics["accuracy"], left.metrics["f1_score"])
    assert found.base["accuracy"] == 0, "it knows other classes alone"
    few = side_by_side.of_classes(
        Measuring(run.final, base, False, dataset, False, EvaluateRequest(max_rows=5), settings_here)
    )
    assert (few.split, few.rows) == ("train", 5)


def test_the_last_answer_is_what_is_asked(tiny_llama: Path, tmp_path: Path, settings_here: Settings) -> None:
    turns = [("user", "one?"), ("assistant", "first"), ("user", "two?"), ("assistant", "second")]
    row = {"messages": [{"role": role, "content": text} for role, text in turns]}
    tokens = rows.tokenizer(tiny_llama)
    limits = Limits.of(settings_here)
    found = held_out.read(
        located(tmp_path / "data", [row] * 2, "messages"), tokens, max_length=512, most=5, limits=limits, learned=True
    )
    prompt, answer = held_out.answer_of(found.rows[0])
    assert tokens.text(answer) == "second<|im_end|>"
    assert tokens.text(prompt).endswith("two?<|im_end|>\n<|im_start|>assistant\n") and "first" in tokens.text(prompt)
