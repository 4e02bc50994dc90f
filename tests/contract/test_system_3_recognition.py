"""System 3's image recognition, as its clients ask for it: no token (AUTH=open), only the base URL is new."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from tests.live import LiveServer
from tests.photographs import photograph
from tests.vision_models import CLASSIFIER


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, vision_models: Path) -> Iterator[LiveServer]:
    """One running service with the starter classifier and a detector whose heads are set by hand."""
    folder = tmp_path_factory.mktemp("system-3-recognition")
    (folder / "models").mkdir()
    for name in (CLASSIFIER, "hand-set"):
        (folder / "models" / name).symlink_to(vision_models / name)
    running = LiveServer(folder, AUTH="open", CPU_THREADS="1", OMP_NUM_THREADS="1", RATE_LIMIT_DEFAULT="1000/minute")
    running.start()
    yield running
    running.stop()


def post(server: LiveServer, path: str, image: bytes, language: str = "", **form: str) -> Any:
    headers = {"Accept-Language": language} if language else {}
    files = {"image": ("photo.jpg", image, "image/jpeg")}
    return requests.post(
        f"{server.url}/api/image-recognition/{path}", files=files, data=form, headers=headers, timeout=60
    )


def picture(size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size).save(file, "JPEG")
    return file.getvalue()


def test_classify(server: LiveServer) -> None:
    answer = post(server, "classify", photograph("chelsea").read_bytes())
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/json"
    found = answer.json()["classifications"]
    assert [set(each) for each in found] == [{"label", "confidence"}] * 5
    assert found[0] == {"label": "Egyptian cat", "confidence": pytest.approx(0.39, abs=0.01)}


def test_classify_by_a_named_model(server: LiveServer) -> None:
    found = post(server, "classify", photograph("coffee").read_bytes(), model=CLASSIFIER).json()["classifications"]
    assert found[0]["label"] == "espresso"


def test_detect(server: LiveServer) -> None:
    found = post(server, "detect", picture((200, 100)), language="zh").json()["detections"]
    assert [set(each) for each in found] == [{"label", "confidence", "bbox"}] * 3
    assert found[0]["label"] == "人"
    assert found[0]["bbox"] == pytest.approx([125, 0, 175, 50], abs=0.05)


def test_an_error_has_the_documents_detail(server: LiveServer) -> None:
    answer = post(server, "classify", b"%PDF-1.7")
    assert answer.status_code == 415 and isinstance(answer.json()["detail"], str)
    missing = requests.post(f"{server.url}/api/image-recognition/detect", data={"model": "hand-set"}, timeout=30)
    assert missing.status_code == 400 and isinstance(missing.json()["detail"], str)


def test_many_clients_at_once_each_get_their_own(server: LiveServer) -> None:
    names = ["chelsea", "coffee"] * 8
    with ThreadPoolExecutor(len(names)) as pool:
        answers = list(pool.map(lambda name: post(server, "classify", photograph(name).read_bytes()), names))
    labels = [answer.json()["classifications"][0]["label"] for answer in answers]
    assert labels == ["Egyptian cat", "espresso"] * 8
    assert list((server.folder / "data" / "uploads").glob("*")) == []
