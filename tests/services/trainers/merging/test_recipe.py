"""Merges of tiny models: the weights, the proof, GGUF on llama.cpp, and nothing left of one that is not the same."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from services.datasets import gguf
from services.errors import Conflict, Unavailable
from services.measures import parity
from services.settings import Settings
from services.trainers.base import Run, find_trainer
from services.trainers.merging import gguf_file, merge, recipe
from services.trainers.merging.recipe import Merging
from tests.language_models import alpaca, asked, llama, located, row_of

Make = Callable[..., Merging]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a tokenizer that llama.cpp takes: it pairs two letters, in place of a byte no text has."""
    folder = llama(tmp_path_factory.mktemp("base") / "tiny-llama")
    told = json.loads((folder / "tokenizer.json").read_text())
    told["model"]["vocab"]["th"] = told["model"]["vocab"].pop("ÿ")
    told["model"]["merges"] = [["t", "h"]]
    (folder / "tokenizer.json").write_text(json.dumps(told))
    return folder


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """An adapter that learned something, of the tiny model."""
    folder = tmp_path_factory.mktemp("adapter")
    settings = Settings(_env_file=None, secret_key="x" * 32, instance_dir=folder, cpu_threads=1)
    rows = located(folder / "data", alpaca(40))
    run = Run(
        request=asked(epochs=3),
        base=base,
        base_row=row_of(base),
        dataset=rows,
        folder=folder / "run",
        settings=settings,
    )
    find_trainer("lora").train(run)
    return run.final


@pytest.fixture
def make(tmp_path: Path, settings: Settings, base: Path, adapter: Path) -> Make:
    quiet = settings.model_copy(update={"cpu_threads": 1})

    def build(**more: Any) -> Merging:
        rows = located(tmp_path / "data", alpaca(40))
        facts = {"base": base, "adapter": adapter, "out": tmp_path / "merged", "dataset": rows, "settings": quiet}
        return Merging(**(facts | more))

    return build


def logits(folder: Path, adapter: Path | None = None) -> torch.Tensor:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, adapter) if adapter else model
    with torch.no_grad():
        return model(input_ids=torch.arange(40)[None]).logits


def test_the_merged_model_says_what_its_adapter_says(make: Make, base: Path, adapter: Path) -> None:
    wanted = make()
    merged = recipe.run(wanted)
    assert (merged.engine, merged.dtype) == ("transformers_text", "float32")
    torch.testing.assert_close(logits(wanted.out), logits(base, adapter), atol=1e-4, rtol=0)
    report = merged.parity
    assert report["passed"] and report["prompts"] == 32 and report["held_out"] == "held_out"
    assert report["general_prompts"] == 30, "two of forty rows are held out"
    assert report["equal_tokens"] == report["tokens"] > 32 and report["equal_answers"] == 32
    assert report["largest_logit_difference"] < 1e-3 < report["adapter_effect"]
    assert json.loads((wanted.out / "parity.json").read_text()) == report


def test_what_is_needed_to_word_prompts_goes_with_it(make: Make, adapter: Path) -> None:
    from transformers import AutoTokenizer

    wanted = make()
    recipe.run(wanted)
    worded = AutoTokenizer.from_pretrained(wanted.out).apply_chat_template(
        [{"role": "user", "content": "a"}], tokenize=False
    )
    assert worded == "<|im_start|>user\na<|im_end|>\n"
    assert (wanted.out / "training.json").read_bytes() == (adapter / "training.json").read_bytes()
    assert not [path for path in wanted.out.rglob("*") if path.suffix in {".bin", ".pt", ".pkl"}]
    assert not (wanted.out / "adapter_model.safetensors").exists()


def test_it_keeps_the_dtype_of_the_base(make: Make, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    halves = llama(tmp_path / "halves")
    AutoModelForCausalLM.from_pretrained(halves, dtype=torch.bfloat16).save_pretrained(halves)
    wanted = make(base=halves)
    merged = recipe.run(wanted)
    assert (merged.dtype, merged.parity["tolerance"]) == ("bfloat16", parity.TOLERANCE["bfloat16"])
    assert json.loads((wanted.out / "config.json").read_text())["dtype"] == "bfloat16"
    assert merged.parity["passed"] and merged.parity["mean_logit_difference"] < merged.parity["adapter_effect"]


@pytest.mark.parametrize("form", ["f16", "q8_0"])
def test_a_gguf_file_is_proven_on_llama_cpp(make: Make, form: Any) -> None:
    wanted = make(format="gguf", gguf_type=form)
    merged = recipe.run(wanted)
    assert (merged.engine, merged.dtype, merged.parity["compared"]) == ("llama_cpp", form.upper(), "logprobs")
    assert merged.parity["passed"] and merged.parity["prompts"] == 32 and merged.parity["equal_tokenizers"]
    assert merged.parity["adapter_effect"] > merged.parity["mean_logit_difference"]
    assert [path.name for path in wanted.out.glob("*.gguf")] == [f"merged-{form}.gguf"]
    assert not list(wanted.out.glob("*.safetensors*"))


def test_the_gguf_of_a_gguf_base_has_its_tokenizer(make: Make, base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "first"
    folder.mkdir(parents=True)
    gguf_file.write(base, folder / "first.gguf", base_gguf=None, form="f16")
    wanted = make(base=folder, format="gguf", out=tmp_path / "second")
    assert recipe.run(wanted).parity["equal_tokenizers"]
    words = [gguf.tokenizer(next(home.glob("*.gguf")))["tokenizer"].get_vocab() for home in (folder, wanted.out)]
    assert words[0] == words[1]


def test_a_merge_that_says_something_else_leaves_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "_add", lambda adapted: None)  # A merge that forgets the adapter.
    wanted = make()
    with pytest.raises(Unavailable) as failed:
        recipe.run(wanted)
    assert failed.value.details["reason"] == "parity_failed"
    assert not failed.value.details["parity"]["passed"]
    assert not wanted.out.exists() and not list(wanted.out.parent.glob(".part*"))


def test_without_its_data_set_the_prompts_are_general(make: Make) -> None:
    report = recipe.run(make(dataset=None)).parity
    assert (report["prompts"], report["general_prompts"], report["passed"]) == (32, 32, True)


def test_an_adapter_with_numbers_that_are_none_is_refused(make: Make, adapter: Path, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    broken = shutil.copytree(adapter, tmp_path / "broken")
    weights = load_file(broken / "adapter_model.safetensors")
    first = sorted(weights)[0]
    save_file(weights | {first: torch.full_like(weights[first], float("nan"))}, broken / "adapter_model.safetensors")
    with pytest.raises(Unavailable, match="numbers that are none"):
        recipe.run(make(adapter=broken))


def test_what_llama_cpp_does_not_know_is_refused_before_the_work(tmp_path: Path, base: Path) -> None:
    import shutil

    other = shutil.copytree(base, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    recipe.refuse_gguf(other)
    (other / "config.json").write_text(json.dumps(config | {"model_type": "phi3"}))
    with pytest.raises(Conflict, match="family phi3"):
        recipe.refuse_gguf(other)
    scaled = {"rope_parameters": {"rope_type": "llama3", "factor": 8, "rope_theta": 10000.0}}
    (other / "config.json").write_text(json.dumps(config | scaled))
    with pytest.raises(Conflict, match="positions are scaled"):
        recipe.refuse_gguf(other)
