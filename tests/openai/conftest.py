"""Where the official packages are pointed: a server of our own, or the one that `COMPAT_URL` names.

    make compat URL=https://ai.example KEY=sk-…

Tests that need more than any server can promise (a second account, tight limits, a provider that misbehaves on
demand) are skipped there. Each test says in a mark which row of the table in `docs/openai.md` it proves.
"""

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anthropic
import openai
import pytest
import requests

from services.assemble import assemble
from services.contracts.models import PullRequest
from services.domains import models
from services.settings import Settings
from tests.fakes.vendor import VendorFake
from tests.live import LiveServer
from tests.openai.table import Table

CHAT, EMBED = "smollm2-135m-instruct", "all-minilm-l6-v2"
HEAR, SPEAK = "whisper-base", "piper-en-us-joe"
CLASSIFY, FACES = "efficientnet-lite0", "dlib-faces"
SECONDS = 120


@dataclass
class Target:
    """The running service: its address, a key, and what it can do."""

    url: str
    key: str
    own: LiveServer | None = None

    def has(self, model: str) -> bool:
        """Whether *model* could answer there now."""
        answer = requests.get(
            f"{self.url}/v1/models/{model}", headers={"Authorization": f"Bearer {self.key}"}, timeout=30
        )
        return answer.status_code == 200 and bool(answer.json().get("available"))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Table(), "compat-table")


@pytest.fixture(scope="session")
def compat_models(
    chat_models: Path, sound_models: Path, face_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A models folder with the starter set: chat, embeddings, an ear, a voice, faces and what pictures show."""
    folder = tmp_path_factory.mktemp("compat-models")
    settings = Settings(
        _env_file=None, secret_key="x" * 32, instance_dir=tmp_path_factory.mktemp("pull"), models_dir=folder
    )
    assembled = assemble(settings)
    for name in (EMBED, CLASSIFY):
        models.pull(PullRequest(model=name), services=assembled)
    assembled.close()
    (folder / CHAT).symlink_to(chat_models / CHAT)
    for name in (HEAR, SPEAK):
        (folder / name).symlink_to(sound_models / name)
    (folder / FACES).symlink_to(face_models / FACES)
    return folder


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    """The service that all tests talk to."""
    if url := os.environ.get("COMPAT_URL"):
        yield Target(url.rstrip("/").removesuffix("/v1"), os.environ.get("COMPAT_KEY") or "none")
        return
    server = request.getfixturevalue("compat_server")
    made = requests.post(f"{server.url}/api/auth/keys", json={"name": "compat"}, headers=server.login(), timeout=10)
    yield Target(server.url, made.json()["key"], own=server)


@pytest.fixture(scope="session")
def compat_server(
    tmp_path_factory: pytest.TempPathFactory, compat_models: Path, vendor_fakes: dict[str, VendorFake]
) -> Iterator[LiveServer]:
    """One running service that asks for keys, with the starter's models and providers that are fakes."""
    folder, openai_fake, anthropic_fake = (
        tmp_path_factory.mktemp("compat"),
        vendor_fakes["openai"],
        vendor_fakes["anthropic"],
    )
    (folder / "models").symlink_to(compat_models)
    server = LiveServer(
        folder,
        RATE_LIMIT_GENERATION="10000/minute",
        RATE_LIMIT_DEFAULT="10000/minute",
        RATE_LIMIT_STATUS="10000/minute",
        RATE_LIMIT_TRAINING="1000/hour",
        OPENAI_API_KEY=openai_fake.key,
        OPENAI_BASE_URL=openai_fake.base_url,
        ANTHROPIC_API_KEY=anthropic_fake.key,
        ANTHROPIC_BASE_URL=anthropic_fake.base_url,
    )
    server.start()
    yield server
    server.stop(signal.SIGTERM)


@pytest.fixture(scope="session")
def own(target: Target) -> LiveServer:
    """The server of our own; a test that asks for it is skipped at any other."""
    if target.own is None:
        pytest.skip("needs a server of our own")
    return target.own


@pytest.fixture
def upstream(own: LiveServer, openai_fake: VendorFake) -> VendorFake:
    """The fake behind models called `openai/…`, which misbehaves as the model's name says."""
    return openai_fake


@pytest.fixture(scope="session")
def chat_model(target: Target) -> str:
    """A local chat model."""
    return os.environ.get("COMPAT_CHAT_MODEL") or needed(target, CHAT)


@pytest.fixture(scope="session")
def embedding_model(target: Target) -> str:
    """A local embedding model."""
    return os.environ.get("COMPAT_EMBEDDING_MODEL") or needed(target, EMBED)


def needed(target: Target, model: str) -> str:
    """*model*, or skip what needs it where it is not installed."""
    if not target.has(model):
        pytest.skip(f"{model} is not installed there")
    return model


@pytest.fixture(scope="session")
def sdk(target: Target) -> Iterator[openai.OpenAI]:
    """OpenAI's package, as a user makes it."""
    with openai.OpenAI(base_url=f"{target.url}/v1", api_key=target.key, timeout=SECONDS) as client:
        yield client


@pytest.fixture(scope="session")
def claude(target: Target) -> Iterator[anthropic.Anthropic]:
    """Anthropic's package, as a user makes it."""
    with anthropic.Anthropic(base_url=target.url, api_key=target.key, timeout=SECONDS) as client:
        yield client


def async_sdk(target: Target) -> openai.AsyncOpenAI:
    """OpenAI's asynchronous client; made inside the event loop that uses it."""
    return openai.AsyncOpenAI(base_url=f"{target.url}/v1", api_key=target.key, timeout=SECONDS)


def async_claude(target: Target) -> anthropic.AsyncAnthropic:
    """Anthropic's asynchronous client; made inside the event loop that uses it."""
    return anthropic.AsyncAnthropic(base_url=target.url, api_key=target.key, timeout=SECONDS)
