"""System 1, as its clients call it: no token (AUTH=open), only the base URL is new."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.fakes.vendor import VendorFake
from tests.live import LiveServer
from tests.photographs import photograph

PHOTOS = ("chelsea", "coffee")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, vendor_fakes: dict[str, VendorFake]) -> Iterator[LiveServer]:
    """One running service, whose users may name addresses on this machine."""
    running = LiveServer(
        tmp_path_factory.mktemp("system-1"),
        AUTH="open",
        ALLOW_HTTP_UPSTREAMS="true",
        ALLOWED_UPSTREAMS="127.0.0.1",
    )
    running.start()
    yield running
    running.stop()


@pytest.fixture
def names(server: LiveServer) -> list[str]:
    """Two photographs, uploaded."""
    sent = [("files", (f"{name}.jpg", photograph(name).read_bytes())) for name in PHOTOS]
    answer = requests.post(f"{server.url}/api/upload", files=sent, timeout=60)
    assert answer.status_code == 200, answer.text
    return [file["name"] for file in answer.json()["files"]]


def generate(server: LiveServer, names: list[str], **form: str) -> Any:
    """What the documented call answers, sent as a form with files is."""
    fields = {"system_prompt": "描述图片", "temperature": "0.7", "file_names": json.dumps(names), **form}
    multipart = {name: (None, value) for name, value in fields.items()}
    answer = requests.post(f"{server.url}/api/generate", files=multipart, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_health(server: LiveServer) -> None:
    assert requests.get(f"{server.url}/", timeout=10).headers["Content-Type"].startswith("application/json")


def test_upload(server: LiveServer) -> None:
    sent = [("files", ("猫.jpg", photograph("chelsea").read_bytes())), ("files", ("notes.txt", b"no picture"))]
    body = requests.post(f"{server.url}/api/upload", files=sent, timeout=60).json()
    assert [set(file) for file in body["files"]] == [
        {"name", "original_name", "size", "content_type", "width", "height", "sha256"}
    ]
    assert body["files"][0]["original_name"] == "猫.jpg"
    assert [set(error) for error in body["errors"]] == [{"name", "detail"}]
    assert body["errors"][0]["name"] == "notes.txt"


@pytest.mark.parametrize(
    ("vendor", "path"),
    [
        ("openai", "/chat/completions"),
        ("anthropic", "/v1/messages"),
        ("dashscope", "/services/aigc/multimodal-generation/generation"),
    ],
)
def test_generate(
    server: LiveServer, names: list[str], vendor_fakes: dict[str, VendorFake], vendor: str, path: str
) -> None:
    fake = vendor_fakes[vendor]
    fake.reset()
    body = generate(server, names, api_endpoint=fake.base_url + path, api_key=fake.key)
    assert {"task_id", "status", "output_file", "download_url", "total", "succeeded", "failed", "results"} <= set(body)
    assert (body["status"], body["total"], body["succeeded"], body["failed"]) == ("completed", 2, 2, 0)
    assert [(row["file_name"], row["error"]) for row in body["results"]] == [(name, None) for name in names]
    assert all(row["description"] for row in body["results"])
    assert len(fake.requests) == 2


def test_demo_and_download(server: LiveServer, names: list[str]) -> None:
    body = generate(server, names, api_endpoint="demo")
    answer = requests.get(server.url + body["download_url"], timeout=10)
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["demo"] for row in rows] == [True, True]
    assert [set(row) for row in rows] == [{"messages", "demo"}] * 2


def test_outputs(server: LiveServer, names: list[str]) -> None:
    made = generate(server, names, api_endpoint="demo")["output_file"]
    files = requests.get(f"{server.url}/api/outputs", timeout=10).json()["files"]
    assert {"name", "size", "rows", "created_at"} == set(files[-1])
    assert (files[-1]["name"], files[-1]["rows"]) == (made, 2)


def test_delete(server: LiveServer, names: list[str]) -> None:
    gone = requests.delete(f"{server.url}/api/uploads/{names[0]}", timeout=10)
    assert (gone.status_code, gone.json()) == (200, {"success": True})
    assert requests.delete(f"{server.url}/api/uploads/{names[0]}", timeout=10).status_code == 404


def test_the_same_path_paints_by_json(server: LiveServer) -> None:
    asked = {"prompt": "a lighthouse", "model": "demo"}
    body = requests.post(f"{server.url}/api/generate", json=asked, timeout=60).json()
    assert body["prompt"] == "a lighthouse" and body["image_urls"]
