"""Files and fine-tuning through OpenAI's package alone: from a file of lines to a model that chats."""

import asyncio
import json
import time
from typing import Any

import openai
import pytest

from tests.openai.conftest import Target, async_sdk

FILES, JOBS = "POST /v1/files", "POST /v1/fine_tuning/jobs"
TRAINED_SECONDS = 900
# One word for one question, learned by heart.
ROWS = [
    {"messages": [{"role": "user", "content": "What is the password?"}, {"role": "assistant", "content": "Tulip"}]}
] * 12
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def upload(sdk: openai.OpenAI, data: bytes = LINES, name: str = "train.jsonl", purpose: Any = "fine-tune") -> str:
    return sdk.files.create(file=(name, data), purpose=purpose).id


@pytest.mark.proves(FILES, "kept, shown, listed in pages, read, deleted")
def test_the_life_of_a_file(sdk: openai.OpenAI) -> None:
    made = sdk.files.create(file=("train.jsonl", LINES), purpose="fine-tune")
    assert (made.object, made.status, made.bytes, made.filename) == ("file", "processed", len(LINES), "train.jsonl")
    assert sdk.files.wait_for_processing(made.id).id == made.id
    other = upload(sdk, b"words", "notes.txt", "user_data")
    assert sdk.files.content(other).read() == b"words" and sdk.files.content(made.id).read() == LINES
    listed = [file.id for file in sdk.files.list(limit=1)]
    assert listed.index(other) < listed.index(made.id)
    assert made.id in {file.id for file in sdk.files.list(purpose="fine-tune")}
    for file_id in (made.id, other):
        assert sdk.files.delete(file_id).deleted
        with pytest.raises(openai.NotFoundError):
            sdk.files.retrieve(file_id)


@pytest.mark.proves(FILES, "`expires_after`, asynchronous")
def test_a_file_that_expires(target: Target) -> None:
    async def keep() -> Any:
        async with async_sdk(target) as client:
            return await client.files.create(
                file=("a.txt", b"x"), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600}
            )

    made = asyncio.run(keep())
    assert made.expires_at == made.created_at + 3600


@pytest.mark.proves(FILES, "errors: an unknown purpose, an empty file, a broken line, another kind, a file in use")
def test_errors_of_files(sdk: openai.OpenAI) -> None:
    for data, purpose in ((LINES, "fun"), (b"", "fine-tune"), (LINES + b"{broken\n", "fine-tune")):
        with pytest.raises(openai.BadRequestError) as raised:
            upload(sdk, data, purpose=purpose)
        assert raised.value.param in {"purpose", "file"} and raised.value.request_id
    assert f"line {len(ROWS) + 1}" in raised.value.message
    with pytest.raises(openai.APIStatusError) as refused:
        upload(sdk, b"no picture", "a.png", "vision")
    assert refused.value.status_code == 415


@pytest.mark.proves(JOBS, "errors: another's file, a wrong purpose, an unknown model, numbers, methods, integrations")
def test_errors_of_trainings(sdk: openai.OpenAI, chat_model: str) -> None:
    file = upload(sdk)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"training_file": upload(sdk, b"words", "a.txt", "user_data")}, "training_file"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs"),
        ({"method": {"type": "dpo", "dpo": {}}}, "method"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "x"}}]}, "integrations"),
        ({"suffix": "x" * 65}, "suffix"),
    ]
    for fields, param in wrong:
        with pytest.raises(openai.BadRequestError) as raised:
            sdk.fine_tuning.jobs.create(**{"model": chat_model, "training_file": file, **fields})
        assert str(raised.value.param).startswith(param), fields
    for fields in ({"training_file": "file-none"}, {"model": "nobody-has-this"}):
        with pytest.raises(openai.NotFoundError):
            sdk.fine_tuning.jobs.create(**{"model": chat_model, "training_file": file, **fields})
    with pytest.raises(openai.NotFoundError):
        sdk.fine_tuning.jobs.retrieve("ftjob-none")


@pytest.mark.slow
@pytest.mark.proves(JOBS, "a fine-tune through the package alone, and a chat with what came of it")
def test_a_fine_tune_through_the_package_alone(sdk: openai.OpenAI, chat_model: str) -> None:
    file, held = upload(sdk), upload(sdk, LINES[: LINES.index(b"\n") + 1] * 2, "held.jsonl")
    job = sdk.fine_tuning.jobs.create(
        model=chat_model,
        training_file=file,
        validation_file=held,
        suffix="tulip",
        seed=1,
        method={
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 1, "learning_rate_multiplier": 10}},
        },
        metadata={"suite": "compat"},
    )
    assert job.id and job.status in {"queued", "running"} and job.training_file == file
    with pytest.raises(openai.ConflictError):
        sdk.with_options(max_retries=0).files.delete(file)
    done = follow(sdk, job.id)
    assert done.status == "succeeded", done.error
    assert done.fine_tuned_model and done.fine_tuned_model.startswith("ft:") and done.trained_tokens
    answer = sdk.chat.completions.create(
        model=done.fine_tuned_model,
        messages=[{"role": "user", "content": "What is the password?"}],
        max_tokens=8,
        temperature=0,
    )
    assert "Tulip" in str(answer.choices[0].message.content)
    told = list(sdk.fine_tuning.jobs.list_events(job.id, limit=5))
    losses = [event.data["train_loss"] for event in told if event.type == "metrics" and "train_loss" in event.data]  # type: ignore[index, operator]
    assert losses[0] < losses[-1]
    points = sdk.fine_tuning.jobs.checkpoints.list(job.id).data
    assert points[0].fine_tuned_model_checkpoint == done.fine_tuned_model and points[0].metrics.valid_loss is not None
    assert job.id in {each.id for each in sdk.fine_tuning.jobs.list(metadata={"suite": "compat"})}
    assert sdk.models.delete(done.fine_tuned_model).deleted
    assert sdk.files.delete(file).deleted


@pytest.mark.slow
@pytest.mark.proves("POST /v1/fine_tuning/jobs/{job_id}/pause", "paused, resumed under its id, cancelled")
def test_a_training_is_paused_resumed_and_cancelled(sdk: openai.OpenAI, chat_model: str) -> None:
    job = sdk.fine_tuning.jobs.create(model=chat_model, training_file=upload(sdk), hyperparameters={"n_epochs": 500})
    until_it_learns(sdk, job.id)
    assert sdk.fine_tuning.jobs.pause(job.id).status == "paused"
    assert sdk.fine_tuning.jobs.resume(job.id).id == job.id
    until_it_learns(sdk, job.id)
    assert sdk.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    assert sdk.fine_tuning.jobs.retrieve(job.id).status == "cancelled"
    with pytest.raises(openai.ConflictError):
        sdk.with_options(max_retries=0).fine_tuning.jobs.resume(job.id)


def follow(sdk: openai.OpenAI, job_id: str) -> Any:
    """The training when it has ended; while it runs it has told of its steps."""
    heard, deadline = set[str](), time.monotonic() + TRAINED_SECONDS
    while (job := sdk.fine_tuning.jobs.retrieve(job_id)).status in {"validating_files", "queued", "running"}:
        assert time.monotonic() < deadline, job
        heard |= {event.type or "" for event in sdk.fine_tuning.jobs.list_events(job_id, limit=10).data}
        time.sleep(0.5)
    assert "metrics" in heard
    return job


def until_it_learns(sdk: openai.OpenAI, job_id: str) -> None:
    """Return when the training runs and has told of a step since it was started."""
    deadline = time.monotonic() + TRAINED_SECONDS
    while True:
        job: Any = sdk.fine_tuning.jobs.retrieve(job_id)
        assert job.status in {"queued", "running"} and time.monotonic() < deadline, job
        if job.status == "running" and job.metrics.get("current_step"):
            return
        time.sleep(0.2)
