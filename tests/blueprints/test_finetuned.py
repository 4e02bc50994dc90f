"""A model that was fine-tuned here answers at once: to `/api/llm-finetuning/test`, to chats and to `/generate`."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from services.assemble import Services
from tests.toy_trainer import BASE, put_rows

Login = Callable[..., dict[str, str]]
START = "/api/llm-finetuning/lora/start"


def try_out(client: FlaskClient, headers: dict[str, str], **body: Any) -> Any:
    return client.post("/api/llm-finetuning/test", headers=headers, json={"prompt": "Hi", "max_tokens": 8, **body})


def test_what_was_trained_answers_at_once(
    client: FlaskClient, login: Login, services: Services, tiny_llama: Path
) -> None:
    headers = login()
    shutil.copytree(tiny_llama, services.settings.models_dir / "tiny-llama")
    rows = put_rows(services.settings.data_dir)
    asked = {"base_model": "tiny-llama", "dataset_path": rows, "epochs": 1, "learning_rate": 0.01, "max_length": 64}
    started = client.post(START, json=asked, headers=headers)
    assert started.status_code == 200, started.text
    task = started.json["task_id"]
    tried = try_out(client, headers, task_id=task)
    assert (tried.status_code, set(tried.json)) == (200, {"response"}), tried.text
    trained = services.trained.of_job(task)
    assert trained is not None
    messages = [{"role": "user", "content": "Hi"}]
    chat = {"model": trained.openai_name, "messages": messages, "max_tokens": 8, "temperature": 0}
    said = client.post("/api/chat/completions", json=chat, headers=headers).json["content"]
    newest = {"prompt": "Hi", "max_length": 8, "temperature": 0}
    written = client.post("/api/v1/generate", json=newest, headers=headers).json
    assert written["model_path"] == trained.path
    assert written["generated_texts"] == [said]


def test_a_training_without_a_model_says_its_status(client: FlaskClient, login: Login, toy_services: Services) -> None:
    headers = login()
    asked = {"base_model": BASE, "dataset_path": "data/facts.jsonl", "epochs": 1, "description": '{"diverge": 1}'}
    task = client.post(START, json=asked, headers=headers).json["task_id"]
    answer = try_out(client, headers, task_id=task)
    assert (answer.status_code, answer.json["error"]["details"]["status"]) == (409, "failed")


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"task_id": "nobody"}, 404),
        ({"task_id": "x", "prompt": ""}, 422),
        ({"task_id": "x", "max_tokens": 0}, 422),
        ({}, 422),
    ],
    ids=["no such task", "empty prompt", "no tokens", "no task"],
)
def test_what_is_wrong_is_told(client: FlaskClient, login: Login, wrong: dict[str, Any], status: int) -> None:
    assert try_out(client, login(), **wrong).status_code == status
