"""Two processes that share a run, here on the CPU: the same weights as one, and they stop together."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from services.errors import Invalid
from services.settings import Settings
from services.trainers.base import Run, find_trainer
from services.trainers.text import launch
from tests.language_models import alpaca, asked, located, row_of
from tests.services.trainers.listening import Listener, stop_at

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path: Path, settings: Settings, tiny_llama: Path) -> Run:
    return Run(
        request=asked(lora={"r": 4, "lora_dropout": 0.0}, epochs=1),
        base=tiny_llama,
        base_row=row_of(tiny_llama),
        dataset=located(tmp_path / "data", alpaca(18)),
        folder=tmp_path / "two",
        settings=settings.model_copy(update={"cpu_threads": 1}),
        job=Listener(),
    )


def weights(run: Run) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(run.final / "adapter_model.safetensors")


def test_two_learn_what_one_does(run: Run, tmp_path: Path) -> None:
    shared = launch.launch(run, 2)
    alone = dataclasses.replace(run, folder=tmp_path / "one", job=Listener())
    single = find_trainer("lora").train(alone)
    told, one = (job.told for job in (run.job, alone.job))  # type: ignore[attr-defined]
    assert [step["current_step"] for step in told] == [step["current_step"] for step in one] == [1, 2, 3, 4, 5]
    assert shared.metrics["tokens"] == single.metrics["tokens"]
    for name, tensor in weights(run).items():
        torch.testing.assert_close(tensor, weights(alone)[name], atol=1e-4, rtol=0)
    assert sorted(path.name for path in run.folder.iterdir()) == ["checkpoints", "final"]


def test_both_stop_after_the_same_step_and_leave_an_adapter(run: Run) -> None:
    run = dataclasses.replace(
        run, request=run.request.model_copy(update={"epochs": 1000}), job=Listener(stop_at(3))
    )  # fmt: skip
    trained = launch.launch(run, 2)
    assert trained.stopped and 3 <= trained.metrics["steps"] < 5000
    assert weights(run)


def test_their_error_is_told_as_one_of_ours(run: Run, tmp_path: Path) -> None:
    bad = dataclasses.replace(run, dataset=located(tmp_path / "bad", [{"a": 1}] * 3, "table"))
    with pytest.raises(Invalid) as caught:
        launch.launch(bad, 2)
    assert caught.value.details["reason"] == "dataset_format"


def test_no_key_is_written_down(run: Run) -> None:
    told = json.dumps(launch._specified(run))
    assert run.settings.secret_key not in told and run.settings.admin_password not in told


def test_gpus_are_launched_by_accelerate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(launch, "gpus", lambda: 4)
    told = launch.command(4, tmp_path / "ranks.json")
    assert told[1:6] == ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "4"]
    assert told[-3:] == ["-m", "services.trainers.text.rank", str(tmp_path / "ranks.json")]
