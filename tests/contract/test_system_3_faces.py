"""System 3's faces, as its clients ask for them: no token (AUTH=open), only the base URL is new."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from tests.face_models import FACES, astronaut, encoded, found_again, stranger, twins
from tests.live import LiveServer, wait_for


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, face_models: Path) -> Iterator[LiveServer]:
    """One running service of two workers with the starter set's faces."""
    folder = tmp_path_factory.mktemp("system-3-faces")
    (folder / "models").mkdir()
    (folder / "models" / FACES).symlink_to(face_models / FACES)
    running = LiveServer(folder, workers=2, AUTH="open", RATE_LIMIT_DEFAULT="1000/minute").start()
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def nobody(server: LiveServer) -> Iterator[None]:
    """Nobody is registered when a test begins."""
    yield
    assert requests.delete(f"{server.url}/api/face-recognition/faces", timeout=30).status_code == 200


def post(server: LiveServer, path: str, image: Image.Image | bytes, **form: str) -> Any:
    data = image if isinstance(image, bytes) else encoded(image, "JPEG", quality=95)
    url = f"{server.url}/api/face-recognition/{path}"
    return requests.post(url, files={"image": ("photo.jpg", data, "image/jpeg")}, data=form, timeout=60)


def test_detect(server: LiveServer) -> None:
    answer = post(server, "detect", astronaut())
    assert answer.status_code == 200 and answer.headers["Content-Type"] == "application/json"
    (face,) = answer.json()["faces"]
    assert set(face) == {"face_id", "confidence", "bbox", "landmarks"}
    assert face["face_id"] == "face_001" and 0 <= face["confidence"] <= 1
    left, top, right, bottom = face["bbox"]
    assert 0 <= left < right <= 512 and 0 <= top < bottom <= 512
    assert all(isinstance(number, int) for number in face["bbox"] + face["landmarks"]["left_eye"])
    assert face["landmarks"]["left_eye"][0] < face["landmarks"]["right_eye"][0]


def test_register_and_recognize(server: LiveServer) -> None:
    answer = post(server, "register", astronaut(), name="张三")
    assert answer.status_code == 200 and answer.json()["success"] is True
    face_id = answer.json()["face_id"]
    assert face_id.startswith("face_")
    (face,) = post(server, "recognize", found_again()).json()["faces"]
    assert set(face) == {"face_id", "name", "confidence", "bbox"}
    assert (face["face_id"], face["name"]) == (face_id, "张三")
    assert face["confidence"] > 0.9
    (other,) = post(server, "recognize", stranger()).json()["faces"]
    assert (other["face_id"], other["name"]) == (None, "unknown")


def test_what_is_registered_is_found_at_once_and_never_after_its_removal(server: LiveServer) -> None:
    """Two workers, one engine host: neither a search nor a list is older than the answer before it."""
    for number in range(4):
        face_id = post(server, "register", astronaut(), name=f"number {number}").json()["face_id"]
        assert post(server, "recognize", astronaut()).json()["faces"][0]["face_id"] == face_id
        listed = requests.get(f"{server.url}/api/face-recognition/faces", timeout=30).json()
        assert [row["face_id"] for row in listed["faces"]] == [face_id]
        gone = requests.delete(f"{server.url}/api/face-recognition/faces/{face_id}", timeout=30).json()
        assert gone == {"success": True, "removed": {"faces": 1, "embeddings": 1, "files": 0}}
        assert post(server, "recognize", astronaut()).json()["faces"][0]["face_id"] is None


def test_an_error_has_the_documents_detail(server: LiveServer) -> None:
    for image, status in ((b"%PDF-1.7", 415), (twins(), 422), (Image.new("RGB", (1, 1)), 422)):
        answer = post(server, "register", image, name="张三")
        assert answer.status_code == status and isinstance(answer.json()["detail"], str)
    missing = requests.post(f"{server.url}/api/face-recognition/detect", data={"name": "x"}, timeout=30)
    assert missing.status_code == 400 and isinstance(missing.json()["detail"], str)


def test_many_clients_at_once_each_get_their_own(server: LiveServer) -> None:
    people = {"Eileen": astronaut(), "Five": stranger(5), "Three": stranger(3)}
    with ThreadPoolExecutor(3) as pool:
        ids = dict(pool.map(lambda name: (name, post(server, "register", people[name], name=name).json()), people))
    with ThreadPoolExecutor(12) as pool:
        asked = [*people] * 4
        answers = list(pool.map(lambda name: post(server, "recognize", people[name]).json()["faces"][0], asked))
    assert [answer["name"] for answer in answers] == asked
    assert [answer["face_id"] for answer in answers] == [ids[name]["face_id"] for name in asked]
    assert list((server.folder / "data" / "uploads").glob("*")) == []


def test_one_name_registered_by_many_at_once_is_one_person(server: LiveServer) -> None:
    images = [astronaut(), found_again(), stranger(3), stranger(5), stranger(6), stranger(1)]
    with ThreadPoolExecutor(6) as pool:
        ids = set(pool.map(lambda image: post(server, "register", image, name="张三").json()["face_id"], images))
    assert len(ids) == 1
    row = requests.get(f"{server.url}/api/face-recognition/faces/{ids.pop()}", timeout=30).json()
    assert (row["name"], row["photos"]) == ("张三", 6)


def test_no_process_outlives_the_service(tmp_path: Path, face_models: Path) -> None:
    killed = LiveServer(tmp_path, AUTH="open", MODELS_DIR=str(face_models)).start()
    assert post(killed, "register", astronaut(), name="张三").status_code == 200
    assert len(killed.processes()) > 3
    killed.stop(signal.SIGKILL)
    wait_for(lambda: not killed.processes(), what="its processes to end", seconds=30)
