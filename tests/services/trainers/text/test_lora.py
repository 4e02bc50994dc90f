"""LoRA on a tiny Llama: it learns, goes on where it was broken off, and what it leaves is plain peft's."""

import dataclasses
import json
import math
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from services.compute.progress import Job
from services.errors import Cancelled, Invalid, Unavailable
from services.settings import Settings
from services.trainers.base import Run, find_trainer
from services.trainers.text import footprint, lora
from tests.language_models import alpaca, asked, located, row_of
from tests.services.trainers.listening import Listener, stop_at
from tests.source import ROOT

Make = Callable[..., Run]


@pytest.fixture
def make(tmp_path: Path, settings: Settings, tiny_llama: Path) -> Make:
    """Runs of the tiny model on forty rows, each in a folder of its own name."""
    quiet = settings.model_copy(update={"cpu_threads": 1})
    rows = located(tmp_path / "data", alpaca(40))

    def build(name: str = "run", *, job: Job | None = None, **more: Any) -> Run:
        facts = {"base": tiny_llama, "dataset": rows, "base_row": row_of(tiny_llama)}
        facts |= {key: more.pop(key) for key in list(more) if key in facts}
        return Run(request=asked(**more), folder=tmp_path / name, settings=quiet, job=job or Listener(), **facts)

    return build


def weights(run: Run) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(run.final / "adapter_model.safetensors")


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], atol=1e-4, rtol=0)


TRAINER = find_trainer("lora")


def test_it_learns_and_tells_what_it_does(make: Make) -> None:
    run = make(epochs=4)
    trained = TRAINER.train(run)
    told = run.job.told  # type: ignore[attr-defined]
    assert told[-1]["loss"] < told[0]["loss"] - 0.3
    assert [one["current_step"] for one in told] == list(range(1, 41))
    last = told[-1]
    assert (last["total_steps"], last["current_epoch"], last["total_epochs"], last["epoch"]) == (40, 4, 4, 4.0)
    assert last["eta_seconds"] == 0 and last["tokens_per_second"] > 0 and last["memory_mb"] > 0
    assert last["learning_rate"] < 0.001 and last["grad_norm"] > 0
    assert (trained.engine, trained.abilities, trained.adapter, trained.stopped) == (
        "transformers_text",
        ["chat"],
        True,
        False,
    )
    assert trained.metrics["val_loss"] < told[9]["val_loss"] and trained.metrics["rows"] == 38
    assert trained.metrics["perplexity"] == pytest.approx(math.exp(trained.metrics["val_loss"]), rel=1e-3)


def test_plain_peft_loads_what_it_left_with_the_tokenizer_and_the_template(make: Make, tiny_llama: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = make()
    TRAINER.train(run)
    base = AutoModelForCausalLM.from_pretrained(tiny_llama)
    plain = base(input_ids=torch.arange(20)[None]).logits
    tuned = PeftModel.from_pretrained(base, run.final)(input_ids=torch.arange(20)[None]).logits
    assert float((tuned - plain).abs().max()) > 0.01
    tokenizer = AutoTokenizer.from_pretrained(run.final)
    asked_for = tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False)
    assert asked_for == "<|im_start|>user\na<|im_end|>\n"
    told = json.loads((run.final / "training.json").read_text())
    assert (told["base_model"], told["format"], told["template"]) == ("tiny-llama", "alpaca", None)
    config = json.loads((run.final / "adapter_config.json").read_text())
    linear = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert set(config["target_modules"]) == linear and config["base_model_name_or_path"] == "tiny-llama"
    assert not [path for path in run.folder.rglob("*") if path.suffix in {".bin", ".pt", ".pth", ".pkl"}]


def test_the_same_seed_gives_the_same_weights_and_another_others(make: Make) -> None:
    runs = [make("a"), make("b"), make("c", seed=1)]
    for run in runs:
        TRAINER.train(run)
    assert_same(weights(runs[0]), weights(runs[1]))
    assert any(not torch.equal(tensor, weights(runs[2])[name]) for name, tensor in weights(runs[0]).items())


@pytest.mark.parametrize("step", [3, 10, 13])
def test_a_run_that_was_stopped_goes_on_to_the_same_weights(step: int, make: Make) -> None:
    whole, broken = make("whole"), make("broken", job=Listener(stop_at(step)))
    TRAINER.train(whole)
    stopped = TRAINER.train(broken)
    assert stopped.stopped and stopped.metrics["steps"] == step
    assert (broken.final / "adapter_model.safetensors").is_file()
    again = dataclasses.replace(broken, job=Listener())
    assert not TRAINER.train(again).stopped
    assert again.job.told[0]["current_step"] == step + 1  # type: ignore[attr-defined]
    assert_same(weights(whole), weights(again))


DIES = """
import os, pickle, signal, sys
from services.compute.progress import Job
from services.trainers.base import find_trainer

class Doomed(Job):
    def progress(self, fraction, **metrics):
        if metrics.get("current_step") == 13:
            os.kill(os.getpid(), signal.SIGKILL)

import dataclasses
run = pickle.load(sys.stdin.buffer)
find_trainer("lora").train(dataclasses.replace(run, job=Doomed()))
"""


def test_a_run_that_was_killed_goes_on_to_the_same_weights(make: Make) -> None:
    whole, killed = make("whole"), make("killed", save_steps=6)
    TRAINER.train(whole)
    silent = dataclasses.replace(killed, job=Job())
    ran = subprocess.run([sys.executable, "-c", DIES], cwd=ROOT, input=pickle.dumps(silent), check=False)
    assert ran.returncode == -signal.SIGKILL
    assert not killed.final.exists()
    TRAINER.train(killed)
    assert killed.job.told[0]["current_step"] == 13  # type: ignore[attr-defined]
    assert_same(weights(whole), weights(killed))


def test_a_step_that_is_broken_off_never_happened(make: Make) -> None:
    class Impatient(Listener):
        """Stops in the middle of a step, between two parts of it."""

        looks = 0

        def check(self) -> None:
            self.looks += 1
            if self.looks == 7:
                raise Cancelled()

    more = {"gradient_accumulation_steps": 4}
    whole, broken = make("whole", **more), make("broken", job=Impatient(), **more)
    TRAINER.train(whole)
    assert TRAINER.train(broken).metrics["steps"] == 1
    TRAINER.train(dataclasses.replace(broken, job=Listener()))
    assert_same(weights(whole), weights(broken))


def test_a_run_stopped_before_it_learned_anything_leaves_nothing(make: Make) -> None:
    class Gone(Listener):
        def check(self) -> None:
            raise Cancelled()

    run = make(job=Gone())
    with pytest.raises(Cancelled):
        TRAINER.train(run)
    assert not run.final.exists()


def test_checkpoints_come_each_epoch_and_each_so_many_steps_and_two_are_kept(make: Make) -> None:
    seen: list[list[str]] = []

    class Watcher(Listener):
        def artifact(self, name: str, **facts: Any) -> None:
            seen.append(sorted(path.name for path in run.checkpoints.iterdir()))

    run = make(job=Watcher(), save_steps=4)
    TRAINER.train(run)
    assert [names[-1] for names in seen] == [f"step-{step:06}" for step in (4, 8, 10, 12, 16, 20)]
    assert all(len(names) <= 2 for names in seen)


def test_a_checkpoint_comes_each_minute(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lora, "CHECKPOINT_SECONDS", 0.0)
    steps: list[int] = []

    class Watcher(Listener):
        def artifact(self, name: str, **facts: Any) -> None:
            steps.append(facts["step"])

    TRAINER.train(make(job=Watcher(), epochs=1))
    assert steps == list(range(1, 11))


def test_a_checkpoint_of_another_run_is_not_gone_on_from(make: Make) -> None:
    first = make(job=Listener(stop_at(5)))
    TRAINER.train(first)
    other = make(learning_rate=0.002)
    TRAINER.train(other)
    assert other.job.told[0]["current_step"] == 1  # type: ignore[attr-defined]


def test_gradient_accumulation_learns_as_one_large_batch_does(make: Make) -> None:
    lora_free = {"lora": {"r": 4, "lora_dropout": 0.0}, "epochs": 1}
    large, small = make("large", batch_size=8, **lora_free), make("small", gradient_accumulation_steps=2, **lora_free)
    TRAINER.train(large)
    TRAINER.train(small)
    assert len(small.job.told) == len(large.job.told) == 5  # type: ignore[attr-defined]
    assert_same(weights(large), weights(small))


def test_padded_rows_learn_as_those_end_to_end_do(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    more = {"lora": {"r": 4, "lora_dropout": 0.0}, "batch_size": 40, "epochs": 3}
    plain, padded = make("plain", **more), make("padded", packing=True, **more)
    TRAINER.train(plain)
    monkeypatch.setattr(lora.attention, "fits", lambda model: False)
    TRAINER.train(padded)
    assert any("packing is left out" in line for line in padded.job.lines)  # type: ignore[attr-defined]
    assert_same(weights(plain), weights(padded))


def test_packing_fills_steps_and_learns(make: Make) -> None:
    run = make(packing=True, max_length=128, batch_size=2, epochs=6)
    TRAINER.train(run)
    told = run.job.told  # type: ignore[attr-defined]
    assert told[0]["total_steps"] < 6 * 19
    assert told[-1]["loss"] < told[0]["loss"]


def test_gradient_checkpointing_learns_the_same(make: Make) -> None:
    plain, spared = make("plain", epochs=1), make("spared", epochs=1, gradient_checkpointing=True)
    TRAINER.train(plain)
    TRAINER.train(spared)
    assert_same(weights(plain), weights(spared))


@pytest.mark.parametrize("kind", ["int4", "int8"])
@pytest.mark.filterwarnings("error:MatMul8bitLt")
def test_a_quantized_base_learns_and_its_adapter_is_plain(
    kind: str, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    run = make(quantization=kind, epochs=3)
    TRAINER.train(run)
    told = run.job.told  # type: ignore[attr-defined]
    assert told[-1]["loss"] < told[0]["loss"] - 0.3
    assert {tensor.dtype for tensor in weights(run).values()} == {torch.float32}
    assert "MatMul8bitLt" not in caplog.text


def test_four_bits_learn_on_processors_that_could_pack_them_for_inference(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bitsandbytes.nn.modules as layers

    def pack(*_weight: object) -> None:
        raise AssertionError("what is packed for inference passes no gradients")

    monkeypatch.setattr(layers, "has_avx512bf16", lambda: True)
    monkeypatch.setattr(layers, "_convert_weight_packed_for_cpu", pack)
    run = make(quantization="int4", epochs=2)
    TRAINER.train(run)
    told = run.job.told  # type: ignore[attr-defined]
    assert told[-1]["loss"] < told[0]["loss"]


def test_a_run_that_diverges_ends_with_the_reason(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from services.trainers.text.loop import Loop

    learn = Loop._learn

    def spoiled(self: Loop, rows: list[int], answers: int) -> tuple[float, int]:
        loss, tokens = learn(self, rows, answers)
        return (float("nan"), tokens) if self.step == 3 else (loss, tokens)

    monkeypatch.setattr(Loop, "_learn", spoiled)
    run = make()
    with pytest.raises(Unavailable) as caught:
        TRAINER.train(run)
    assert caught.value.details == {"reason": "diverged", "step": 4}
    assert not run.final.exists()


def test_check_tells_rows_lengths_and_memory(make: Make) -> None:
    found = TRAINER.check(make(max_length=50))
    assert (found.rows, found.longest) == (40, 56)
    assert found.cut_rows > 0 and found.warnings[0]["en"].startswith(f"{found.cut_rows} rows are longer")
    assert 0 < found.memory_mb < found.available_mb


def test_check_refuses_what_memory_will_not_do(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "available_mb", lambda: 100.0)
    with pytest.raises(Unavailable) as caught:
        TRAINER.check(make())
    assert caught.value.details["reason"] == "out_of_memory"
    assert caught.value.details["available_mb"] == 100


def test_check_refuses_rows_without_answers(make: Make, tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        TRAINER.check(make(dataset=located(tmp_path / "bad", [{"a": 1}] * 3, "table")))
    assert caught.value.details["reason"] == "dataset_format"


def test_checking_loads_no_weights_and_no_torch(tiny_llama: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from services.trainers import base_weights;"
        "from services.trainers.text import footprint, rows;"
        "from tests.language_models import asked; folder = Path(sys.argv[1]); rows.tokenizer(folder).ids(['a']);"
        "footprint.check(footprint.needed_mb(base_weights.shapes(folder), asked(), lengths=[9], gpu=False));"
        "print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, tiny_llama], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["False", "False"]
