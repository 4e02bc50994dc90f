"""Feedback over HTTP: what is kept, what is refused, and the data sets that come of it."""

from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.painted import small_picture

ASKED = [{"role": "user", "content": "What is LoRA?"}]
CHAT = {"kind": "chat", "messages": ASKED, "answer": "A radio."}


@pytest.fixture
def send(client: FlaskClient, login: Callable[..., dict[str, str]]) -> Callable[..., Any]:
    """POST a body as the admin."""
    headers = login()
    return lambda path, body: client.post(path, json=body, headers=headers)


def test_a_correction_becomes_a_row(send: Callable[..., Any]) -> None:
    assert send("/api/feedback", CHAT | {"rating": "down", "correction": "Few weights."}).status_code == 200
    assert send("/api/feedback", CHAT | {"rating": "up", "answer": "Low rank."}).status_code == 200
    assert send("/api/feedback", CHAT | {"rating": "down"}).status_code == 200
    made = send("/api/v1/datasets/from-feedback", {"name": "corrected"})
    assert (made.json["samples_count"], made.json["format"]) == (2, "messages")
    only = send("/api/v1/datasets/from-feedback", {"name": "corrected", "corrected_only": True})
    assert only.json["samples_count"] == 1


@pytest.mark.parametrize(
    ("kind", "shape"), [("caption", "image_text"), ("class", "image_label"), ("transcript", "text")]
)
def test_every_kind_becomes_rows(send: Callable[..., Any], kind: str, shape: str) -> None:
    send("/api/feedback", {"kind": kind, "file": "a.png", "correction": "a cat"})
    made = send("/api/v1/datasets/from-feedback", {"name": kind, "kind": kind})
    assert (made.json["samples_count"], made.json["format"]) == (1, shape)


def test_pictures_that_are_here_are_packed_with_their_rows(
    client: FlaskClient, login: Callable[..., dict[str, str]], send: Callable[..., Any]
) -> None:
    files = {"files": (BytesIO(small_picture(1)), "cat.png")}
    name = client.post("/api/upload", data=files, headers=login()).json["files"][0]["name"]
    for file in (name, "somewhere-else.png"):
        send("/api/feedback", {"kind": "class", "file": file, "correction": "cat"})
    made = send("/api/v1/datasets/from-feedback", {"name": "cats", "kind": "class"}).json
    assert (made["samples_count"], made["format"], made["path"]) == (1, "image_label", "data/raw/cats.zip")
    rows = client.get(f"/api/v1/datasets/{made['id']}/rows", headers=login()).json["rows"]
    assert rows[0]["row"] == {"image": f"images/{name}", "label": "cat"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "kind"),
        ({"kind": "song", "rating": "up"}, "kind"),
        (CHAT, "rating"),
        (CHAT | {"rating": "meh"}, "rating"),
        ({"kind": "chat", "rating": "up"}, "messages"),
        ({"kind": "class", "rating": "up"}, "file"),
        ({"kind": "caption", "rating": "up", "annotation_id": "x"}, "row"),
        (CHAT | {"correction": ""}, "correction"),
    ],
)
def test_a_wrong_field_is_named(send: Callable[..., Any], body: dict[str, Any], field: str) -> None:
    answer = send("/api/feedback", body)
    assert (answer.status_code, answer.json["error"]["details"]["field"]) == (422, field)


def test_no_feedback_is_no_data_set(send: Callable[..., Any]) -> None:
    assert send("/api/v1/datasets/from-feedback", {"name": "x"}).status_code == 409


def test_a_row_that_is_not_there(send: Callable[..., Any]) -> None:
    body = {"kind": "caption", "rating": "up", "annotation_id": "nothing", "row": 1}
    assert send("/api/feedback", body).status_code == 404


def test_the_data_set_needs_an_account(open_client: FlaskClient) -> None:
    assert open_client.post("/api/feedback", json=CHAT | {"rating": "up"}).status_code == 200
    assert open_client.post("/api/v1/datasets/from-feedback", json={"name": "x"}).status_code == 401
