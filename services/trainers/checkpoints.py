"""Checkpoints of a run: each whole or not there, the newest taken up again, the last two kept while it goes on.

A checkpoint is a folder `step-000123` with tensors in safetensors and a `state.json`, which is written last. It is
made under another name and put in its place by one rename. Nothing in it is a pickle. When the run has ended,
`running.py` keeps the newest of what was stopped or failed, and none of what has finished.
"""

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from services.files import PART, full_disk_told

STATE, TENSORS = "state.json", "state.safetensors"
NAME = re.compile(r"step-(\d{6,})")
KEPT = 2


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole checkpoint: `state` is what its writer told, `tensors()` reads the weights that belong to it."""

    folder: Path
    step: int
    state: dict[str, Any]

    def tensors(self) -> dict[str, Any]:
        """The tensors by name, on the CPU."""
        from safetensors.torch import load_file

        found: dict[str, Any] = load_file(self.folder / TENSORS)
        return found


def write(
    home: Path,
    step: int,
    tensors: dict[str, Any],
    state: dict[str, Any],
    *,
    more: Callable[[Path], None] = lambda folder: None,
) -> Path:
    """Put a checkpoint of *step* into *home* and remove all but the last two; where it lies.

    *more* may write further files into its folder. Raises Unavailable when the disk is full.
    """
    from safetensors.torch import save_file

    with drafted(home / f"step-{step:06}") as part:
        more(part)
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, part / TENSORS)
        (part / STATE).write_bytes(orjson.dumps({"step": step, **state}))
    prune(home)
    return home / f"step-{step:06}"


@contextmanager
def drafted(place: Path) -> Iterator[Path]:
    """An empty folder that stands at *place* afterwards, by one rename once its files are on the disk."""
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f"{PART}{secrets.token_hex(8)}")
    part.mkdir()
    try:
        with full_disk_told():
            yield part
            for file in part.rglob("*"):
                _settle(file)
            _take(part, place)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def newest(home: Path, *, fits: Callable[[dict[str, Any]], bool] = lambda state: True) -> Checkpoint | None:
    """The newest whole checkpoint in *home* whose state *fits*; None where there is none."""
    for folder in reversed(_folders(home)):
        try:
            state = orjson.loads((folder / STATE).read_bytes())
        except (OSError, orjson.JSONDecodeError):
            continue
        if isinstance(state, dict) and fits(state):
            return Checkpoint(folder, int(state["step"]), state)
    return None


def prune(home: Path, *, keep: int = KEPT) -> None:
    """Remove all but the newest *keep* checkpoints of *home*, and what killed processes left half-made."""
    old = _folders(home)[:-keep] if keep else _folders(home)
    for folder in [*old, *home.glob(f"{PART}*")]:
        shutil.rmtree(folder, ignore_errors=True)


def optimizer_tensors(optimizer: Any, names: dict[Any, str]) -> dict[str, Any]:
    """What *optimizer* remembers of each parameter, by the parameter's name in *names* and its own word."""
    return {
        f"optimizer.{names[parameter]}.{word}": value
        for parameter, memory in optimizer.state.items()
        for word, value in memory.items()
    }


def load_optimizer(optimizer: Any, names: dict[Any, str], tensors: dict[str, Any]) -> None:
    """Give *optimizer* back what `optimizer_tensors` told."""
    for parameter, name in names.items():
        prefix = f"optimizer.{name}."
        words = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        # A step is a number on the CPU; whatever has a parameter's shape lives where the parameter does.
        optimizer.state[parameter] = {
            word: value.to(parameter.device) if value.shape == parameter.shape else value.clone()
            for word, value in words.items()
        }


def random_tensors() -> dict[str, Any]:
    """Where torch's generators of chance stand."""
    import torch

    found = {"random.cpu": torch.get_rng_state().clone()}
    if torch.cuda.is_available():
        found["random.cuda"] = torch.cuda.get_rng_state().clone()
    return found


def load_random(tensors: dict[str, Any]) -> None:
    """Put torch's generators where `random_tensors` found them."""
    import torch

    torch.set_rng_state(tensors["random.cpu"])
    if "random.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random.cuda"])


def _folders(home: Path) -> list[Path]:
    """The checkpoints in *home*, the oldest first."""
    found = [(int(match[1]), path) for path in home.glob("step-*") if (match := NAME.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def _settle(file: Path) -> None:
    """Bring *file* to the disk itself: a rename may outlive a power cut that the content does not."""
    if file.is_file():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())


def _take(part: Path, place: Path) -> None:
    """Rename *part* to *place*; what stood there, from an earlier attempt at the same step, goes first."""
    if place.exists():
        old = place.with_name(f"{PART}{secrets.token_hex(8)}")
        place.rename(old)
        shutil.rmtree(old, ignore_errors=True)
    part.rename(place)
