"""OpenAI's images over HTTP, and what pictures show: forms, JSON, events, and all that can be wrong."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from backend.app import create_app
from services.assemble import Services
from services.settings import Settings
from tests.fakes import samples

PAINT, EDIT = "/v1/images/generations", "/v1/images/edits"
BODY = {"prompt": "A red fox", "model": "demo", "size": "128x64"}
PICTURE = samples.png(96, 64)
DATA_URL = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"auth": "open"})


@pytest.fixture
def app(services: Services) -> Flask:
    return create_app(services=services)


def error_of(answer: Any) -> tuple[int, str, str | None]:
    error = answer.json["error"]
    return answer.status_code, error["code"], error["param"]


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def edit(client: FlaskClient, *pictures: bytes, field: str = "image", **fields: Any) -> Any:
    files = [(io.BytesIO(each), "a.png") for each in pictures]
    form = {"prompt": "Make it night", "model": "demo", **({field: files} if files else {}), **fields}
    return client.post(EDIT, data=form, content_type="multipart/form-data")


def name(client: FlaskClient, *pictures: Any) -> Any:
    return client.post(EDIT, json={"prompt": "x", "images": list(pictures)})


def left(services: Services) -> list[Path]:
    return [path for path in services.files.folder("uploads").glob("*") if path.name.startswith(".part-")]


def test_a_picture_comes_in_both_forms(client: FlaskClient) -> None:
    done = client.post(PAINT, json=BODY)
    assert done.status_code == 200, done.text
    assert (done.json["size"], done.json["output_format"], done.json["model"]) == ("128x64", "png", "demo")
    one = done.json["data"][0]
    data = base64.b64decode(one["b64_json"])
    assert opened(data).size == (128, 64) and one["url"].startswith("http://localhost/outputs/images/")
    assert client.get(one["url"]).data == data


@pytest.mark.parametrize(("form", "keys"), [("url", {"url"}), ("b64_json", {"b64_json"})])
def test_one_form_is_given_where_it_is_asked_for(client: FlaskClient, form: str, keys: set[str]) -> None:
    done = client.post(PAINT, json=BODY | {"response_format": form, "n": 2})
    assert len(done.json["data"]) == 2
    assert all(each.keys() & {"url", "b64_json"} == keys for each in done.json["data"])


@pytest.mark.parametrize(("form", "kind"), [("jpeg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")])
def test_the_file_is_of_the_kind_that_is_asked_for(client: FlaskClient, form: str, kind: str) -> None:
    done = client.post(PAINT, json=BODY | {"output_format": form, "output_compression": 50})
    picture = opened(base64.b64decode(done.json["data"][0]["b64_json"]))
    assert (picture.format, done.json["output_format"]) == (kind, form)
    assert client.get(done.json["data"][0]["url"]).mimetype == f"image/{form}"


def test_what_only_openai_knows_is_ignored(client: FlaskClient) -> None:
    more = {"quality": "hd", "style": "vivid", "background": "auto", "moderation": "low", "user": "me", "size": "auto"}
    assert client.post(PAINT, json=BODY | more).status_code == 200


def test_pictures_come_as_events(client: FlaskClient) -> None:
    done = client.post(PAINT, json=BODY | {"stream": True, "n": 2})
    assert done.mimetype == "text/event-stream"
    frames = [line[6:] for line in done.text.splitlines() if line.startswith("data: ")]
    assert frames.pop() == "[DONE]"
    told = [json.loads(each) for each in frames]
    assert [each["type"] for each in told] == ["image_generation.completed"] * 2
    assert opened(base64.b64decode(told[0]["b64_json"])).size == (128, 64)


@pytest.mark.parametrize("field", ["image", "image[]"])
def test_a_picture_is_changed(client: FlaskClient, services: Services, field: str) -> None:
    done = edit(client, PICTURE, field=field)
    assert done.status_code == 200, done.text
    assert opened(base64.b64decode(done.json["data"][0]["b64_json"])).size == (96, 64)
    assert left(services) == []


def test_a_picture_is_named_by_json(client: FlaskClient, services: Services) -> None:
    upload = {"file": (io.BytesIO(PICTURE), "a.png"), "purpose": "vision"}
    file_id = client.post("/v1/files", data=upload).json["id"]
    for given in (DATA_URL, {"image_url": DATA_URL}, {"image_url": {"url": DATA_URL}}, {"file_id": file_id}):
        done = client.post(EDIT, json={"prompt": "Night", "model": "demo", "images": [given]})
        assert done.status_code == 200, done.text
        assert done.json["size"] == "96x64"
    assert left(services) == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"prompt": ""}, (400, "missing_required_parameter", "prompt")),
        ({"prompt": "a\x00b"}, (400, "invalid_value", "prompt")),
        ({"n": 0}, (400, "invalid_value", "n")),
        ({"n": 11}, (400, "invalid_value", "n")),
        ({"size": "big"}, (400, "invalid_value", "size")),
        ({"size": "100x100"}, (400, "invalid_value", "size")),
        ({"size": "8x8"}, (400, "invalid_value", "size")),
        ({"size": "99999x64"}, (400, "invalid_value", "size")),
        ({"response_format": "gif"}, (400, "invalid_value", "response_format")),
        ({"output_format": "gif"}, (400, "invalid_value", "output_format")),
        ({"output_compression": 101}, (400, "invalid_value", "output_compression")),
        ({"partial_images": 9}, (400, "invalid_value", "partial_images")),
        ({"model": "nobody-has-this"}, (404, "model_not_found", None)),
        ({"model": "whisper-base"}, (404, "model_not_found", None)),
        ({"size": "8192x8192"}, (400, "invalid_value", "width")),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_told(client: FlaskClient, body: dict[str, Any], expected: Any) -> None:
    assert error_of(client.post(PAINT, json=BODY | body)) == expected


def test_a_stream_that_cannot_begin_keeps_its_status(client: FlaskClient) -> None:
    assert error_of(client.post(PAINT, json=BODY | {"stream": True, "model": "nobody"}))[0] == 404


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (edit, (400, "missing_required_parameter", "image")),
        (lambda client: edit(client, PICTURE, PICTURE), (400, "invalid_value", "image")),
        (lambda client: edit(client, b""), (400, "missing_required_parameter", "image")),
        (lambda client: edit(client, b"no picture"), (415, "unsupported_media_type", None)),
        (lambda client: edit(client, PICTURE[:60]), (400, "invalid_value", "image")),
        (
            lambda client: edit(client, PICTURE, mask=(io.BytesIO(PICTURE), "m.png")),
            (400, "unsupported_parameter", "mask"),
        ),
        (lambda client: client.post(EDIT, json={"prompt": "x"}), (400, "missing_required_parameter", "images")),
        (
            lambda client: client.post(EDIT, json={"prompt": "x", "images": []}),
            (400, "missing_required_parameter", "images"),
        ),
        (lambda client: client.post(EDIT, json={"prompt": "x", "images": ["?"]}), (400, "invalid_value", "images")),
        (
            lambda client: client.post(EDIT, json={"prompt": "x", "images": [{"file_id": "file-no"}]}),
            (404, "not_found", "file_id"),
        ),
        (
            lambda client: client.post(EDIT, json={"prompt": "x", "images": ["http://127.0.0.1/a.png"]}),
            (400, "invalid_request", None),
        ),
        (lambda client: client.post(EDIT, data=b"{", content_type="application/json"), (400, "invalid_json", None)),
    ],
    ids=[
        "none",
        "two",
        "empty",
        "words",
        "broken",
        "mask",
        "no-list",
        "empty-list",
        "no-url",
        "no-file",
        "private",
        "json",
    ],
)
def test_what_is_wrong_with_a_picture_is_told(
    client: FlaskClient, services: Services, answer: Any, expected: Any
) -> None:
    told = error_of(answer(client))
    assert told[0] == expected[0] and told[1] in {expected[1], "invalid_value", "invalid_request"}
    assert expected[2] in (None, told[2])
    assert left(services) == []


def test_the_same_key_paints_once(client: FlaskClient, services: Services) -> None:
    headers = {"Idempotency-Key": "one"}
    first, again = (client.post(PAINT, json=BODY | {"response_format": "url"}, headers=headers) for _ in range(2))
    assert first.json["data"] == again.json["data"] and again.headers["Idempotent-Replayed"] == "true"
    named = {"prompt": "Night", "model": "demo", "images": [DATA_URL], "response_format": "url"}
    one, two = (client.post(EDIT, json=named, headers={"Idempotency-Key": "two"}) for _ in range(2))
    assert one.json["data"] == two.json["data"]
    other = client.post(EDIT, json=named | {"prompt": "Day"}, headers={"Idempotency-Key": "two"})
    assert other.status_code == 400 and other.json["error"]["details"]["reason"] == "reused"


def test_the_document_shows_both_bodies(client: FlaskClient) -> None:
    paths = client.get("/openapi.json").json["paths"]
    for path in (EDIT, "/v1/vision/classify", "/v1/vision/detect", "/v1/vision/faces"):
        assert paths[path]["post"]["requestBody"]["content"].keys() == {"multipart/form-data", "application/json"}
