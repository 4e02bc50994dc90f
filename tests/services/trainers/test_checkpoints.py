"""Checkpoints: whole or not there, the last two kept, optimizers and chance restored."""

import errno
import json
from pathlib import Path

import pytest
import torch

from services.errors import Unavailable
from services.trainers import checkpoints


def write(home: Path, step: int) -> Path:
    return checkpoints.write(home, step, {"a": torch.full((2,), float(step))}, {"run": "x"})


def test_the_newest_is_found_with_its_tensors(tmp_path: Path) -> None:
    write(tmp_path, 9)
    write(tmp_path, 1_000_000)
    found = checkpoints.newest(tmp_path)
    assert found is not None
    assert (found.step, found.state["run"], found.tensors()["a"].tolist()) == (1_000_000, "x", [1e6, 1e6])


def test_nothing_is_found_where_nothing_was_written(tmp_path: Path) -> None:
    assert checkpoints.newest(tmp_path / "none") is None


def test_the_last_two_are_kept_and_halves_go(tmp_path: Path) -> None:
    (tmp_path / ".part-0123").mkdir()
    for step in (5, 10, 15):
        write(tmp_path, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000010", "step-000015"]


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_one_that_is_not_whole_is_passed_over(damage: str, tmp_path: Path) -> None:
    write(tmp_path, 1)
    state = write(tmp_path, 2) / checkpoints.STATE
    state.unlink() if damage == "gone" else state.write_bytes(state.read_bytes()[:5])
    found = checkpoints.newest(tmp_path)
    assert found is not None and found.step == 1


def test_one_of_another_run_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, 1)
    assert checkpoints.newest(tmp_path, fits=lambda state: state["run"] == "y") is None


def test_one_that_is_written_again_replaces_the_old(tmp_path: Path) -> None:
    write(tmp_path, 3)
    checkpoints.write(tmp_path, 3, {"a": torch.zeros(1)}, {"run": "new"})
    found = checkpoints.newest(tmp_path)
    assert found is not None and found.state["run"] == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["step-000003"]


def test_a_full_disk_leaves_the_old_one_and_no_half(tmp_path: Path) -> None:
    def full(folder: Path) -> None:
        (folder / "half").write_bytes(b"x")
        raise OSError(errno.ENOSPC, "no space")

    write(tmp_path, 1)
    with pytest.raises(Unavailable) as caught:
        checkpoints.write(tmp_path, 2, {"a": torch.zeros(1)}, {}, more=full)
    assert caught.value.details["reason"] == "disk_full"
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


def test_no_file_of_one_is_a_pickle(tmp_path: Path) -> None:
    folder = write(tmp_path, 1)
    assert sorted(path.name for path in folder.iterdir()) == ["state.json", "state.safetensors"]
    assert json.loads((folder / "state.json").read_text()) == {"step": 1, "run": "x"}


def steps(model: torch.nn.Module, optimizer: torch.optim.Optimizer, count: int) -> None:
    for _ in range(count):
        optimizer.zero_grad()
        (torch.rand(4, 3) @ model.weight.t()).square().sum().backward()  # type: ignore[operator, union-attr]
        optimizer.step()


def layer() -> tuple[torch.nn.Linear, torch.optim.Optimizer]:
    torch.manual_seed(1)
    model = torch.nn.Linear(3, 3, bias=False)
    return model, torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)


def test_an_optimizer_and_chance_go_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    whole, optimizer = layer()
    steps(whole, optimizer, 3)
    tensors = checkpoints.optimizer_tensors(optimizer, {whole.weight: "w"}) | checkpoints.random_tensors()
    checkpoints.write(tmp_path, 3, tensors | {"w": whole.weight.clone()}, {})
    steps(whole, optimizer, 3)

    again, fresh = layer()
    found = checkpoints.newest(tmp_path)
    assert found is not None
    tensors = found.tensors()
    again.weight.data = tensors["w"]
    checkpoints.load_optimizer(fresh, {again.weight: "w"}, tensors)
    checkpoints.load_random(tensors)
    steps(again, fresh, 3)
    assert torch.equal(whole.weight, again.weight)
