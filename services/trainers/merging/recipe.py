"""A merge from its adapter to a model that is proven to say the same, or to nothing at all."""

from dataclasses import dataclass
from pathlib import Path

import orjson

from services.compute.progress import SILENT, Job
from services.contracts.merging import Format, GgufType, Merged
from services.datasets import gguf
from services.datasets.reading import Limits
from services.datasets.store import Located
from services.datasets.tokens import Tokens
from services.errors import Invalid, ServiceError, Unavailable
from services.files import full_disk_told
from services.measures import held_out, llama_tokens, parity, speaking
from services.measures.held_out import HeldOut
from services.measures.parity import Parity, Tally
from services.settings import Settings
from services.trainers import base_weights, checkpoints
from services.trainers.merging import gguf_file, merge
from services.trainers.text import footprint, rows

REPORT = "parity.json"
# Beside fp32 weights of one model at a time.
ROOM_MB = 200.0
# Prompts for the report, and room for what is said after them.
LONGEST_PROMPT = 1024


@dataclass(frozen=True)
class Merging:
    """One merge: its base, its adapter, the data set that was learned where it is still there, and where it goes."""

    base: Path
    adapter: Path
    out: Path
    dataset: Located | None
    settings: Settings
    format: Format = "safetensors"
    gguf_type: GgufType = "f16"
    job: Job = SILENT


def run(asked: Merging) -> Merged:
    """Merge, compare, and put the result to `asked.out` in one rename.

    Raises Unavailable for a merge that says something else than its adapter, with the report in `details`; then
    nothing is left of it. Raises Conflict for a GGUF file that cannot be.
    """
    import torch

    if asked.settings.cpu_threads:
        torch.set_num_threads(asked.settings.cpu_threads)
    check_memory(asked.base)
    file = base_weights.judge(asked.base)
    asked.job.progress(0.0, stage="loading")
    base = base_weights.loadable(asked.base, models_dir=asked.settings.models_dir, tell=asked.job.log)
    with checkpoints.drafted(asked.out) as part, full_disk_told():
        asked.job.progress(0.1, stage="merging")
        dtype = merge.merge(base, asked.adapter, part, full=asked.format == "gguf")
        tokens = rows.tokenizer(part)
        if asked.format == "gguf":
            asked.job.progress(0.3, stage="writing")
            dtype = _to_gguf(asked, part, file)
        asked.job.progress(0.4, stage="comparing")
        report = _report(asked, base, part, tokens, dtype)
        if not report.passed:
            raise _differs(report)
        (part / REPORT).write_bytes(orjson.dumps(report.model_dump(), option=orjson.OPT_INDENT_2))
    engine = "llama_cpp" if asked.format == "gguf" else "transformers_text"
    return Merged(engine=engine, dtype=dtype, parity=report.model_dump())


def check_memory(base: Path) -> None:
    """Raise Unavailable when there is not the memory for one model in fp32, Invalid for a base that is none."""
    numbers = 0
    for shape in base_weights.shapes(base).values():
        count = 1
        for side in shape:
            count *= side
        numbers += count
    footprint.check(footprint.LIBRARIES_MB + ROOM_MB + numbers * 4 / 2**20)


def refuse_gguf(base: Path) -> None:
    """Raise Conflict where the model in *base*, merged with an adapter, cannot become a GGUF file."""
    file = base_weights.judge(base)
    if file is None:
        gguf_file.refuse_unfit(base, None)
        return
    family = gguf.read_header(file).get("general.architecture")
    if family not in gguf_file.FAMILIES.values():
        raise gguf_file.unfit(f"it is of the family {family}", f"其模型系列为 {family}")


def _to_gguf(asked: Merging, part: Path, base_gguf: Path | None) -> str:
    """Write the file, and leave of the safetensors what no engine needs; the type of its numbers."""
    name = f"{asked.out.name}-{asked.gguf_type}.gguf"
    gguf_file.write(part, part / name, base_gguf=base_gguf, form=asked.gguf_type)
    for other in (*part.glob("*.safetensors*"), part / base_weights.CONFIG, part / "generation_config.json"):
        other.unlink(missing_ok=True)
    return asked.gguf_type.upper()


def _report(asked: Merging, base: Path, part: Path, tokens: Tokens, dtype: str) -> Parity:
    prompts, split, general = _prompts(asked, tokens)
    place = speaking.device()
    if asked.format == "gguf":
        return _report_of_gguf(asked, base, part, tokens, prompts, (split, general))
    merged = speaking.load(part, place=place)
    spoken = speaking.speak(
        merged,
        prompts,
        most_tokens=parity.TOKENS,
        end=tokens.end,
        logits=True,
        check=lambda done: asked.job.progress(0.4 + 0.3 * done / len(prompts)),
    )
    del merged
    adapter = speaking.with_adapter(speaking.load(base, place=place), asked.adapter)
    tally = Tally(dtype)
    for number, (prompt, one) in enumerate(zip(prompts, spoken, strict=True)):
        asked.job.progress(0.7 + 0.3 * number / len(prompts))
        parity.compare(adapter, [prompt], [one], tally)
    return tally.report(held_out=split, general_prompts=general)


def _report_of_gguf(
    asked: Merging, base: Path, part: Path, tokens: Tokens, prompts: list[list[int]], where: tuple[str, int]
) -> Parity:
    """llama.cpp answers, and the adapter follows it in transformers."""
    import numpy as np

    file = next(part.glob("*.gguf"))
    told, alike = [], True
    longest = max(len(prompt) for prompt in prompts) + 2 * parity.TOKENS
    with llama_tokens.opened(file, context_tokens=longest, threads=asked.settings.cpu_threads) as llama:
        for number, prompt in enumerate(prompts):
            asked.job.progress(0.4 + 0.3 * number / len(prompts))
            told.append(llama.speak(prompt, parity.TOKENS))
            text = tokens.text(prompt)
            alike = alike and llama.ids(text) == tokens.ids([text])[0]
    adapter = speaking.with_adapter(speaking.load(base, place=speaking.device()), asked.adapter)
    tally = Tally(asked.gguf_type.upper(), compared="logprobs")
    for number, (prompt, answer) in enumerate(zip(prompts, told, strict=True)):
        asked.job.progress(0.7 + 0.3 * number / len(prompts))
        if not answer:
            continue
        words = [word for word, _ in answer]
        own = speaking.follow(adapter, prompt, words)
        with adapter.disable_adapter():
            plain = speaking.follow(adapter, prompt, words)
        tally.add(words, own, llama_tokens.differences(answer, own))
        tally.note_effect(np.abs(own - plain))
    return tally.report(held_out=where[0], general_prompts=where[1], equal_tokenizers=alike)


def _prompts(asked: Merging, tokens: Tokens) -> tuple[list[list[int]], str, int]:
    """The prompts, of which part they are, and how many of them are of no data set."""
    found = HeldOut("none")
    if asked.dataset is not None:
        try:
            limits = Limits.of(asked.settings)
            found = held_out.read(
                asked.dataset, tokens, max_length=LONGEST_PROMPT, most=parity.PROMPTS, limits=limits, learned=True
            )
        except (Invalid, Unavailable) as error:
            asked.job.log(f"The prompts are general ones: {error}")
    prompts = [prompt for prompt, _ in map(held_out.answer_of, found.rows) if len(prompt) > 1]
    general = held_out.general_prompts(tokens, parity.PROMPTS - len(prompts))
    return prompts + general, found.split, len(general)


def _differs(report: Parity) -> ServiceError:
    return Unavailable(
        "The merged model does not say what its adapter says: {equal} of {tokens} tokens are the same, and logits "
        "differ by up to {largest}, where {tolerance} may be; an adapter that changes little is lost when weights are "
        "rounded, and a GGUF file in halves rounds finer than bf16. Nothing of it is kept.",
        "合并后的模型与适配器的输出不一致：{tokens} 个 token 中有 {equal} 个相同，logit 最大差异为 {largest}，"
        "允许值为 {tolerance}；改动很小的适配器会在权重取整时丢失，GGUF f16 的精度高于 bf16。合并结果未保留。",
        details={"reason": "parity_failed", "parity": report.model_dump()},
        equal=report.equal_tokens,
        tokens=report.tokens,
        largest=round(report.largest_logit_difference, 3),
        tolerance=report.tolerance,
    )
