"""System 1 over HTTP: uploads of many pictures, forms of every kind, reviews, and whatever else people send."""

import io
import json
import zipfile
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.document import build
from services.assemble import Services
from tests.painted import small_picture

INSIDE = "http://127.0.0.1:9/v1/chat/completions"


@pytest.fixture
def client(open_client: FlaskClient) -> FlaskClient:
    return open_client


def upload(client: FlaskClient, *files: tuple[str, bytes], language: str = "en") -> Any:
    form = {"files": [(io.BytesIO(data), name) for name, data in files]}
    headers = {"Accept-Language": language}
    return client.post("/api/upload", data=form, content_type="multipart/form-data", headers=headers)


def uploaded(client: FlaskClient, count: int = 2) -> list[str]:
    """The names of that many pictures."""
    answer = upload(client, *[(f"{number}.png", small_picture(number)) for number in range(count)])
    return [file["name"] for file in answer.json["files"]]


def generate(client: FlaskClient, path: str = "/api/generate", language: str = "en", **form: Any) -> Any:
    headers = {"Accept-Language": language}
    return client.post(path, data=form, content_type="multipart/form-data", headers=headers)


def demo(client: FlaskClient, count: int = 2, **form: Any) -> Any:
    names = json.dumps(uploaded(client, count))
    return generate(client, api_endpoint="demo", file_names=names, **form).json


# Uploads


def test_seven_broken_pictures_of_five_hundred_lose_none_of_the_others(client: FlaskClient) -> None:
    files = [(f"{number}.png", small_picture(number)) for number in range(500)]
    broken = {11: b"", 70: b"text", 123: small_picture(1)[:50], 200: b"\x89PNG\r\n\x1a\n", 301: b"GIF89a", 402: b"\0"}
    broken[499] = b"%PDF-1.7"
    for number, data in broken.items():
        files[number] = (f"{number}.png", data)
    answer = upload(client, *files)
    assert (answer.status_code, len(answer.json["files"]), len(answer.json["errors"])) == (200, 493, 7)
    assert {error["name"] for error in answer.json["errors"]} == {f"{number}.png" for number in broken}


@pytest.mark.parametrize(
    ("data", "status"), [(b"text", 415), (small_picture(1)[:50], 422), (b"", 400), (b"GIF89a" + b"\0" * 40, 415)]
)
def test_a_lone_bad_file_is_refused(client: FlaskClient, data: bytes, status: int) -> None:
    assert upload(client, ("x.png", data)).status_code == status


def test_a_form_without_files_is_refused(client: FlaskClient) -> None:
    answer = client.post("/api/upload", data={"files": "text"}, content_type="multipart/form-data")
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("sent", "shown"),
    [("../../etc/passwd", "passwd"), ("猫\t.png", "猫.png"), ("x" * 400, "x" * 255)],
)
def test_names_are_shown_and_never_paths(client: FlaskClient, sent: str, shown: str) -> None:
    assert upload(client, (sent, small_picture(1))).json["files"][0]["original_name"] == shown


def test_two_uploads_of_one_name_are_two(client: FlaskClient) -> None:
    files = upload(client, ("a.png", small_picture(1)), ("a.png", small_picture(2))).json["files"]
    assert len({file["name"] for file in files}) == 2
    body = generate(client, api_endpoint="demo", file_names='["a.png"]').json
    assert (body["succeeded"], body["results"][0]["file_name"]) == (1, "a.png")


def test_what_was_removed_is_gone(client: FlaskClient, services: Services) -> None:
    (name,) = uploaded(client, 1)
    assert client.delete(f"/api/uploads/{name}").json == {"success": True}
    assert client.delete(f"/api/uploads/{name}").status_code == 404
    assert not (services.settings.data_dir / "uploads" / name).exists()
    answer = generate(client, api_endpoint="demo", file_names=json.dumps([name]))
    assert answer.status_code == 404


# The form


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"api_endpoint": "demo"}, "file_names"),
        ({"api_endpoint": "demo", "file_names": ""}, "file_names"),
        ({"api_endpoint": "demo", "file_names": "[]"}, "file_names"),
        ({"api_endpoint": "demo", "file_names": "{}"}, "file_names"),
        ({"api_endpoint": "demo", "file_names": "a.png"}, "file_names"),
        ({"api_endpoint": "demo", "file_names": "[1]"}, "file_names"),
        ({"api_endpoint": "demo", "file_names": '["' + "a" * 2000 + '"]'}, "file_names"),
        ({"file_names": '["a.png"]'}, "api_endpoint"),
        ({"file_names": '["a.png"]', "api_endpoint": " "}, "api_endpoint"),
        ({"api_endpoint": "demo", "file_names": '["a.png"]', "temperature": "hot"}, "temperature"),
        ({"api_endpoint": "demo", "file_names": '["a.png"]', "temperature": "3"}, "temperature"),
        ({"api_endpoint": "demo", "file_names": '["a.png"]', "temperature": "nan"}, "temperature"),
        ({"api_endpoint": "demo", "file_names": '["a.png"]', "format": "csv"}, "format"),
        ({"api_endpoint": "demo", "file_names": '["a.png"]', "concurrency": "0"}, "concurrency"),
        ({"api_endpoint": "demo", "file_names": '["a.png"]', "concurrency": "1000"}, "concurrency"),
        ({"api_endpoint": "https://example.com", "file_names": '["a.png"]', "api_key": "ключ"}, "api_key"),
    ],
)
def test_a_wrong_field_is_named(client: FlaskClient, form: dict[str, str], field: str) -> None:
    answer = generate(client, **form)
    assert (answer.status_code, answer.json["error"]["details"]["field"]) == (422, field)


def test_an_address_inside_is_refused(client: FlaskClient) -> None:
    answer = generate(client, api_endpoint=INSIDE, file_names=json.dumps(uploaded(client)))
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "INVALID_REQUEST")


def test_empty_fields_are_as_good_as_none(client: FlaskClient) -> None:
    empty = dict.fromkeys(("temperature", "format", "concurrency", "images", "input_price", "model", "api_key"), "")
    assert demo(client, **empty)["succeeded"] == 2


@pytest.mark.parametrize("path", ["/api/generate", "/api/annotations"])
def test_both_addresses_describe(client: FlaskClient, path: str) -> None:
    body = generate(client, path, api_endpoint="demo", file_names=json.dumps(uploaded(client))).json
    assert (body["status"], body["demo"]) == ("completed", True)


def test_a_url_encoded_form_is_a_form_too(client: FlaskClient) -> None:
    form = {"api_endpoint": "demo", "file_names": json.dumps(uploaded(client))}
    assert client.post("/api/generate", data=form).json["succeeded"] == 2


@pytest.mark.parametrize(("language", "mark"), [("zh", "演示"), ("en", "demo")])
def test_the_demo_speaks_the_callers_language(client: FlaskClient, language: str, mark: str) -> None:
    names = json.dumps(uploaded(client, 1))
    body = generate(client, language=language, api_endpoint="demo", file_names=names).json
    assert body["results"][0]["description"].startswith(f"[{mark}]")


def test_json_still_paints(client: FlaskClient) -> None:
    assert client.post("/api/generate", json={"prompt": "x", "model": "demo"}).json["image_urls"]
    assert client.post("/api/generate", data="x", content_type="text/plain").status_code == 415


def test_the_same_key_gives_the_same_job(client: FlaskClient) -> None:
    form = {"api_endpoint": "demo", "file_names": json.dumps(uploaded(client))}
    answers = [
        client.post(
            "/api/generate", data=dict(form), content_type="multipart/form-data", headers={"Idempotency-Key": "k"}
        )
        for _ in range(2)
    ]
    assert answers[0].json == answers[1].json
    assert answers[1].headers["Idempotent-Replayed"] == "true"


def test_the_document_shows_both_bodies(app: Flask) -> None:
    operation = build(app)["paths"]["/api/generate"]["post"]
    assert set(operation["requestBody"]["content"]) == {"application/json", "multipart/form-data"}


# Outputs


def test_rows_and_their_pictures_come_as_a_zip(client: FlaskClient) -> None:
    body = demo(client, images="true", format="llava")
    packed = zipfile.ZipFile(io.BytesIO(client.get(body["download_url"]).data))
    rows = [json.loads(line) for line in packed.read("annotations.jsonl").splitlines()]
    assert sorted(packed.namelist()) == sorted(["annotations.jsonl", *[row["image"] for row in rows]])


@pytest.mark.parametrize("name", ["0" * 32 + ".jsonl", "..", "%2e%2e%2fpolymath.db", "x.jsonl"])
def test_other_files_are_not_handed_out(client: FlaskClient, name: str) -> None:
    assert client.get(f"/api/download/{name}").status_code == 404


def test_uploads_are_no_outputs(client: FlaskClient) -> None:
    (name,) = uploaded(client, 1)
    assert client.get(f"/api/download/{name}").status_code == 404
    assert client.get("/api/outputs").json == {"files": []}


def test_outputs_come_in_pages_too(client: FlaskClient) -> None:
    made = [demo(client, 1)["output_file"] for _ in range(3)]
    assert [file["name"] for file in client.get("/api/outputs").json["files"]] == made
    page = client.get(f"/api/outputs?limit=1&after={made[0]}").json["files"]
    assert [file["name"] for file in page] == [made[1]]
    assert client.get("/api/outputs?after=nothing").status_code == 422


# Reviews


def test_a_row_is_read_and_changed(client: FlaskClient) -> None:
    path = f"/api/annotations/{demo(client)['task_id']}"
    assert client.get(f"{path}/rows/1").json["review"] == "pending"
    changed = client.patch(f"{path}/rows/1", json={"description": "红色方块", "review": "accepted"}).json
    assert (changed["description"], changed["edited"], changed["demo"]) == ("红色方块", True, True)
    assert client.get(f"{path}/rows?review=accepted").json["count"] == 1
    assert client.get(path).json["accepted"] == 1
    made = client.post(f"{path}/dataset", json={"name": "blocks"})
    assert (made.status_code, made.json["samples_count"]) == (200, 1)


@pytest.mark.parametrize(
    ("number", "body", "status"),
    [
        ("1", {}, 422),
        ("1", {"review": "maybe"}, 422),
        ("1", {"description": ""}, 422),
        ("1", {"description": " "}, 422),
        ("1", {"description": 5}, 422),
        ("0", {"review": "accepted"}, 422),
        ("99", {"review": "accepted"}, 404),
        ("9" * 30, {"review": "accepted"}, 404),
        ("x", {"review": "accepted"}, 404),
    ],
)
def test_a_wrong_review_is_refused(client: FlaskClient, number: str, body: dict[str, Any], status: int) -> None:
    path = f"/api/annotations/{demo(client)['task_id']}/rows/{number}"
    assert client.patch(path, json=body).status_code == status


def test_no_annotation_is_404(client: FlaskClient) -> None:
    assert client.get("/api/annotations/nothing").status_code == 404
    assert client.post("/api/annotations/nothing/dataset", json={"name": "x"}).status_code == 404


def test_annotations_are_listed(client: FlaskClient) -> None:
    made = [demo(client, 1)["task_id"] for _ in range(2)]
    assert [each["id"] for each in client.get("/api/annotations").json["annotations"]] == made
