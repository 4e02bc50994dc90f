"""`/api/v1/generate` through the app, with tiny models on transformers that are trained or merely there."""

import base64
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from services.assemble import Services
from services.contracts.training import NewModel

Login = Callable[..., dict[str, str]]
PATH = "models/checkpoints/sample/final"


@pytest.fixture
def tiny(services: Services, tiny_llama: Path) -> None:
    """The tiny Llama as a model of the catalog."""
    shutil.copytree(tiny_llama, services.settings.models_dir / "tiny-llama")


def add_trained(services: Services, adapter: Path, *, owner: str, name: str = "sample", **told: Any) -> str:
    """An adapter of the tiny Llama as *owner*'s trained model; its id."""
    location = f"users/{owner}/checkpoints/{name}/final"
    shutil.copytree(adapter, services.settings.models_dir / location)
    if told:
        (services.settings.models_dir / location / "training.json").write_bytes(orjson.dumps(told))
    new = NewModel(
        owner=owner,
        name=name,
        kind="lora",
        job_id=f"job-{name}",
        path=f"models/checkpoints/{name}/final",
        location=location,
        engine="transformers_text",
        abilities=["chat"],
        base_model="tiny-llama",
        adapter=True,
    )
    return services.trained.add(new).id


def ask(client: FlaskClient, headers: dict[str, str], path: str = "", **body: Any) -> Any:
    return client.post(f"/api/v1/generate{path}", headers=headers, json={"max_length": 8, **body})


def me(headers: dict[str, str]) -> str:
    """Whose token it is."""
    claims = headers["Authorization"].split(".")[1]
    return str(orjson.loads(base64.urlsafe_b64decode(claims + "=="))["sub"])


def test_without_a_trained_model_the_answer_says_how_to_get_one(client: FlaskClient, login: Login) -> None:
    answer = ask(client, login(), prompt="Hi")
    assert answer.status_code == 404
    assert "/api/v1/train" in answer.json["detail"]


@pytest.mark.usefixtures("tiny")
def test_a_model_of_the_catalog_writes_by_its_id(client: FlaskClient, login: Login) -> None:
    answer = ask(client, login(), prompt="Hi", model_path="tiny-llama", num_return_sequences=2)
    assert answer.status_code == 200, answer.text
    assert set(answer.json) == {"prompt", "generated_texts", "model_path", "generation_time", "timestamp"}
    assert len(answer.json["generated_texts"]) == 2
    assert answer.json["model_path"] == "tiny-llama"
    assert answer.json["generation_time"] > 0


@pytest.mark.usefixtures("tiny")
def test_a_seed_writes_the_same_and_its_texts_differ(client: FlaskClient, login: Login) -> None:
    asked = {"prompt": "Hi", "model_path": "tiny-llama", "seed": 7, "num_return_sequences": 2, "temperature": 1.5}
    one, other = (ask(client, login(), **asked).json["generated_texts"] for _ in range(2))
    assert one == other
    assert one[0] != one[1]


@pytest.mark.usefixtures("tiny")
def test_a_batch_writes_what_each_prompt_alone_gets(client: FlaskClient, login: Login) -> None:
    headers, prompts = login(), ["Hi", "What is the longest of these three prompts?", "Why"]
    asked: dict[str, Any] = {"model_path": "tiny-llama", "temperature": 0}
    answer = ask(client, headers, "/batch", prompts=prompts, **asked)
    assert set(answer.json) == {"results", "model_path", "total_generation_time", "timestamp"}
    alone = [ask(client, headers, prompt=prompt, **asked).json["generated_texts"] for prompt in prompts]
    assert [(row["prompt"], row["generated_texts"]) for row in answer.json["results"]] == list(
        zip(prompts, alone, strict=True)
    )


@pytest.mark.usefixtures("tiny")
def test_a_stream_adds_up_to_the_whole_text(client: FlaskClient, login: Login) -> None:
    asked = {"prompt": "Hi", "model_path": "tiny-llama", "temperature": 0}
    whole = ask(client, login(), **asked).json["generated_texts"][0]
    *frames, done = ask(client, login(), stream=True, **asked).text.strip().split("\n\n")
    told = [orjson.loads(frame.removeprefix("data: ")) for frame in frames]
    assert done == "data: [DONE]"
    assert "".join(frame["content"] for frame in told) == whole
    assert told[-1]["finish_reason"] in {"stop", "length"}


@pytest.mark.usefixtures("tiny")
def test_the_newest_trained_model_answers_and_is_counted(
    client: FlaskClient, login: Login, services: Services, text_adapters: dict[str, Path]
) -> None:
    headers = login()
    owner = me(headers)
    add_trained(services, text_adapters["one"], owner=owner, name="older")
    newest = add_trained(services, text_adapters["two"], owner=owner)
    answers = [
        ask(client, headers, prompt="Hi", temperature=0, **named).json
        for named in ({}, {"model_path": PATH}, {"model_path": "sample"}, {"model_path": f"./{PATH}"})
    ]
    assert {answer["model_path"] for answer in answers} == {PATH}
    assert len({answer["generated_texts"][0] for answer in answers}) == 1
    assert services.trained.find(newest, owner=None).usage_count == 4


@pytest.mark.usefixtures("tiny")
def test_two_adapters_of_one_base_write_differently(
    client: FlaskClient, login: Login, services: Services, text_adapters: dict[str, Path]
) -> None:
    headers = login()
    for name, adapter in text_adapters.items():
        add_trained(services, adapter, owner=me(headers), name=name)
    texts = {
        name: ask(client, headers, prompt="Hi", temperature=0, model_path=name).json["generated_texts"][0]
        for name in ("one", "two", "tiny-llama")
    }
    assert len(set(texts.values())) == 3
    assert len(services.pool.loaded()) == 1


@pytest.mark.usefixtures("tiny")
def test_a_prompt_is_worded_as_its_model_was_trained(
    client: FlaskClient, login: Login, services: Services, text_adapters: dict[str, Path]
) -> None:
    headers = login()
    template = "### Q:\n{instruction}\n### A:\n"
    add_trained(services, text_adapters["one"], owner=me(headers), prompt_template=template)
    worded = ask(client, headers, prompt="Hi", temperature=0).json["generated_texts"]
    add_trained(services, text_adapters["one"], owner=me(headers), name="raw", prompt_template="")
    raw = ask(client, headers, prompt="### Q:\nHi\n### A:\n", temperature=0, model_path="raw").json["generated_texts"]
    assert worded == raw


@pytest.mark.usefixtures("tiny")
def test_anothers_model_is_not_found(
    client: FlaskClient, login: Login, services: Services, text_adapters: dict[str, Path]
) -> None:
    add_trained(services, text_adapters["one"], owner="somebody-else")
    assert ask(client, login(), prompt="Hi", model_path=PATH).status_code == 404


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"prompt": ""}, "prompt"),
        ({}, "prompt"),
        ({"prompt": "word " * 3000}, "prompt"),
        ({"prompt": "Hi", "max_length": 0}, "max_length"),
        ({"prompt": "Hi", "temperature": -1}, "temperature"),
        ({"prompt": "Hi", "top_p": 0}, "top_p"),
        ({"prompt": "Hi", "top_k": -1}, "top_k"),
        ({"prompt": "Hi", "num_return_sequences": 0}, "num_return_sequences"),
        ({"prompt": "Hi", "num_return_sequences": 1000}, "num_return_sequences"),
        ({"prompt": "Hi", "seed": -1}, "seed"),
        ({"prompt": ["Hi"]}, "prompt"),
    ],
    ids=["empty", "missing", "too long", "length", "temperature", "top_p", "top_k", "none", "many", "seed", "list"],
)
def test_a_wrong_field_is_named(client: FlaskClient, login: Login, wrong: dict[str, Any], field: str) -> None:
    answer = ask(client, login(), **{"model_path": "tiny-llama", **wrong})
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "INVALID_REQUEST")
    assert answer.json["error"]["details"]["field"] == field


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    "prompts",
    [[], [""], ["Hi"] * 300, ["Hi", "word " * 3000], "Hi"],
    ids=["none", "empty", "too many", "one too long", "no list"],
)
def test_a_wrong_batch_is_refused_whole(client: FlaskClient, login: Login, prompts: Any) -> None:
    answer = ask(client, login(), "/batch", prompts=prompts, model_path="tiny-llama")
    assert answer.status_code == 400
    assert answer.json["error"]["details"]["field"].startswith("prompts")


@pytest.mark.usefixtures("tiny")
def test_too_many_texts_at_once_are_refused(client: FlaskClient, login: Login) -> None:
    answer = ask(client, login(), "/batch", prompts=["Hi"] * 200, num_return_sequences=32, model_path="tiny-llama")
    assert answer.json["error"]["details"]["field"] == "num_return_sequences"


@pytest.mark.usefixtures("tiny")
def test_texts_are_counted_as_used(client: FlaskClient, login: Login, services: Services) -> None:
    headers = login()
    ask(client, headers, prompt="Hi", model_path="tiny-llama", num_return_sequences=2, temperature=1)
    services.usage.flush()
    used = client.get("/api/usage?by=model", headers=headers).text
    assert "tiny-llama" in used


def test_nobody_writes_without_a_token(client: FlaskClient) -> None:
    assert ask(client, {}, prompt="Hi").status_code == 401


@pytest.mark.usefixtures("tiny")
def test_a_trained_model_chats_by_its_name(
    client: FlaskClient, login: Login, services: Services, text_adapters: dict[str, Path]
) -> None:
    headers = login()
    name = add_trained(services, text_adapters["one"], owner=me(headers))
    row = services.trained.find(name, owner=None)
    asked = {"messages": [{"role": "user", "content": "Hi"}], "temperature": 0, "max_tokens": 8}
    answers = [
        client.post("/api/chat/completions", headers=headers, json={**asked, "model": model}).json["content"]
        for model in (row.id, row.openai_name, "sample")
    ]
    written = ask(client, headers, prompt="Hi", temperature=0, model_path=name).json["generated_texts"][0]
    assert set(answers) == {written}
    assert services.trained.find(name, owner=None).usage_count == 4
