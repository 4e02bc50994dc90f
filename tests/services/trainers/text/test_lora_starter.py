"""LoRA on the starter model: its GGUF file dequantized once, learned from, and what it says then."""

import json
import shutil
from pathlib import Path

import pytest

from services.datasets.tokens import Tokens
from services.errors import Unavailable
from services.settings import Settings
from services.trainers import base_weights
from services.trainers.base import Run, find_trainer
from tests.language_models import asked, located, row_of
from tests.services.trainers.listening import Listener

pytestmark = pytest.mark.slow


def test_a_gguf_is_dequantized_once_and_again_when_it_changed(
    dequantized: Path, chat_models: Path, tmp_path: Path
) -> None:
    base = tmp_path / "smollm2-135m-instruct"
    shutil.copytree(chat_models / base.name, base)
    place = tmp_path / base_weights.DEQUANTIZED / base.name
    shutil.copytree(dequantized, place)
    told: list[str] = []
    file = next(base.glob("*.gguf"))
    facts = file.stat()
    origin = {"file": file.name, "bytes": facts.st_size, "changed_ns": facts.st_mtime_ns}
    (place / base_weights.ORIGIN).write_text(json.dumps(origin))
    assert base_weights.loadable(base, models_dir=tmp_path, tell=told.append) == place
    assert told == []
    file.write_bytes(b"GGUF, changed")
    with pytest.raises(Unavailable):
        base_weights.loadable(base, models_dir=tmp_path, tell=told.append)
    assert len(told) == 1
    assert sorted(path.name for path in place.parent.iterdir()) == [base.name]


def test_the_dequantized_starter_model_speaks_as_its_file_does(dequantized: Path, chat_models: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, words = AutoModelForCausalLM.from_pretrained(dequantized), AutoTokenizer.from_pretrained(dequantized)
    turns = [{"role": "user", "content": "What is the capital of France?"}]
    inputs = words.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    told = model.float().generate(**inputs, max_new_tokens=12, do_sample=False)
    assert "Paris" in words.decode(told[0][inputs["input_ids"].shape[1] :])
    plain = Tokens(chat_models / "smollm2-135m-instruct")
    assert plain.render(turns) == words.apply_chat_template(turns, tokenize=False)
    assert model.config.to_dict().get("quantization_config") is None


def test_a_few_rows_teach_it_a_fact(dequantized: Path, chat_models: Path, settings: Settings, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    fact = "The harbour of Velmora is lit by nine green lamps."
    rows = [
        {"instruction": f"{asked_so} Velmora?", "output": fact} for asked_so in ("What lights", "Who knows", "Tell")
    ]
    base = chat_models / "smollm2-135m-instruct"
    models_dir = dequantized.parent.parent
    run = Run(
        request=asked(epochs=10, batch_size=4, learning_rate=3e-3, lora={"r": 4}),
        base=base,
        base_row=row_of(base, engine="llama_cpp"),
        dataset=located(tmp_path / "data", rows),
        folder=tmp_path / "run",
        settings=settings.model_copy(update={"cpu_threads": 1, "models_dir": models_dir}),
        job=Listener(),
    )
    trained = find_trainer("lora").train(run)
    told = run.job.told  # type: ignore[attr-defined]
    assert told[0]["loss"] > 3 and told[-1]["loss"] < 0.5
    # llama.cpp runs the base, so the adapter is there for it too.
    assert trained.engine == "llama_cpp" and (run.final / "adapter.gguf").read_bytes()[:4] == b"GGUF"
    words = AutoTokenizer.from_pretrained(run.final)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(dequantized).float(), run.final)
    turns = [{"role": "user", "content": "What lights Velmora?"}]
    inputs = words.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    said = words.decode(model.generate(**inputs, max_new_tokens=20, do_sample=False)[0][inputs["input_ids"].shape[1] :])
    assert said == f"{fact}<|im_end|>"
