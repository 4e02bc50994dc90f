"""`make bench-generate`: prompts written as a batch, beside one by one; adapters on llama.cpp, beside peft.

    python -m tests.bench.generate [--prompts 16] [--tokens 48] [--rounds 3] [--threads 0] [--only NAME …] [--json FILE]

Each figure comes from a process of its own. The service's are those of `generation.write`, which is what
`/api/v1/generate/batch` calls where the engines are; its peers are xllamacpp and transformers with peft, called
directly. Every program gets the same prompts and takes the likeliest token; what ends early counts with what it wrote.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from backend.setup import migrate
from services.adapters.gguf import write_gguf_adapter
from services.assemble import Services, assemble
from services.contracts.generation import Sampling, WriteRequest
from services.contracts.training import NewModel
from services.database import open_database
from services.datasets.tokens import Tokens
from services.domains import generation
from services.settings import Settings
from services.trainers import base_weights
from tests.bench import report
from tests.live import ROOT
from tests.text_adapters import make_adapter

MODEL, PLAIN, ADAPTED = "smollm2-135m-instruct", "starter-plain", "starter-adapter"
OWNER, LOCATION = "bench", f"users/bench/{ADAPTED}/final"
CONTEXT_TOKENS = 512
Measure = Callable[["Bench"], dict[str, float]]


class Bench:
    """What one process measures with: the options, and a models folder that has each model."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.models = options, folder
        self.prompts = [
            f"Write a long story about lighthouse number {n} and its keeper." for n in range(options.prompts)
        ]

    @property
    def base(self) -> Path:
        """The starter in the form of transformers."""
        return self.models / PLAIN

    @property
    def adapter(self) -> Path:
        return self.models / LOCATION


def main() -> None:
    options = parse_options()
    if options.one:
        print(orjson.dumps(MEASURES[options.one](Bench(options, Path(options.folder)))).decode())
        return
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        prepare(Path(folder))
        rounds = [one_round(Path(folder), options, number) for number in range(options.rounds)]
    print(report.beside(rounds, {name: {} for name in options.only}))
    for line in ratios(rounds):
        print(line)
    if options.json:
        Path(options.json).write_bytes(orjson.dumps(rounds, option=orjson.OPT_INDENT_2))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="threads of each; 0 takes every core")
    parser.add_argument("--only", nargs="+", choices=list(MEASURES), default=list(MEASURES))
    parser.add_argument("--json", help="a file for every figure of every round")
    parser.add_argument("--one", choices=list(MEASURES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    return parser.parse_args()


def prepare(folder: Path) -> None:
    """A models folder with the starter as GGUF, as safetensors, and an adapter of it."""
    models = ROOT / "models"
    plain = base_weights.loadable(models / MODEL, models_dir=models, tell=print)
    (folder / MODEL).symlink_to(models / MODEL)
    (folder / PLAIN).symlink_to(plain)
    adapter = make_adapter(plain, folder / LOCATION, seed=0, strength=0.002)
    write_gguf_adapter(adapter, plain, adapter / "adapter.gguf")


def one_round(folder: Path, options: argparse.Namespace, number: int) -> dict[str, dict[str, float]]:
    """Each in a process of its own; who begins changes from round to round."""
    found = {}
    for name in sorted(options.only, reverse=bool(number % 2)):
        passed = [f"--{key}={getattr(options, key)}" for key in ("prompts", "tokens", "threads")]
        command = [sys.executable, "-m", "tests.bench.generate", "--one", name, "--folder", str(folder), *passed]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
        found[name] = orjson.loads(done.stdout.splitlines()[-1])
        print(f"round {number + 1}, {name}: {found[name]}", flush=True)
    return found


def ratios(rounds: list[dict[str, dict[str, float]]]) -> list[str]:
    """How the figures stand to each other, by their medians."""
    found = {name: report.medians(rounds, name) for name in rounds[0]}
    batch, alone = "tokens/s, as a batch", "tokens/s, one by one"
    pairs = [
        ("transformers: a batch to one by one", ("transformers", batch), ("transformers", alone)),
        ("llama.cpp: a batch to xllamacpp", ("llama.cpp", batch), ("xllamacpp", batch)),
        ("an adapter, one by one: llama.cpp to peft", ("adapter on llama.cpp", alone), ("peft", alone)),
        ("an adapter, as a batch: llama.cpp to peft", ("adapter on llama.cpp", batch), ("peft", batch)),
        ("an adapter, as a batch: transformers to peft", ("adapter on transformers", batch), ("peft", batch)),
    ]
    return [
        f"{what}: {found[one][a] / found[other][b]:.2f}"
        for what, (one, a), (other, b) in pairs
        if one in found and other in found
    ]


def through(model: str, engine: str | None = None) -> Measure:
    """The service with *model*, which for an adapter runs on *engine*."""

    def measure(bench: Bench) -> dict[str, float]:
        with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
            services = assembled(Path(scratch), bench)
            name = add_adapter(services, engine) if engine else model
            try:
                return timed(bench, lambda prompts, tokens: written(services, name, prompts, tokens))
            finally:
                services.close()

    return measure


def assembled(scratch: Path, bench: Bench) -> Services:
    database = open_database(f"sqlite:///{scratch}/polymath.db")
    migrate(database.engine)
    database.close()
    settings = Settings(
        _env_file=None,
        secret_key="x" * 32,
        instance_dir=scratch,
        data_dir=scratch / "data",
        models_dir=bench.models,
        cpu_threads=bench.options.threads,
        chat_slots=bench.options.prompts,
        chat_context_tokens=CONTEXT_TOKENS,
    )
    return assemble(settings, place="inline")


def add_adapter(services: Services, engine: str) -> str:
    """List the adapter for *engine*; its id."""
    new = NewModel(
        owner=OWNER,
        name=ADAPTED,
        kind="lora",
        job_id="bench",
        path=f"models/{ADAPTED}/final",
        location=LOCATION,
        engine=engine,
        abilities=["chat"],
        base_model=MODEL if engine == "llama_cpp" else PLAIN,
        adapter=True,
    )
    return services.trained.add(new).id


def written(services: Services, model: str, prompts: list[str], tokens: int) -> int:
    """How many tokens the service wrote."""
    asked = WriteRequest(model=model, prompts=prompts, sampling=Sampling(max_length=tokens, temperature=0))
    pieces = (piece for batch in generation.write(asked, services=services) for piece in batch)
    return sum(piece.usage.completion_tokens for piece in pieces if piece.usage)


def timed(bench: Bench, write: Callable[[list[str], int], int]) -> dict[str, float]:
    """Tokens a second of *write* with all prompts at once and with one after the other."""
    write(bench.prompts[:1], 2)
    found = {}
    for label, groups in (("as a batch", [bench.prompts]), ("one by one", [[prompt] for prompt in bench.prompts[:4]])):
        began = time.perf_counter()
        count = sum(write(prompts, bench.options.tokens) for prompts in groups)
        found[f"tokens/s, {label}"] = count / (time.perf_counter() - began)
    return found


def directly_llama(bench: Bench) -> dict[str, float]:
    """xllamacpp, with as many slots, each chat in a thread."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(next((bench.models / MODEL).glob("*.gguf")))
    params.n_parallel, params.n_ctx = len(bench.prompts), len(bench.prompts) * CONTEXT_TOKENS
    params.use_jinja, params.ui, params.verbosity = True, False, 1
    if bench.options.threads:
        params.cpuparams.n_threads = bench.options.threads
    server = xllamacpp.Server(params)

    def write(prompts: list[str], tokens: int) -> int:
        counts: list[int] = []

        def ask(prompt: str) -> None:
            messages = [{"role": "user", "content": prompt}]
            body = {"messages": messages, "temperature": 0, "max_tokens": tokens}
            counts.append(server.handle_chat_completions(body)["usage"]["completion_tokens"])

        threads = [threading.Thread(target=ask, args=(prompt,)) for prompt in prompts]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        return sum(counts)

    return timed(bench, write)


def directly_peft(bench: Bench) -> dict[str, float]:
    """transformers' `generate` with the adapter through peft, prompts padded on their left to one batch."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    if bench.options.threads:
        torch.set_num_threads(bench.options.threads)
    tokens = Tokens(bench.base)
    plain: Any = AutoModelForCausalLM.from_pretrained(bench.base, dtype=torch.float32)
    model: Any = PeftModel.from_pretrained(plain, bench.adapter).eval()

    def write(prompts: list[str], count: int) -> int:
        turns = [tokens.render([{"role": "user", "content": prompt}], add_generation_prompt=True) for prompt in prompts]
        ids = tokens.ids([str(text) for text in turns])
        longest = max(len(row) for row in ids)
        padded = torch.tensor([[tokens.end or 0] * (longest - len(row)) + row for row in ids])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in ids])
        with torch.inference_mode():
            out = model.generate(input_ids=padded, attention_mask=mask, max_new_tokens=count, do_sample=False)
        return int((out[:, longest:] != (tokens.end or 0)).sum())

    return timed(bench, write)


MEASURES: dict[str, Measure] = {
    "transformers": through(PLAIN),
    "llama.cpp": through(MODEL),
    "xllamacpp": directly_llama,
    "adapter on llama.cpp": through(ADAPTED, "llama_cpp"),
    "adapter on transformers": through(ADAPTED, "transformers_text"),
    "peft": directly_peft,
}


if __name__ == "__main__":
    main()
