"""Uploads land, bounded and hashed, and nothing of them stays that a view did not keep."""

import hashlib
import io
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import jsonify
from flask.testing import FlaskClient
from flask_openapi3 import OpenAPI
from pydantic import Field
from werkzeug.serving import make_server

from blueprints.kit.marks import mark
from blueprints.kit.uploads import landed, sweep_uploads, take, uploads_dir
from blueprints.kit.validation import FormModel, Upload
from services.errors import ServiceError
from services.files import FORGOTTEN_SECONDS, PART
from services.settings import Settings
from tests.live import wait_for

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
MIB = 2**20


class OneForm(FormModel):
    file: Upload
    note: str = ""


class ManyForm(FormModel):
    files: list[Upload] = Field([])


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_upload_mb": 2, "max_dataset_mb": 4, "max_json_mb": 1, "auth": "open"})


@pytest.fixture
def folder(settings: Settings) -> Path:
    return uploads_dir(settings)


@pytest.fixture
def client(app: OpenAPI, folder: Path) -> FlaskClient:
    """The real application with three routes more, one for each mark."""

    @app.post("/test/picture")
    @mark(upload="picture", limit="none")
    def picture(form: OneForm) -> Any:
        landing = take(form.file, {"image"})
        kept = landing.keep(folder / "kept.png")
        return jsonify(
            size=landing.size_bytes, sha256=landing.sha256, type=landing.media_type, note=form.note, name=kept.name
        )

    @app.post("/test/pictures")
    @mark(upload="pictures", limit="none")
    def pictures(form: ManyForm) -> Any:
        told = []
        for number, file in enumerate(form.files):
            try:
                told.append(take(file, {"image"}).keep(folder / f"kept-{number}").name)
            except ServiceError as error:
                told.append(type(error).__name__)
        return jsonify(told)

    @app.post("/test/dataset")
    @mark(upload="dataset", limit="none")
    def dataset(form: OneForm) -> Any:
        landing = landed(form.file)
        lines = [line.decode() for line in landing]
        landing.seek(2)
        return jsonify(lines=lines, third=landing.read(1).decode(), parts=len(list(folder.glob(f"{PART}*"))))

    @app.post("/test/plain")
    @mark(limit="none")
    def plain() -> Any:
        return jsonify(done=True)

    return app.test_client()


def send(client: FlaskClient, path: str, **fields: Any) -> Any:
    return client.post(path, data=fields, content_type="multipart/form-data")


def file_of(data: bytes, name: str = "a.png") -> tuple[io.BytesIO, str]:
    return io.BytesIO(data), name


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_picture_is_hashed_and_kept(client: FlaskClient, folder: Path) -> None:
    answer = send(client, "/test/picture", file=file_of(PNG), note="123")
    assert answer.status_code == 200, answer.text
    assert answer.json == {
        "size": len(PNG),
        "sha256": hashlib.sha256(PNG).hexdigest(),
        "type": "image/png",
        "note": "123",
        "name": "kept.png",
    }
    assert (folder / "kept.png").read_bytes() == PNG
    assert left_in(folder) == ["kept.png"]


def test_what_is_not_kept_goes(client: FlaskClient, folder: Path) -> None:
    answer = send(client, "/test/dataset", file=file_of(b"ab\ncd\n", "a.csv"))
    assert answer.json == {"lines": ["ab\n", "cd\n"], "third": "\n", "parts": 1}
    assert left_in(folder) == []


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"just a text", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"<html>", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"RIFF\0\0\0\0WAVE", 415, "UNSUPPORTED_MEDIA_TYPE"),
        (b"", 400, "INVALID_REQUEST"),
        (PNG + bytes(2 * MIB), 413, "PAYLOAD_TOO_LARGE"),
        (PNG + bytes(9 * MIB), 413, "PAYLOAD_TOO_LARGE"),
    ],
)
def test_bad_files_are_told_and_leave_nothing(
    client: FlaskClient, folder: Path, data: bytes, status: int, code: str
) -> None:
    answer = send(client, "/test/picture", file=file_of(data))
    assert answer.status_code == status, answer.text
    assert answer.json["error"]["code"] == code
    assert left_in(folder) == []


def test_one_bad_file_loses_none_of_the_others(client: FlaskClient, folder: Path) -> None:
    files = [file_of(PNG), file_of(PNG + bytes(2 * MIB)), file_of(b"text"), file_of(b""), file_of(PNG)]
    answer = send(client, "/test/pictures", files=files)
    assert answer.json == ["kept-0", "TooLarge", "UnsupportedMedia", "Malformed", "kept-4"]
    assert left_in(folder) == ["kept-0", "kept-4"]


def test_many_files_hold_no_file_open(client: FlaskClient, folder: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    answer = send(client, "/test/pictures", files=[file_of(PNG) for _ in range(300)])
    assert len(answer.json) == 300 and set(answer.json) & {"TooLarge", "Malformed"} == set()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 3


def test_a_file_at_its_limit_passes(client: FlaskClient) -> None:
    assert send(client, "/test/picture", file=file_of(PNG + bytes(2 * MIB - len(PNG)))).status_code == 200


def test_a_missing_file_is_400(client: FlaskClient) -> None:
    for fields in ({}, {"file": "a text in its place"}):
        answer = send(client, "/test/picture", **fields)
        assert answer.status_code == 400
        assert answer.json["error"]["details"] == {"field": "file", "reason": "required"}


def test_a_body_without_length_is_bounded(client: FlaskClient, folder: Path) -> None:
    """Chunked: nobody tells the length, so the limit is felt while it is read."""
    start = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + PNG
    answer = client.post(
        "/test/picture",
        input_stream=io.BytesIO(start + bytes(6 * MIB)),
        content_type="multipart/form-data; boundary=b",
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert answer.status_code == 413
    assert left_in(folder) == []


@pytest.mark.parametrize(
    "body",
    [
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + PNG,
        b"--b\r\n\r\n",
        b"no multipart at all",
        b"",
    ],
)
def test_a_broken_form_is_400_and_leaves_nothing(client: FlaskClient, folder: Path, body: bytes) -> None:
    answer = client.post("/test/picture", data=body, content_type="multipart/form-data; boundary=b")
    assert answer.status_code == 400
    assert left_in(folder) == []


def test_a_route_without_files_takes_no_large_ones(client: FlaskClient, folder: Path) -> None:
    answer = send(client, "/test/plain", file=file_of(PNG + bytes(2 * MIB)))
    assert answer.status_code == 200  # Its view reads no body at all.
    assert left_in(folder) == []


def test_a_name_with_a_path_touches_nothing(client: FlaskClient, folder: Path) -> None:
    answer = send(client, "/test/picture", file=file_of(PNG, "../../escape.png"))
    assert answer.status_code == 200
    assert left_in(folder) == ["kept.png"]


def test_a_full_disk_is_told(client: FlaskClient, folder: Path, refuse_growth: Callable[[int], Any]) -> None:
    # Below 500 kB the test client holds the body in memory and writes no file itself.
    with refuse_growth(MIB // 8):
        answer = send(client, "/test/picture", file=file_of(PNG + bytes(MIB // 4)))
    assert answer.status_code == 503
    assert "disk is full" in answer.json["detail"]
    assert left_in(folder) == []


@pytest.fixture
def refuse_growth() -> Callable[[int], Any]:
    """Let no file of this process grow beyond some bytes: a full disk, for those who are not root either."""
    import resource
    import signal
    from contextlib import contextmanager

    @contextmanager
    def limited(most_bytes: int) -> Any:
        before, hear = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, hear)

    return limited


def test_a_client_that_leaves_in_the_middle_leaves_nothing(client: FlaskClient, app: OpenAPI, folder: Path) -> None:
    ended = threading.Event()
    # What is registered first runs last.
    app.teardown_request_funcs[None].insert(0, lambda _error: ended.set())
    server = make_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    head = f"POST /test/picture HTTP/1.1\r\nHost: x\r\nContent-Length: {MIB}\r\n"
    kind = "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    start = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n' + PNG * 60
    with socket.create_connection(server.server_address) as connection:
        connection.sendall((head + kind).encode() + start)
        wait_for(lambda: left_in(folder) != [], what="the file to land", seconds=10)
        assert left_in(folder)[0].startswith(PART)
    assert ended.wait(10)
    thread.join()
    server.server_close()
    assert left_in(folder) == []


def test_parts_of_a_killed_process_go_a_day_later(settings: Settings, folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in (f"{PART}old", f"{PART}new", "kept.png"):
        (folder / name).write_bytes(b"x")
    past = time.time() - FORGOTTEN_SECONDS - 1
    os.utime(folder / f"{PART}old", (past, past))
    os.utime(folder / "kept.png", (past, past))
    assert sweep_uploads(settings) == 1
    assert left_in(folder) == [f"{PART}new", "kept.png"]
