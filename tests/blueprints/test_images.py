"""System 3's pictures and films over HTTP, painted by the offline demo."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.app import create_app
from services.assemble import Services, assemble
from services.settings import Settings
from tests.fakes import samples
from tests.fakes.vendor import VendorFake

Login = Callable[..., dict[str, str]]
TINY = {"prompt": "a cat", "width": 64, "height": 64, "seed": 3, "model_id": "demo"}


@pytest.fixture
def services(settings: Settings, services: Services) -> Iterator[Services]:
    """Jobs run beside the request, as they do in service."""
    changed = assemble(settings.model_copy(update={"job_runner": "thread", "sync_wait_seconds": 30}))
    yield changed
    changed.close()


@pytest.fixture
def app(services: Services) -> Flask:
    return create_app(services=services)


def _form(**fields: Any) -> dict[str, Any]:
    picture = (io.BytesIO(samples.png(64, 64, "cat")), "cat.png")
    return {"data": {"image": picture, "model_id": "demo", **fields}, "content_type": "multipart/form-data"}


def _ended(client: FlaskClient, services: Services, headers: dict[str, str], where: str, task: str) -> Any:
    services.jobs.wait(task, 30)
    return client.get(f"/api/{where}/status/{task}", headers=headers).json


def test_a_picture_is_a_task_first(client: FlaskClient, services: Services, headers: dict[str, str]) -> None:
    begun = client.post("/api/text-to-image/generate", json=TINY, headers=headers)
    assert begun.status_code == 200
    assert begun.json == {"task_id": begun.json["task_id"], "status": "processing", "image_url": None, "progress": 0}
    done = _ended(client, services, headers, "text-to-image", begun.json["task_id"])
    assert (done["status"], done["progress"], done["width"], done["seed"]) == ("completed", 100, 64, 3)
    assert client.get(done["image_url"]).mimetype == "image/png"


def test_who_prefers_waits_for_the_picture(client: FlaskClient, headers: dict[str, str]) -> None:
    done = client.post("/api/text-to-image/generate", json=TINY, headers=headers | {"Prefer": "wait=30"})
    assert done.json["status"] == "completed"
    assert done.headers["Preference-Applied"] == "wait=30"


def test_a_picture_is_changed_and_waited_for(client: FlaskClient, headers: dict[str, str]) -> None:
    done = client.post("/api/image-to-image/generate", headers=headers, **_form(prompt="a dog", strength="0.5"))
    assert done.status_code == 200
    assert (done.json["status"], done.json["width"]) == ("completed", 64)
    assert done.json["image_url"].startswith("/outputs/images/")


def test_the_same_form_under_one_key_is_one_task(
    client: FlaskClient, services: Services, headers: dict[str, str]
) -> None:
    key = headers | {"Idempotency-Key": "once"}
    one, two = (client.post("/api/image-to-image/generate", headers=key, **_form(prompt="a")) for _ in range(2))
    assert one.json["task_id"] == two.json["task_id"]
    assert len(list(services.files.folder("uploads").glob("*.png"))) == 1


def test_a_film_is_a_task(client: FlaskClient, services: Services, headers: dict[str, str]) -> None:
    body = {**TINY, "num_frames": 3}
    begun = client.post("/api/text-to-video/generate", json=body, headers=headers)
    assert begun.json == {"task_id": begun.json["task_id"], "status": "processing", "video_url": None, "progress": 0}
    done = _ended(client, services, headers, "text-to-video", begun.json["task_id"])
    assert (done["status"], done["num_frames"]) == ("completed", 3)
    assert client.get(done["video_url"]).mimetype == "video/mp4"


def test_a_picture_begins_to_move(client: FlaskClient, services: Services, headers: dict[str, str]) -> None:
    begun = client.post("/api/image-to-video/generate", headers=headers, **_form(num_frames="2", fps="8"))
    assert begun.status_code == 200
    assert _ended(client, services, headers, "image-to-video", begun.json["task_id"])["status"] == "completed"


@pytest.mark.parametrize("route", ["image-to-image", "image-to-video"])
def test_without_a_file_it_is_told(client: FlaskClient, headers: dict[str, str], route: str) -> None:
    form = {"data": {"prompt": "a", "model_id": "demo"}, "content_type": "multipart/form-data"}
    refused = client.post(f"/api/{route}/generate", headers=headers, **form)
    assert (refused.status_code, refused.json["error"]["details"]["field"]) == (400, "image")


def test_a_wrong_model_is_told_at_once_and_keeps_no_file(
    client: FlaskClient, services: Services, headers: dict[str, str]
) -> None:
    refused = client.post("/api/image-to-image/generate", headers=headers, **_form(prompt="a", model_id="nobody"))
    assert refused.status_code == 404
    assert list(services.files.folder("uploads").glob("*.png")) == []


def test_what_is_no_picture_is_refused(client: FlaskClient, headers: dict[str, str]) -> None:
    form = _form(prompt="a")
    form["data"]["image"] = (io.BytesIO(b"just a text"), "cat.png")
    assert client.post("/api/image-to-image/generate", headers=headers, **form).status_code == 415


def test_a_film_is_no_picture(client: FlaskClient, services: Services, headers: dict[str, str]) -> None:
    task = client.post("/api/text-to-image/generate", json=TINY, headers=headers).json["task_id"]
    assert client.get(f"/api/text-to-video/status/{task}", headers=headers).status_code == 404
    assert client.get("/api/text-to-image/status/nobody", headers=headers).status_code == 404


def test_the_painters_are_listed(client: FlaskClient, headers: dict[str, str]) -> None:
    listed = client.get("/api/text-to-image/models", headers=headers).json
    assert [row["id"] for row in listed[:2]] == ["stable-diffusion-v1-5", "stable-diffusion-xl"]
    assert listed[0]["name"] == "Stable Diffusion v1.5"
    assert {"demo", "wan2.2-t2i-flash", "doubao-seedream-4-0-250828"} <= {row["id"] for row in listed}


def test_a_provider_paints_through_the_same_route(settings: Settings, dashscope_fake: VendorFake, login: Login) -> None:
    upstream = {"dashscope_api_key": dashscope_fake.key, "dashscope_base_url": dashscope_fake.base_url}
    allowed = {"allowed_upstreams": dashscope_fake.url("/").split("/")[2], "sync_wait_seconds": 30}
    # Not a copy: what settings worked out of the list of addresses would be copied with them.
    changed = settings.model_dump() | upstream | allowed | {"job_runner": "thread"}
    services = assemble(Settings(_env_file=None, **changed))
    try:
        client = create_app(services=services).test_client()
        wanted = login() | {"Prefer": "wait=30"}
        body = {"prompt": "a cat", "width": 512, "height": 512, "model_id": "qwen-image-plus"}
        done = client.post("/api/text-to-image/generate", json=body, headers=wanted).json
    finally:
        services.close()
    assert done.get("error") is None
    assert (done["status"], done["width"], done["height"]) == ("completed", 1328, 1328)


def test_a_task_that_failed_says_why(settings: Settings, dashscope_fake: VendorFake, login: Login) -> None:
    upstream = {"dashscope_api_key": dashscope_fake.key, "dashscope_base_url": dashscope_fake.base_url}
    services = assemble(settings.model_copy(update={**upstream, "sync_wait_seconds": 30, "job_runner": "thread"}))
    try:
        client = create_app(services=services).test_client()
        wanted = login() | {"Prefer": "wait=30"}
        body = {"prompt": "a cat SENSITIVE", "model_id": "qwen-image-plus"}
        done = client.post("/api/text-to-image/generate", json=body, headers=wanted).json
    finally:
        services.close()
    assert (done["status"], done["image_url"]) == ("failed", None)
    assert done["error"]["details"]["reason"] == "content_filter"


def test_a_provider_without_a_key_is_told_before_a_job_is_made(client: FlaskClient, login: Login) -> None:
    asked = {"prompt": "a cat", "model_id": "openai/dall-e-3"}
    answer = client.post("/api/text-to-image/generate", json=asked, headers=login())
    assert answer.status_code == 503
    assert answer.json["error"]["details"]["reason"] == "no_api_key"
    assert client.get("/api/jobs", headers=login()).json["count"] == 0
