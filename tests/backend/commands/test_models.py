"""`flask models` as an operator types it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask

from services.catalog import MANIFEST
from services.settings import Settings
from tests.fakes.hub import HubFake

HUB_MODEL = "resnet50"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubFake]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with HubFake() as fake:
        fake.files = {"config.json": b"{}", "preprocessor_config.json": b"{}", "model.safetensors": b"weights" * 1000}
        yield fake


@pytest.fixture
def settings(settings: Settings, hub: HubFake) -> Settings:
    return settings.model_copy(update={"hub_url": hub.url()})


def flask(app: Flask, *words: str) -> Result:
    return app.test_cli_runner().invoke(args=["models", *words])


def state_of(app: Flask, name: str) -> str:
    lines = [line.split() for line in flask(app, "list", "--all").output.splitlines()]
    return next(words[1] for words in lines if words[0] == name)


def test_list(app: Flask) -> None:
    assert state_of(app, HUB_MODEL) == "-"
    assert state_of(app, "qwen-turbo") == "dashscope"
    assert "qwen-turbo" not in flask(app, "list").output


def test_pull_verify_remove(app: Flask, settings: Settings) -> None:
    pulled = flask(app, "pull", HUB_MODEL)
    assert pulled.exit_code == 0
    assert f"{HUB_MODEL} installed" in pulled.output and f"{HUB_MODEL} 100%" in pulled.output
    assert state_of(app, HUB_MODEL) == "installed"
    assert flask(app, "verify").output == f"{HUB_MODEL}: as it was installed\n"
    assert "was installed already" in flask(app, "pull", HUB_MODEL).output
    assert flask(app, "remove", HUB_MODEL).exit_code == 0
    assert state_of(app, HUB_MODEL) == "-"
    assert not (settings.models_dir / HUB_MODEL).exists()


def test_a_changed_file_ends_verify_with_1(app: Flask, settings: Settings) -> None:
    flask(app, "pull", HUB_MODEL)
    (settings.models_dir / HUB_MODEL / "config.json").write_text("[]")
    ran = flask(app, "verify", HUB_MODEL)
    assert ran.exit_code == 1
    assert "config.json is changed" in ran.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pull", "nobody-has-this"], "There is no model 'nobody-has-this' here"),
        (["pull", "qwen-turbo"], "has no weights to pull"),
        (["verify", HUB_MODEL], f"run: flask models pull {HUB_MODEL}"),
        (["remove", HUB_MODEL], f"run: flask models pull {HUB_MODEL}"),
        (["remove", "../x"], "There is no model"),
    ],
)
def test_errors_are_one_sentence(app: Flask, words: list[str], said: str) -> None:
    ran = flask(app, *words)
    assert ran.exit_code == 1
    (line,) = [line for line in ran.output.splitlines() if line.startswith("Error: ")]
    assert said in line


def test_a_failed_pull_says_so(app: Flask, hub: HubFake, settings: Settings) -> None:
    hub.token = "hf-secret"
    ran = flask(app, "pull", HUB_MODEL)
    assert ran.exit_code == 1
    assert f"{HUB_MODEL} was not installed" in ran.output and "HUB_TOKEN" in ran.output
    assert not (settings.models_dir / HUB_MODEL).exists()


def test_the_starter_chat_model_is_what_its_row_says(chat_models: Path) -> None:
    """Pulled from the package index, as `make serve` does."""
    folder = chat_models / "smollm2-135m-instruct"
    assert {path.suffix for path in folder.iterdir()} == {".gguf", ".json"}
    assert (folder / MANIFEST).is_file()
