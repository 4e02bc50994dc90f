"""System 3's pictures and films, as its clients ask for them: no token (AUTH=open), only the base URL is new.

`stable-diffusion-v1-5` is a pipeline of that class with random weights; films come from a fake of DashScope.
"""

import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from services import png_notes
from services.contracts.models import Manifest
from tests.fakes import samples
from tests.fakes.vendor import VendorFake
from tests.live import LiveServer, wait_for
from tests.tiny_models import stable_diffusion

PAINTER = "stable-diffusion-v1-5"
PICTURE = {
    "prompt": "海边美丽的日落",
    "negative_prompt": "模糊, 低质量",
    "width": 512,
    "height": 512,
    "num_inference_steps": 50,
    "guidance_scale": 7.5,
    "seed": 42,
    "model_id": PAINTER,
}
FILM = {"prompt": "一只猫在花园里散步", "num_frames": 24, "fps": 8, "num_inference_steps": 25}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, vendor_fakes: dict[str, VendorFake]) -> Iterator[LiveServer]:
    """One running service with the document's own model."""
    folder = tmp_path_factory.mktemp("system-3")
    install(folder / "models" / PAINTER)
    running = LiveServer(
        folder,
        AUTH="open",
        OMP_NUM_THREADS="1",
        DASHSCOPE_API_KEY=vendor_fakes["dashscope"].key,
        DASHSCOPE_BASE_URL=vendor_fakes["dashscope"].base_url,
        ALLOWED_UPSTREAMS="127.0.0.1",
    )
    running.start()
    yield running
    running.stop()


def install(folder: Path) -> None:
    """Put a pipeline where `models pull` puts it."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    stable_diffusion(halvings=3).save_pretrained(folder, safe_serialization=True)
    now = datetime.now(UTC)
    manifest = Manifest(model=PAINTER, source="test", revision="1", licence="own", installed_at=now, files={})
    (folder / "polymath.json").write_text(manifest.model_dump_json())


def begin(server: LiveServer, route: str, address: str, **sent: Any) -> str:
    """The id of a task whose answer is the document's: it goes on, and shows no file yet."""
    answer = requests.post(f"{server.url}/api/{route}/generate", timeout=60, **sent)
    assert answer.status_code == 200, answer.text
    task = answer.json()["task_id"]
    assert answer.json() == {"task_id": task, "status": "processing", address: None, "progress": 0}
    return str(task)


def end(server: LiveServer, route: str, task: str) -> dict[str, Any]:
    """The task's status, asked for until it has ended as a client does."""
    shown: dict[str, Any] = {}

    def ended() -> bool:
        answer = requests.get(f"{server.url}/api/{route}/status/{task}", timeout=10)
        assert answer.status_code == 200
        shown.update(answer.json())
        assert shown["task_id"] == task and 0 <= shown["progress"] <= 100
        return shown["status"] != "processing"

    wait_for(ended, what="the task to end")
    assert shown["status"] == "completed", shown
    return shown


def fetch(server: LiveServer, url: str, folder: str) -> bytes:
    """The file at *url*, which has the form that the document shows and needs no token."""
    assert re.fullmatch(rf"/outputs/{folder}/[0-9a-f]{{32}}\.(png|mp4)", url)
    answer = requests.get(server.url + url, timeout=10)
    assert answer.status_code == 200
    return answer.content


def upload(**fields: str) -> dict[str, Any]:
    return {"files": {"image": ("cat.png", samples.png(64, 64, "cat"), "image/png")}, "data": fields}


def told(picture: bytes, tmp_path: Path) -> dict[str, Any]:
    """How the picture says that it was made."""
    (tmp_path / "picture.png").write_bytes(picture)
    return png_notes.parameters(tmp_path / "picture.png") or {}


def test_a_picture_from_words(server: LiveServer, tmp_path: Path) -> None:
    task = begin(server, "text-to-image", "image_url", json=PICTURE)
    shown = end(server, "text-to-image", task)
    assert shown["progress"] == 100
    picture = fetch(server, shown["image_url"], "images")
    with Image.open(io.BytesIO(picture)) as image:
        assert (image.format, image.size) == ("PNG", (512, 512))
    made = told(picture, tmp_path)
    assert {name: made["model" if name == "model_id" else name] for name in PICTURE} == PICTURE


def test_the_models_are_the_document_s(server: LiveServer) -> None:
    rows = requests.get(f"{server.url}/api/text-to-image/models", timeout=10).json()
    assert [{name: row[name] for name in ("id", "name", "description")} for row in rows[:2]] == [
        {"id": "stable-diffusion-v1-5", "name": "Stable Diffusion v1.5", "description": "通用图像生成模型"},
        {"id": "stable-diffusion-xl", "name": "Stable Diffusion XL", "description": "高分辨率图像生成模型"},
    ]


def test_a_picture_from_a_picture(server: LiveServer, tmp_path: Path) -> None:
    asked = {
        "prompt": "油画风格的猫",
        "negative_prompt": "模糊",
        "strength": "0.5",
        "num_inference_steps": "20",
        "guidance_scale": "6.5",
    }
    answer = requests.post(f"{server.url}/api/image-to-image/generate", timeout=60, **upload(**asked))
    assert (answer.status_code, answer.json()["status"]) == (200, "completed"), answer.text
    assert answer.json()["task_id"]
    made = told(fetch(server, answer.json()["image_url"], "images"), tmp_path)
    used = {**asked, "strength": 0.5, "num_inference_steps": 20, "guidance_scale": 6.5, "model": PAINTER}
    assert {name: made[name] for name in used} == used


@pytest.mark.parametrize(("strength", "used"), [("0.0", 0.5), ("1.0", 1.0)])
def test_a_picture_is_changed_hardly_at_all_or_wholly(
    server: LiveServer, tmp_path: Path, strength: str, used: float
) -> None:
    form = upload(prompt="a dog", strength=strength, num_inference_steps="2")
    answer = requests.post(f"{server.url}/api/image-to-image/generate", timeout=60, **form)
    assert (answer.status_code, answer.json()["status"]) == (200, "completed"), answer.text
    assert told(fetch(server, answer.json()["image_url"], "images"), tmp_path)["strength"] == used


def test_a_film_from_words(server: LiveServer, dashscope_fake: VendorFake) -> None:
    task = begin(server, "text-to-video", "video_url", json=FILM)
    shown = end(server, "text-to-video", task)
    assert shown["progress"] == 100
    assert fetch(server, shown["video_url"], "video")[4:8] == b"ftyp"
    (sent,) = dashscope_fake.requests_to("/services/", "POST")
    assert sent.json["input"]["prompt"] == FILM["prompt"]


def test_a_film_from_a_picture(server: LiveServer, dashscope_fake: VendorFake) -> None:
    task = begin(server, "image-to-video", "video_url", **upload(num_frames="24", fps="8"))
    shown = end(server, "image-to-video", task)
    assert fetch(server, shown["video_url"], "video")[4:8] == b"ftyp"
    (sent,) = dashscope_fake.requests_to("/services/", "POST")
    assert "data:image/png;base64," in str(sent.json["input"])


def test_a_film_has_24_frames_at_8_a_second_where_nothing_is_said(server: LiveServer) -> None:
    task = begin(server, "image-to-video", "video_url", **upload(model_id="demo"))
    shown = end(server, "image-to-video", task)
    assert (shown["num_frames"], shown["fps"]) == (24, 8)


@pytest.mark.parametrize(("route", "field"), [("image-to-image", "image"), ("image-to-video", "image")])
def test_a_form_without_its_picture_is_refused(server: LiveServer, route: str, field: str) -> None:
    answer = requests.post(f"{server.url}/api/{route}/generate", files={"prompt": (None, "a cat")}, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["error"]["details"] == {"field": field, "reason": "required"}


@pytest.mark.parametrize("route", ["text-to-image", "text-to-video"])
def test_a_request_without_its_prompt_is_refused(server: LiveServer, route: str) -> None:
    answer = requests.post(f"{server.url}/api/{route}/generate", json={"width": 512}, timeout=10)
    assert answer.status_code == 422
    assert answer.json()["error"]["details"] == {"field": "prompt", "reason": "required"}


def test_a_form_without_its_prompt_is_refused(server: LiveServer) -> None:
    answer = requests.post(f"{server.url}/api/image-to-image/generate", timeout=10, **upload())
    assert answer.status_code == 422
    assert answer.json()["error"]["details"] == {"field": "prompt", "reason": "required"}
