"""Cameras over WebSockets, on a running service with a detector that finds one white spot."""

import base64
import io
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket
from PIL import Image, ImageDraw
from websocket import WebSocket, create_connection

from tests.face_models import FACES, astronaut, found_again
from tests.live import LiveServer, wait_for
from tests.processes import memory_mb, read_of
from tests.test_truth import blocks
from tests.vision_models import SIDE, SPOT

SECONDS = 60
SPOTS = "/ws/camera?mode=detect&model=spot-finder"


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory, vision_models: Path, face_models: Path) -> Iterator[LiveServer]:
    """gunicorn with gevent and an engine host, which has detectors and the starter's faces."""
    models = tmp_path_factory.mktemp("models")
    for folder in [*vision_models.iterdir(), face_models / FACES]:
        (models / folder.name).symlink_to(folder)
    server = LiveServer(
        tmp_path_factory.mktemp("camera"),
        MODELS_DIR=str(models),
        AUTH="open",
        CPU_THREADS="1",
        RATE_LIMIT_DEFAULT="10000/minute",
        MAX_SOCKETS="32",
    ).start()
    yield server
    server.stop()


@pytest.fixture
def connect(camera: LiveServer) -> Iterator[Any]:
    """Open a camera's socket; all are closed at the end, and no frame is on the disk."""
    opened: list[WebSocket] = []

    def open_one(path: str = SPOTS, **header: str) -> WebSocket:
        url = camera.url.replace("http", "ws") + path
        opened.append(create_connection(url, timeout=SECONDS, suppress_origin=True, header=header))
        return opened[-1]

    yield open_one
    for client in opened:
        client.shutdown()
    assert not frames_on_disk(camera)


def frames_on_disk(server: LiveServer) -> list[Path]:
    return list((server.folder / "data" / "uploads").glob("*"))


def begins_to_load(server: LiveServer) -> bool:
    """Whether the engine host has torch in memory, which it fetches for the first model."""
    return any(b"libtorch" in read_of(pid, "maps") for pid in server.host_pids())


def hear(client: WebSocket) -> Any:
    return json.loads(client.recv())


def frame(x: int = 100, y: int = 100, kind: str = "JPEG") -> bytes:
    """A black picture with a white spot around a place."""
    image = Image.new("RGB", (SIDE, SIDE))
    half = SPOT // 2
    ImageDraw.Draw(image).rectangle((x - half, y - half, x + half - 1, y + half - 1), fill="white")
    return encoded(image, kind)


def encoded(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def middle(answer: dict[str, Any]) -> tuple[float, float]:
    x1, y1, x2, y2 = answer["detections"][0]["bbox"]
    return (x1 + x2) / 2, (y1 + y2) / 2


def near(answer: dict[str, Any], x: int, y: int) -> bool:
    there_x, there_y = middle(answer)
    return abs(there_x - x) < SPOT and abs(there_y - y) < SPOT


def text_frame(**fields: Any) -> str:
    return json.dumps({"type": "frame", "data": base64.b64encode(frame()).decode(), **fields})


def test_boxes_move_with_what_moves(connect: Any) -> None:
    client = connect()
    for number, (x, y) in enumerate([(60, 60), (100, 140), (180, 60), (140, 180)], start=1):
        client.send_binary(frame(x, y))
        seen = hear(client)
        assert {name: seen[name] for name in ("type", "id", "dropped")} == {
            "type": "result",
            "id": number,
            "dropped": 0,
        }
        assert seen["ms"] > 0
        assert near(seen, x, y)


def test_a_face_that_is_registered_is_known_again(camera: LiveServer, connect: Any) -> None:
    client = connect("/ws/camera")
    client.send_binary(encoded(found_again(), "JPEG"))
    assert [face["name"] for face in hear(client)["faces"]] == ["unknown"]
    photo = {"image": ("astronaut.jpg", encoded(astronaut(), "JPEG"))}
    url = f"{camera.url}/api/face-recognition/register"
    assert requests.post(url, files=photo, data={"name": "Eileen"}, timeout=SECONDS).ok
    client.send_binary(encoded(found_again(), "JPEG"))
    answer = hear(client)
    assert (answer["type"], answer["id"], [face["name"] for face in answer["faces"]]) == ("result", 2, ["Eileen"])


def test_one_camera_may_ask_for_faces_and_for_things(connect: Any) -> None:
    client = connect(SPOTS)
    client.send(text_frame(mode="faces", id=1))
    assert hear(client)["faces"] == []
    client.send(text_frame(id=2))
    assert near(hear(client), 100, 100)


def test_a_frame_is_seen_as_the_route_for_pictures_sees_it(camera: LiveServer, connect: Any) -> None:
    client, picture = connect(), frame(kind="WEBP")
    client.send_binary(picture)
    form = {"files": {"image": ("frame.webp", picture)}, "data": {"model": "spot-finder"}}
    answer = requests.post(f"{camera.url}/api/image-recognition/detect", timeout=SECONDS, **form).json()
    assert hear(client)["detections"] == answer["detections"]


@pytest.mark.parametrize("frame_id", ["front door", 7, 1.5, None])
def test_a_text_frame_gets_its_id_back(connect: Any, frame_id: Any) -> None:
    client = connect()
    client.send(text_frame(id=frame_id))
    seen = hear(client)
    assert (seen["type"], seen["id"]) == ("result", frame_id)


def test_a_data_url_is_base64_too(connect: Any) -> None:
    client = connect()
    client.send(text_frame(data="data:image/jpeg;base64," + base64.b64encode(frame()).decode()))
    assert near(hear(client), 100, 100)


def test_names_of_things_are_in_the_clients_language(connect: Any) -> None:
    client = connect(**{"Accept-Language": "zh"})
    client.send_binary(frame())
    assert hear(client)["detections"][0]["label"] == "猫"


BAD_TEXT = {
    "no JSON": ("so long", "INVALID_REQUEST", None),
    "deep": ("[" * 100_000, "INVALID_REQUEST", None),
    "no object": ("5", "VALIDATION_ERROR", None),
    "another type": ('{"type": "film", "id": 4}', "VALIDATION_ERROR", 4),
    "no data": ('{"type": "frame", "id": "a"}', "VALIDATION_ERROR", "a"),
    "no base64": ('{"type": "frame", "id": "b", "data": "§§§"}', "VALIDATION_ERROR", "b"),
    "another mode": (text_frame(mode="souls", id="c"), "VALIDATION_ERROR", "c"),
    "a long id": (text_frame(id="d" * 10_000), "VALIDATION_ERROR", "d" * 200),
    "an object as id": (text_frame(id={"a": 1}), "VALIDATION_ERROR", None),
}


@pytest.mark.parametrize("case", BAD_TEXT)
def test_text_that_is_no_frame_is_told_and_the_socket_lives_on(connect: Any, case: str) -> None:
    sent, code, named = BAD_TEXT[case]
    client = connect()
    client.send(sent)
    told = hear(client)
    assert (told["type"], told["error"]["code"], told["id"]) == ("error", code, named)
    client.send_binary(frame())
    assert hear(client)["type"] == "result"


BAD_BYTES = {
    "garbage": (bytes(range(256)) * 100, "UNSUPPORTED_MEDIA_TYPE"),
    "nothing": (b"", "UNSUPPORTED_MEDIA_TYPE"),
    "a PDF": (b"%PDF-1.7\n" + bytes(100), "UNSUPPORTED_MEDIA_TYPE"),
    "half a JPEG": (frame()[:400], "VALIDATION_ERROR"),
    "the head of a JPEG": (b"\xff\xd8\xff", "VALIDATION_ERROR"),
}


@pytest.mark.parametrize("case", BAD_BYTES)
def test_bytes_that_are_no_frame_are_told_and_the_socket_lives_on(connect: Any, case: str) -> None:
    sent, code = BAD_BYTES[case]
    client = connect()
    client.send_binary(sent)
    told = hear(client)
    assert (told["type"], told["error"]["code"], told["id"]) == ("error", code, 1)
    client.send_binary(frame())
    assert hear(client)["id"] == 2


def test_a_picture_that_unfolds_to_gigabytes_is_told(connect: Any) -> None:
    client = connect()
    client.send_binary(encoded(Image.new("1", (20_000, 20_000)), "PNG"))
    assert hear(client)["error"]["code"] == "VALIDATION_ERROR"


def test_a_frame_of_10_mb_is_1009(connect: Any) -> None:
    client = connect()

    def send() -> None:
        with suppress(OSError):
            client.send_binary(b"\xff\xd8\xff" + bytes(10**7))

    sending = threading.Thread(target=send)
    sending.start()
    kind, data = client.recv_data(control_frame=True)
    sending.join()
    assert kind == websocket.ABNF.OPCODE_CLOSE
    assert int.from_bytes(data[:2]) == 1009
    assert b"6291456" in data


def test_the_newest_frame_wins_and_drops_are_told(connect: Any) -> None:
    client = connect()
    for number in range(1, 201):
        client.send_binary(frame(60 if number < 200 else 180))
    answers = [hear(client)]
    while answers[-1]["id"] < 200:
        answers.append(hear(client))
    assert sum(answer["dropped"] + 1 for answer in answers) == 200
    assert len(answers) < 150
    assert near(answers[-1], 180, 100)


def test_each_camera_hears_of_its_own_frames(connect: Any) -> None:
    places = [(60 + 20 * number, 200 - 20 * number) for number in range(8)]
    clients = [connect() for _ in places]
    for _ in range(3):
        for client, place in zip(clients, places, strict=True):
            client.send_binary(frame(*place))
        assert all(near(hear(client), *place) for client, place in zip(clients, places, strict=True))


def test_a_camera_that_never_reads_holds_up_nobody_and_takes_no_memory(connect: Any, camera: LiveServer) -> None:
    silent, other = connect(), connect()
    other.send_binary(frame())
    assert hear(other)["type"] == "result"
    before, sent_mb = memory_mb(camera.processes()), 0
    silent.sock.settimeout(2)
    with suppress(OSError, websocket.WebSocketTimeoutException):
        for _ in range(100):
            silent.send_binary(frame() + bytes(5 * 2**20))
            sent_mb += 5
    assert sent_mb > 100
    other.send_binary(frame())
    assert hear(other)["type"] == "result"
    after = memory_mb(camera.processes())
    assert max(after[pid] - before[pid] for pid in before) < 60


def test_a_camera_that_is_killed_in_the_middle_of_a_frame_leaves_nothing(connect: Any) -> None:
    killed, other = connect(), connect()
    killed.send_binary(frame())
    killed.sock.sendall(b"\x82\xfe\xff\xff\0\0\0\0\xff\xd8\xff half of a frame")
    killed.shutdown()
    other.send_binary(frame())
    assert hear(other)["type"] == "result"


def test_a_model_that_is_not_there_is_told_for_each_frame(connect: Any) -> None:
    client = connect("/ws/camera?mode=detect&model=nobody")
    for number in (1, 2):
        client.send_binary(frame())
        told = hear(client)
        assert (told["error"]["code"], told["id"]) == ("NOT_FOUND", number)


@pytest.mark.parametrize("wrong", ["threshold=7", "mode=souls", "threshold=nan", "labels=" + "x" * 2000])
def test_wrong_options_are_told_and_end_the_socket(connect: Any, wrong: str) -> None:
    client = connect(f"/ws/camera?{wrong}")
    told = hear(client)
    assert told["error"]["param"] in wrong or told["error"]["param"] == "labels.0"
    kind, data = client.recv_data(control_frame=True)
    assert (kind, data[2:]) == (websocket.ABNF.OPCODE_CLOSE, b"VALIDATION_ERROR")


def test_options_of_the_url_reach_the_model(connect: Any) -> None:
    client = connect(f"{SPOTS}&threshold=0.99")
    client.send_binary(frame())
    assert hear(client)["detections"] == []


@pytest.mark.slow
def test_a_stop_ends_a_camera_whose_model_still_loads(tmp_path: Path, vision_models: Path) -> None:
    server = LiveServer(tmp_path, MODELS_DIR=str(vision_models), AUTH="open", CPU_THREADS="1").start()
    client = create_connection(server.url.replace("http", "ws") + SPOTS, timeout=SECONDS, suppress_origin=True)
    client.send_binary(frame())
    wait_for(lambda: begins_to_load(server), what="the frame to be taken up", seconds=20)
    stopping, begun = threading.Thread(target=server.stop), time.monotonic()
    stopping.start()
    kind, data = client.recv_data(control_frame=True)
    assert time.monotonic() - begun < 5
    client.shutdown()
    stopping.join(40)
    assert (kind, int.from_bytes(data[:2])) == (websocket.ABNF.OPCODE_CLOSE, 1012)
    assert server.process.returncode == 0
    assert not frames_on_disk(server)


@pytest.mark.skipif(shutil.which("node") is None, reason="node plays the browser")
def test_the_example_of_the_readme_films(camera: LiveServer, tmp_path: Path) -> None:
    (code,) = [code for code in blocks("README.md", "js") if "/ws/camera" in code]
    file = tmp_path / "frame.jpg"
    file.write_bytes(frame())
    call = f"""
        const picture = new Blob([require("fs").readFileSync({str(file)!r})]);
        let seen = 0;
        const show = (answer) => {{ console.log(JSON.stringify(answer)); if (++seen === 2) process.exit(); }};
        watch({camera.url!r}, {camera.login()["Authorization"].removeprefix("Bearer ")!r}, () => picture, show);
    """
    named = code.replace("mode=detect", "mode=detect&model=spot-finder")
    ran = subprocess.run(
        ["node", "--experimental-websocket", "-e", named + call], capture_output=True, text=True, timeout=60, check=True
    )
    first, second = map(json.loads, ran.stdout.splitlines())
    assert (first["id"], second["id"]) == (1, 2)
    assert near(second, 100, 100)
