"""System 5's generation, as its clients call it after a training; only the base URL is new."""

from typing import Any

import pytest
import requests

from tests.contract.test_system_5_training import TIME, Client, client

__all__ = ["client"]  # A service of this file's own.


GENERATE = {
    "prompt": "请解释量子计算的基本原理",
    "max_length": 20,
    "temperature": 0.8,
    "top_p": 0.95,
    "num_return_sequences": 1,
}
BATCH = {
    "prompts": ["请解释量子计算的基本原理", "简述人工智能在医疗领域的应用"],
    "max_length": 20,
    "temperature": 0.8,
}


@pytest.fixture(scope="module")
def trained(client: Client) -> Any:
    """The training that has ended; before it there is no model to generate with."""
    missing = client.post("/generate", json=GENERATE)
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "NOT_FOUND")
    assert "/api/v1/train" in missing.json()["detail"]
    ended = client.end_of(client.train(config={"num_epochs": 1, "output_dir": "./models/checkpoints"})["task_id"])
    assert ended["status"] == "completed", ended
    return ended


def test_a_prompt_is_answered_by_the_newest_trained_model(client: Client, trained: Any) -> None:
    answer = client.post("/generate", json=GENERATE)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert set(told) == {"prompt", "generated_texts", "model_path", "generation_time", "timestamp"}
    assert told["prompt"] == GENERATE["prompt"]
    assert (len(told["generated_texts"]), type(told["generation_time"])) == (1, float)
    assert told["model_path"] == "models/checkpoints/sample/final"
    assert TIME.fullmatch(told["timestamp"])


def test_the_model_is_named_by_the_path_that_was_answered(client: Client, trained: Any) -> None:
    named = {**GENERATE, "model_path": "models/checkpoints/sample/final", "num_return_sequences": 3}
    assert len(client.post("/generate", json=named).json()["generated_texts"]) == 3


def test_a_batch_answers_each_prompt(client: Client, trained: Any) -> None:
    told = client.post("/generate/batch", json=BATCH).json()
    assert set(told) == {"results", "model_path", "total_generation_time", "timestamp"}
    assert [row["prompt"] for row in told["results"]] == BATCH["prompts"]
    assert all(
        set(row) == {"prompt", "generated_texts"} and len(row["generated_texts"]) == 1 for row in told["results"]
    )


def test_a_stream_ends_with_done(client: Client, trained: Any) -> None:
    answer = client.post("/generate", json={**GENERATE, "stream": True})
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")


def test_an_empty_prompt_is_refused_in_the_documents_words(client: Client, trained: Any) -> None:
    answer = client.post("/generate", json={"prompt": ""})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "INVALID_REQUEST")
    assert error["details"] == {"field": "prompt", "reason": "required"}


def test_generation_is_limited_by_the_minute(client: Client, trained: Any) -> None:
    answer = client.post("/generate", json={**GENERATE, "max_length": 1})
    assert answer.headers["X-RateLimit-Limit"] == "60"


def test_a_client_that_leaves_ends_the_work(client: Client, trained: Any) -> None:
    with pytest.raises(requests.Timeout):
        long = {**GENERATE, "max_length": 2000, "num_return_sequences": 32}
        requests.post(f"{client.url}/generate", json=long, headers=client.token, timeout=0.5)
    assert client.post("/generate", json={**GENERATE, "max_length": 1}).status_code == 200
