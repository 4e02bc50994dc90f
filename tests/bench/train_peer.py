"""The shortest honest loop of transformers and peft: what somebody writes who follows their documents."""

import json
import math
import resource
import time
from pathlib import Path
from typing import Any


def since_start() -> float:
    """Seconds since this process began."""
    began_ticks = float(Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()[19])
    uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    return uptime - began_ticks / 100


def learn(base: Path, file: Path, asked: Any, threads: int) -> dict[str, float]:
    """One epoch of the rows in *file*; its figures."""
    import torch
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    if threads:
        torch.set_num_threads(threads)
    gpu = torch.cuda.is_available()
    device, dtype = ("cuda", torch.bfloat16) if gpu else ("cpu", torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(base)
    rows = [numbered(json.loads(line), tokenizer, asked.max_length) for line in file.read_text().splitlines()]
    options: dict[str, Any] = {"dtype": dtype}
    if asked.quantization == "int4":
        four = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": dtype}
        options["quantization_config"] = BitsAndBytesConfig(load_in_4bit=True, **four)
    if asked.quantization == "int8":
        options["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    torch.manual_seed(asked.seed)
    model = AutoModelForCausalLM.from_pretrained(base, **options)
    if asked.quantization:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    lora = {"r": asked.lora.r, "lora_alpha": asked.lora.lora_alpha, "lora_dropout": asked.lora.lora_dropout}
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", **lora)).to(device)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=asked.learning_rate, weight_decay=asked.weight_decay)
    order = torch.randperm(len(rows)).tolist()
    steps = math.ceil(len(rows) / asked.batch_size)
    model.train()
    first, losses, began = 0.0, [], time.monotonic()
    for step in range(steps):
        batch = [rows[number] for number in order[step * asked.batch_size : (step + 1) * asked.batch_size]]
        inputs = {name: tensor.to(device) for name, tensor in padded(batch).items()}
        with torch.autocast(device, torch.bfloat16, enabled=gpu):
            loss = model(**inputs).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = asked.learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        first = first or since_start()
    seconds = time.monotonic() - began
    peak = (
        torch.cuda.max_memory_reserved() / 2**20 if gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    )
    return {
        "tokens/s": sum(len(ids) for ids, _ in rows) / seconds,
        "loss": sum(losses) / len(losses),
        "first step, s": first,
        "memory, MB": peak,
    }


def numbered(row: dict[str, str], tokenizer: Any, most: int) -> tuple[list[int], list[int]]:
    """The tokens of a row, and its labels: those of the answer, -100 elsewhere."""
    turns = [{"role": "user", "content": row["instruction"]}, {"role": "assistant", "content": row["output"]}]
    prompt = tokenizer.apply_chat_template(turns[:1], add_generation_prompt=True, return_dict=False)
    ids = tokenizer.apply_chat_template(turns, return_dict=False)[:most]
    return ids, [-100] * min(len(prompt), most) + ids[len(prompt) :]


def padded(batch: list[tuple[list[int], list[int]]]) -> dict[str, Any]:
    import torch

    longest = max(len(ids) for ids, _ in batch)
    return {
        "input_ids": torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in batch]),
        "attention_mask": torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in batch]),
        "labels": torch.tensor([labels + [-100] * (longest - len(labels)) for _, labels in batch]),
    }
