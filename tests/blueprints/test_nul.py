"""A NUL character, which PostgreSQL cannot keep, is refused where it arrives and named by its field."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

Login = Callable[..., dict[str, str]]
NUL = "a\x00b"
HELLO = {"model": "demo", "messages": [{"role": "user", "content": NUL}]}
PARTS = {"model": "demo", "messages": [{"role": "user", "content": [{"type": "text", "text": NUL}]}]}


@pytest.mark.parametrize(
    ("path", "sent", "status", "field"),
    [
        ("/api/chat/completions", HELLO, 400, "messages.0.content"),
        ("/api/chat/stream", HELLO, 400, "messages.0.content"),
        ("/api/chat/completions", PARTS, 400, "messages.0.content"),
        ("/api/text-to-image/generate", {"prompt": NUL, "model_id": "demo"}, 422, "prompt"),
        (
            "/api/text-to-image/generate",
            {"prompt": "x", "negative_prompt": NUL, "model_id": "demo"},
            422,
            "negative_prompt",
        ),
        ("/api/generate", {"prompt": NUL, "model": "demo"}, 422, "prompt"),
        ("/api/text-to-video/generate", {"prompt": NUL, "model_id": "demo"}, 422, "prompt"),
        ("/v1/chat/completions", HELLO, 400, "messages.0.content"),
        ("/v1/completions", {"model": "demo", "prompt": NUL}, 400, "prompt"),
        ("/v1/embeddings", {"model": "demo", "input": NUL}, 400, "input"),
    ],
)
def test_a_nul_is_refused(
    client: FlaskClient, login: Login, path: str, sent: dict[str, Any], status: int, field: str
) -> None:
    answer = client.post(path, json=sent, headers=login())
    assert answer.status_code == status, answer.text
    details = answer.json["error"]["details"]
    assert (details["field"], details["reason"]) == (field, "nul_character")
    chinese = client.post(path, json=sent, headers=login() | {"Accept-Language": "zh"})
    assert "空字符" in chinese.json["detail"]


def test_a_form_is_no_way_around(client: FlaskClient, login: Login) -> None:
    sent = {"prompt": NUL, "api_endpoint": "demo", "file_names": '["x.png"]'}
    answer = client.post("/api/annotations", data=sent, headers=login())
    assert answer.status_code in {400, 422}, answer.text
    assert answer.json["error"]["details"]["field"] == "prompt"
