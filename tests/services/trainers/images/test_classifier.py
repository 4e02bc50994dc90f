"""Classifiers that are really trained: tiny ones whole, broken off, stopped and refused; one on real photographs."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from services.compute.progress import Job
from services.contracts.models import CatalogRow
from services.contracts.training import TrainingRequest
from services.datasets.store import Located
from services.engines.classifier import Classifier
from services.errors import Cancelled, Invalid, Unavailable
from services.measures.classes import evaluate_held_out
from services.settings import Settings
from services.trainers.base import Run, Trained, find_trainer
from tests.taught_pictures import COLOURS, PHOTOGRAPHS, colour_files, coloured, encoded, piece_of, put_folder
from tests.vision_models import CLASSIFIER

SETTINGS = Settings(_env_file=None, cpu_threads=1)
TRAINER = find_trainer("image_classifier")


class Broken(BaseException):
    """The process is gone: nothing of ours may catch it."""


class Told(Job):
    """A job that keeps what it is told, and ends the run at a step: by a stop, or as if it were killed."""

    def __init__(self, *, end_at: int = 0, by: type[BaseException] = Cancelled) -> None:
        self.metrics: list[dict[str, Any]] = []
        self.fractions: list[float] = []
        self.lines: list[str] = []
        self._end_at, self._by = end_at, by

    def progress(self, fraction: float, **metrics: Any) -> None:
        self.fractions.append(fraction)
        if metrics:
            self.metrics.append(metrics)
        if self._end_at and metrics.get("current_step", 0) >= self._end_at:
            raise self._by

    def log(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(autouse=True)
def told_at_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is held back for people's eyes."""
    monkeypatch.setattr("services.trainers.images.training.TELL_SECONDS", 0.0)


@pytest.fixture
def colours(tmp_path: Path) -> Located:
    return put_folder(tmp_path / "colours", colour_files())


def run_of(base: Path, dataset: Located, folder: Path, *, job: Job | None = None, **asked: Any) -> Run:
    known: dict[str, Any] = {"epochs": 4, "batch_size": 8, "learning_rate": 0.01, **asked}
    request = TrainingRequest(trainer="image_classifier", base_model=base.name, dataset_path="x", **known)
    row = CatalogRow(
        id=base.name, name=base.name, abilities=["image-classification"], licence="own", engine="classifier"
    )
    return Run(request, base, row, dataset, folder, SETTINGS, job or Told())


def weights(run: Run) -> dict[str, Any]:
    from safetensors.torch import load_file

    found: dict[str, Any] = load_file(run.final / "model.safetensors")
    return found


def furthest(one: Run, other: Run) -> float:
    """The largest difference of any weight of two results."""
    mine, theirs = weights(one), weights(other)
    assert mine.keys() == theirs.keys()
    return max(float((mine[name].float() - theirs[name].float()).abs().max()) for name in mine)


def answers(folder: Path, images: list[Image.Image]) -> list[str]:
    """What the engine says of *images*."""
    row = CatalogRow(id="x", name="x", abilities=["image-classification"], licence="own", engine="classifier")
    engine = Classifier(row, folder, SETTINGS)
    engine.load()
    try:
        return [engine.classify(engine.prepare(image), top_k=3, owner="lin")[0].label for image in images]
    finally:
        engine.unload()


def picture(label: str, number: int) -> Image.Image:
    import io

    return Image.open(io.BytesIO(coloured(label, number))).convert("RGB")


@pytest.mark.parametrize("name", ["tiny-vit", "tiny-vit-of-three", "tiny-resnet", "tiny-deit"])
@pytest.mark.parametrize("freeze", [True, False], ids=["head", "whole"])
def test_a_base_of_each_kind_learns_three_colours(
    tiny_bases: Path, colours: Located, tmp_path: Path, name: str, freeze: bool
) -> None:
    run = run_of(tiny_bases / name, colours, tmp_path / "run", freeze_backbone=freeze, epochs=20)
    trained = TRAINER.train(run)
    assert (trained.engine, trained.stopped, trained.adapter) == ("classifier", False, False)
    assert trained.metrics["pictures"] == {"train": 24, "validation": 3, "test": 3, "skipped": 0}
    assert trained.metrics["labels"] == ["blue", "green", "red"]
    fresh = [picture(label, 100) for label in COLOURS]
    assert answers(run.final, fresh) == list(COLOURS)


def test_what_is_frozen_stays_as_it_was(tiny_bases: Path, colours: Located, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    run = run_of(tiny_bases / "tiny-resnet", colours, tmp_path / "run")
    TRAINER.train(run)
    before, after = load_file(tiny_bases / "tiny-resnet" / "model.safetensors"), weights(run)
    changed = {
        name for name in before if before[name].shape != after[name].shape or not before[name].equal(after[name])
    }
    assert changed == {"classifier.1.weight", "classifier.1.bias"}


def test_the_whole_model_learns_but_its_means_stay(tiny_bases: Path, colours: Located, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    run = run_of(tiny_bases / "tiny-resnet", colours, tmp_path / "run", freeze_backbone=False)
    TRAINER.train(run)
    before, after = load_file(tiny_bases / "tiny-resnet" / "model.safetensors"), weights(run)
    means = [name for name in before if "running_" in name]
    assert means and all(before[name].equal(after[name]) for name in means)
    assert not before["resnet.embedder.embedder.convolution.weight"].equal(
        after["resnet.embedder.embedder.convolution.weight"]
    )


def test_it_tells_live_what_people_follow(tiny_bases: Path, colours: Located, tmp_path: Path) -> None:
    job = Told()
    trained = TRAINER.train(run_of(tiny_bases / "tiny-vit", colours, tmp_path / "run", job=job))
    steps = [told["current_step"] for told in job.metrics]
    assert steps == list(range(1, 13))
    last = job.metrics[-1]
    assert {"loss", "train_loss", "learning_rate", "epoch", "val_loss", "accuracy", "f1_score"} <= last.keys()
    assert (last["current_epoch"], last["total_epochs"], last["total_steps"], last["epoch"]) == (4, 4, 12, 4.0)
    assert job.fractions == sorted(job.fractions) and job.fractions[-1] <= 1
    assert {"accuracy", "f1_score", "confusion_matrix", "per_class", "val_loss"} <= trained.metrics.keys()
    assert sum(map(sum, trained.metrics["confusion_matrix"])) == 3


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("tiny-vit", {}),
        ("tiny-vit-dropping", {"freeze_backbone": False}),
        ("tiny-deit", {}),
        ("tiny-vit-dropping", {"freeze_backbone": False, "augmentation": False, "gradient_accumulation_steps": 2}),
    ],
    ids=["head", "whole", "two-heads", "accumulated"],
)
def test_a_run_that_was_killed_ends_with_the_weights_of_an_unbroken_one(
    tiny_bases: Path, colours: Located, tmp_path: Path, name: str, asked: dict[str, Any]
) -> None:
    whole = run_of(tiny_bases / name, colours, tmp_path / "whole", save_steps=2, **asked)
    TRAINER.train(whole)
    broken = run_of(tiny_bases / name, colours, tmp_path / "broken", save_steps=2, **asked)
    for end_at in (1, 3, 5):
        with pytest.raises(Broken):
            TRAINER.train(replace(broken, job=Told(end_at=end_at, by=Broken)))
        assert not broken.final.exists()
    job = Told()
    TRAINER.train(replace(broken, job=job))
    assert any("goes on from step" in line for line in job.lines)
    assert job.metrics[0]["current_step"] > 3
    assert furthest(whole, broken) < 1e-4


def test_a_checkpoint_of_another_request_is_not_taken_up(tiny_bases: Path, colours: Located, tmp_path: Path) -> None:
    run = run_of(tiny_bases / "tiny-vit", colours, tmp_path / "run")
    with pytest.raises(Broken):
        TRAINER.train(replace(run, job=Told(end_at=6, by=Broken)))
    job = Told()
    TRAINER.train(replace(run, request=run.request.model_copy(update={"seed": 7}), job=job))
    assert job.metrics[0]["current_step"] == 1


def test_each_epoch_leaves_a_checkpoint_and_old_ones_go(tiny_bases: Path, colours: Located, tmp_path: Path) -> None:
    run = run_of(tiny_bases / "tiny-vit", colours, tmp_path / "run")
    TRAINER.train(run)
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["step-000009", "step-000012"]
    assert not (run.folder / "features").exists()


def test_a_checkpoint_comes_each_minute(
    tiny_bases: Path, colours: Located, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.trainers.images.training.CHECKPOINT_SECONDS", 0.0)
    run = run_of(tiny_bases / "tiny-vit", colours, tmp_path / "run", job=Told(end_at=2, by=Broken))
    with pytest.raises(Broken):
        TRAINER.train(run)
    assert [path.name for path in sorted(run.checkpoints.iterdir())] == ["step-000001", "step-000002"]


def test_a_stop_leaves_one_that_can_be_used(tiny_bases: Path, colours: Located, tmp_path: Path) -> None:
    run = run_of(tiny_bases / "tiny-vit", colours, tmp_path / "run", epochs=20, job=Told(end_at=31))
    trained = TRAINER.train(run)
    assert (trained.stopped, trained.metrics["steps"]) == (True, 31)
    assert (run.checkpoints / "step-000031").is_dir()
    assert answers(run.final, [picture(label, 7) for label in COLOURS]) == list(COLOURS)


def test_a_stop_before_the_first_step_is_a_stop(tiny_bases: Path, colours: Located, tmp_path: Path) -> None:
    class Stopped(Told):
        def check(self) -> None:
            raise Cancelled

    with pytest.raises(Cancelled):
        TRAINER.train(run_of(tiny_bases / "tiny-vit", colours, tmp_path / "run", job=Stopped()))


def test_a_run_that_diverges_ends_with_its_reason(tiny_bases: Path, colours: Located, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForImageClassification

    base = tmp_path / "tiny-broken"
    model = AutoModelForImageClassification.from_pretrained(tiny_bases / "tiny-vit")
    with torch.no_grad():
        model.vit.layernorm.bias.fill_(float("nan"))
    model.save_pretrained(base)
    (base / "preprocessor_config.json").write_bytes((tiny_bases / "tiny-vit" / "preprocessor_config.json").read_bytes())
    run = run_of(base, colours, tmp_path / "run")
    with pytest.raises(Unavailable) as caught:
        TRAINER.train(run)
    assert caught.value.details["reason"] == "diverged"
    assert not run.final.exists()


def test_broken_pictures_are_left_out_and_counted(tiny_bases: Path, tmp_path: Path) -> None:
    cut = coloured("red", 50)[:400]
    strip = encoded(Image.new("RGB", (500, 2)))
    files = colour_files() | {"red/cut.jpg": cut, "blue/strip.jpg": strip, "red/text.jpg": b"hello", "red/e.jpg": b""}
    job = Told()
    run = run_of(tiny_bases / "tiny-vit", put_folder(tmp_path / "x", files), tmp_path / "run", epochs=1, job=job)
    trained = TRAINER.train(run)
    assert trained.metrics["pictures"] == {"train": 24, "validation": 3, "test": 3, "skipped": 4}
    assert "2 pictures cannot be read" in job.lines[0]
    assert "red/cut.jpg" in job.lines[0]


def test_a_class_of_broken_pictures_alone_ends_the_run(tiny_bases: Path, tmp_path: Path) -> None:
    cut = {f"green/{number}.jpg": coloured("green", number)[:400] for number in range(3)}
    dataset = put_folder(tmp_path / "x", colour_files(4, ("red",)) | cut)
    with pytest.raises(Invalid, match="one class alone"):
        TRAINER.train(run_of(tiny_bases / "tiny-vit", dataset, tmp_path / "run"))


def test_a_rare_class_counts_as_much_as_a_common_one(tiny_bases: Path, tmp_path: Path) -> None:
    from services.datasets.labelled_pictures import open_pictures
    from services.trainers.images.training import ImageTraining
    from services.trainers.images.views import Views

    dataset = put_folder(tmp_path / "x", colour_files(30, ("red",)) | colour_files(10, ("blue",)))
    run = run_of(tiny_bases / "tiny-vit", dataset, tmp_path / "run")
    with open_pictures(dataset, SETTINGS) as source:
        views = Views(source, run.base, SETTINGS)
        loop = ImageTraining(run, source, views).loop
        views.close()
    # 32 pictures to learn: 8 blue and 24 red.
    assert loop._class_weights() == pytest.approx([32 / (2 * 8), 32 / (2 * 24)])


def test_a_batch_larger_than_the_data_set_is_all_of_it(tiny_bases: Path, colours: Located, tmp_path: Path) -> None:
    job = Told()
    TRAINER.train(run_of(tiny_bases / "tiny-vit", colours, tmp_path / "run", batch_size=1024, epochs=2, job=job))
    assert job.metrics[-1]["total_steps"] == 2


def test_a_check_tells_what_there_is(tiny_bases: Path, colours: Located, tmp_path: Path) -> None:
    dataset = put_folder(tmp_path / "more", colour_files(13))
    run = run_of(tiny_bases / "tiny-vit", dataset, tmp_path / "run")
    estimate = TRAINER.check(run)
    assert (estimate.rows, estimate.warnings) == (39, [])
    assert 0 < estimate.memory_mb < estimate.available_mb
    whole = TRAINER.check(run_of(tiny_bases / "tiny-vit", colours, tmp_path / "run", freeze_backbone=False))
    assert whole.memory_mb > estimate.memory_mb
    assert not run.folder.exists()


def test_a_check_warns_of_little_and_of_what_is_no_picture(tiny_bases: Path, tmp_path: Path) -> None:
    dataset = put_folder(tmp_path / "x", colour_files(4) | {"red/notes.txt": b"hello"})
    told = [warning["en"] for warning in TRAINER.check(run_of(tiny_bases / "tiny-vit", dataset, tmp_path)).warnings]
    assert told[0].startswith("1 rows name no picture")
    assert "blue, green, red" in told[1]


def refusal(run: Run) -> dict[str, Any]:
    with pytest.raises((Invalid, Unavailable)) as caught:
        TRAINER.check(run)
    return caught.value.details


DATA_SETS = {
    "one_class": colour_files(9, ("red",)),
    "too_few_pictures": colour_files(9) | {"mauve/1.jpg": coloured("red", 77)},
    "no_pictures": {"red/notes.txt": b"hello"},
}


@pytest.mark.parametrize("reason", DATA_SETS)
def test_a_data_set_that_cannot_be_learned_is_refused_before(tiny_bases: Path, tmp_path: Path, reason: str) -> None:
    dataset = put_folder(tmp_path / "x", DATA_SETS[reason])
    told = refusal(run_of(tiny_bases / "tiny-vit", dataset, tmp_path / "run"))
    assert (told["field"], told["reason"]) == ("dataset_path", reason)


def test_texts_are_refused_before(tiny_bases: Path, colours: Located, tmp_path: Path) -> None:
    told = refusal(run_of(tiny_bases / "tiny-vit", replace(colours, format="messages"), tmp_path / "run"))
    assert (told["reason"], told["format"]) == ("dataset_format", "messages")


def test_a_base_of_another_kind_is_refused_before(colours: Located, tmp_path: Path) -> None:
    base = tmp_path / "other"
    base.mkdir()
    (base / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    assert refusal(run_of(base, colours, tmp_path / "run"))["reason"] == "not_trainable"


def test_a_base_without_weights_is_refused_before(tiny_bases: Path, colours: Located, tmp_path: Path) -> None:
    base = tmp_path / "tiny"
    base.mkdir()
    for name in ("config.json", "preprocessor_config.json"):
        (base / name).write_bytes((tiny_bases / "tiny-vit" / name).read_bytes())
    assert refusal(run_of(base, colours, tmp_path / "run"))["reason"] == "not_trainable"


def test_more_memory_than_there_is_is_refused_before(tiny_bases: Path, tmp_path: Path) -> None:
    import json
    import shutil

    base = tmp_path / "huge"
    shutil.copytree(tiny_bases / "tiny-vit", base)
    (base / "preprocessor_config.json").write_text(json.dumps({"size": {"height": 100_000, "width": 100_000}}))
    dataset = put_folder(tmp_path / "x", colour_files(20))
    told = refusal(run_of(base, dataset, tmp_path / "run", batch_size=1024, freeze_backbone=False))
    assert told["reason"] == "out_of_memory"
    assert told["needed_mb"] > told["available_mb"]


@pytest.fixture(scope="module")
def photographs(vision_models: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Trained]:
    """The starter model, taught 60 pieces of three photographs with the doors' own defaults."""
    folder = tmp_path_factory.mktemp("photographs")
    files = {f"{name}/{number}.jpg": encoded(piece_of(name, number)) for name, number in
             itertools.product(PHOTOGRAPHS, range(20))}  # fmt: skip
    dataset = put_folder(folder / "x", files)
    run = run_of(vision_models / CLASSIFIER, dataset, folder / "run", epochs=10, learning_rate=1e-4)
    return run, TRAINER.train(run)


def test_sixty_photographs_become_a_classifier_that_knows_new_ones(photographs: tuple[Run, Trained]) -> None:
    run, trained = photographs
    assert (trained.metrics["accuracy"], trained.metrics["f1_score"]) == (1.0, 1.0)
    assert trained.metrics["confusion_matrix"] == [[2, 0, 0], [0, 2, 0], [0, 0, 2]]
    fresh = [piece_of(name, number) for name in PHOTOGRAPHS for number in (100, 101)]
    assert answers(run.final, fresh) == [name for name in PHOTOGRAPHS for _ in range(2)]


def test_judged_again_it_is_what_it_was_told_to_be(photographs: tuple[Run, Trained]) -> None:
    run, trained = photographs
    part, again = evaluate_held_out(run.final, run.dataset, run.request.seed, SETTINGS)
    assert (part, again.told() | {"pictures": 0}) == (
        "test", {name: trained.metrics[name] for name in again.told()} | {"pictures": 0},
    )  # fmt: skip
    _, before = evaluate_held_out(run.base, run.dataset, run.request.seed, SETTINGS)
    assert (before.accuracy, before.pictures, sum(before.other)) == (0, 6, 6)


def test_its_folder_is_one_that_transformers_loads(photographs: tuple[Run, Trained]) -> None:
    from transformers import AutoModelForImageClassification

    run, _ = photographs
    model = AutoModelForImageClassification.from_pretrained(run.final)
    assert model.config.id2label == dict(enumerate(PHOTOGRAPHS))
    assert {path.name for path in run.final.iterdir()} == {
        "config.json", "evaluation.json", "model.safetensors", "preprocessor_config.json",
    }  # fmt: skip


def test_what_was_trained_is_a_base_for_more(photographs: tuple[Run, Trained], tmp_path: Path) -> None:
    run, _ = photographs
    dataset = put_folder(tmp_path / "x", colour_files(3))
    again = run_of(run.final, dataset, tmp_path / "run", epochs=1)
    assert TRAINER.train(again).metrics["labels"] == list(COLOURS)
