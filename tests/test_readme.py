"""README's examples run as they stand, with only the address and the password put in."""

import json
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from backend.app import create_app
from services.assemble import Services
from services.contracts.chat import ChatMessage, ChatRequest
from services.contracts.models import CatalogRow, ChatFlags
from services.outbound import Outbound
from services.providers import all_providers
from services.settings import Settings
from tests.fakes import samples
from tests.fakes.openai import OpenAIFake
from tests.live import ADMIN_PASSWORD, LiveServer
from tests.test_truth import blocks


def example(language: str, word: str, server: LiveServer) -> str:
    """The one code block in *language* that has *word*, for *server*."""
    (code,) = [code for code in blocks("README.md", language) if word in code]
    return code.replace("http://127.0.0.1:8000", server.url).replace("PASSWORD", ADMIN_PASSWORD)


def run(*command: str) -> str:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.slow
def test_curl_streams(open_server: LiveServer) -> None:
    said = run("bash", "-c", example("bash", "/api/chat/stream", open_server))
    assert said.startswith("data: {") and said.endswith("data: [DONE]\n\n")
    assert '"finish_reason":"stop"' in said or '"finish_reason":"length"' in said


@pytest.mark.slow
def test_python_streams(open_server: LiveServer) -> None:
    assert run(sys.executable, "-c", example("python", "/api/chat/stream", open_server)).strip()


@pytest.mark.slow
def test_openais_package_streams(open_server: LiveServer) -> None:
    token = open_server.login()["Authorization"].removeprefix("Bearer ")
    code = example("python", "from openai import", open_server).replace("TOKEN", token)
    assert run(sys.executable, "-c", code).strip()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="node plays the browser")
def test_a_browsers_fetch_streams(open_server: LiveServer) -> None:
    token = open_server.login()["Authorization"].removeprefix("Bearer ")
    call = f"ask({open_server.url!r}, {token!r}, 'Where is Paris?', (piece) => process.stdout.write(piece))"
    assert run("node", "-e", example("js", "fetch(", open_server) + call).strip()


def test_the_provider_answers(services: Services, openai_fake: OpenAIFake, tmp_path: Path) -> None:
    all_providers()  # It remembers them, so that the example's class stays out of other tests.
    (code,) = [code for code in blocks("README.md", "python") if "(OpenAILike)" in code]
    (tmp_path / "moonshot.py").write_text(code)
    kind = runpy.run_path(str(tmp_path / "moonshot.py"))["Moonshot"]
    provider = kind(services.outbound, key=openai_fake.key, base_url=openai_fake.base_url, trusted=True)
    request = ChatRequest(messages=[ChatMessage(role="user", content="hi")])
    assert provider.chat("gpt-4o", ChatFlags()).reply(request).text == samples.TEXT
    (settings,) = [code for code in blocks("README.md", "python") if f"{kind.key_setting}: str" in code]
    assert f"{kind.url_setting}: str" in settings


@pytest.mark.parametrize("door", ["/api/chat/completions", "/api/chat/stream"])
def test_a_server_of_ones_own_answers(door: str, services: Services, openai_fake: OpenAIFake) -> None:
    (code,) = [code for code in blocks("README.md", "bash") if "/api/config" in code]
    (body,) = re.findall(r"-d '(.*)'", code)
    allowed = {"allow_http_upstreams": True, "allowed_upstreams": "127.0.0.1", "auth": "open"}
    settings = Settings(_env_file=None, **services.settings.model_dump() | allowed)
    client = create_app(services=replace(services, settings=settings, outbound=Outbound(settings))).test_client()
    there = {"base_url": openai_fake.base_url, "api_key": openai_fake.key}
    assert client.post("/api/config", json=json.loads(body) | there).status_code == 200
    question = {"model": "ollama", "messages": [{"role": "user", "content": "hi"}]}
    assert client.post(door, json=question).status_code == 200
    assert openai_fake.requests[-1].json["model"] == "llama3.2"


def test_the_row_is_a_row() -> None:
    (code,) = blocks("README.md", "toml")
    ((name, row),) = tomllib.loads(code).items()
    assert CatalogRow.model_validate({"id": name, **row}).sources[0].hub


@pytest.mark.slow
def test_curl_paints_and_films_and_watches(open_server: LiveServer) -> None:
    token = open_server.login()["Authorization"].removeprefix("Bearer ")
    paint, watch = example("bash", "/api/text-to-video/generate", open_server).split("curl -N")
    painted, filmed = run("bash", "-c", f"TOKEN={token}; " + paint.replace("curl ", "curl -s ")).split("}{")
    assert json.loads(painted + "}")["image_url"].startswith("/outputs/images/")
    task_id = json.loads("{" + filmed)["task_id"]
    seen = run("bash", "-c", f"TOKEN={token}; curl -sN" + watch.replace("TASK_ID", task_id))
    assert '"status":"completed"' in seen
