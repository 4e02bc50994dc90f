"""Bad input and bad providers at the routes that generate: a clear error, and nothing half-written stays."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image

from backend.app import create_app
from services.assemble import Services, assemble
from services.compute import outcomes
from services.providers import ark_films, dashscope_films, dashscope_images, polling
from services.settings import Settings
from tests.fakes import samples
from tests.fakes.vendor import VendorFake

PICTURE: dict[str, Any] = {"prompt": "a cat", "model_id": "demo"}
PAINTERS = ["wan2.2-t2i-flash", "qwen-image-plus", "doubao-seedream-4-0-250828"]
WAIT = {"Prefer": "wait=30"}
CAMERAS = ["wan2.2-t2v-plus", "doubao-seedance-1-0-pro-250528"]


@pytest.fixture
def services(settings: Settings, dashscope_fake: VendorFake, ark_fake: VendorFake) -> Iterator[Services]:
    """Jobs run beside the request, anybody may ask, and two vendors are fakes."""
    upstream = {"dashscope_api_key": dashscope_fake.key, "dashscope_base_url": dashscope_fake.base_url}
    upstream |= {"doubao_api_key": ark_fake.key, "doubao_api_url": ark_fake.base_url}
    allowed = ",".join(fake.url("/").split("/")[2] for fake in (dashscope_fake, ark_fake))
    changed = {"auth": "open", "job_runner": "thread", "sync_wait_seconds": 30, "allowed_upstreams": allowed}
    # Not a copy: what settings worked out of the list of addresses would be copied with them.
    opened = assemble(Settings(_env_file=None, **(settings.model_dump() | upstream | changed)))
    yield opened
    opened.close()


@pytest.fixture
def client(services: Services) -> FlaskClient:
    return create_app(services=services).test_client()


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vendors are asked soon and not for long, and attempts follow at once."""
    monkeypatch.setattr(polling, "FIRST_SECONDS", 0.01)
    monkeypatch.setattr(polling, "LONGEST_SECONDS", 0.05)
    monkeypatch.setattr(outcomes, "FIRST_PAUSE_SECONDS", 0.02)
    for module in (dashscope_images, dashscope_films, ark_films):
        monkeypatch.setattr(module, "MOST_TASK_SECONDS", 0.3)


def kept(services: Services) -> list[Path]:
    return [path for path in services.settings.data_dir.rglob("*") if path.is_file()]


def upload(data: bytes, name: str = "cat.png", **fields: Any) -> dict[str, Any]:
    return {"data": {"image": (io.BytesIO(data), name), "model_id": "demo", **fields}}


# What is asked


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("width", 0, "greater_than_equal"),
        ("width", -512, "greater_than_equal"),
        ("width", 8193, "multiple_of"),
        ("width", 8200, "less_than_equal"),
        ("height", 513, "multiple_of"),
        ("height", "tall", "int_parsing"),
        ("width", 512.5, "int_from_float"),
        ("prompt", "a" * 100 * 1024, "string_too_long"),
        ("prompt", "", "required"),
        ("prompt", None, "string_type"),
        ("prompt", ["a cat"], "string_type"),
        ("negative_prompt", "a" * 100 * 1024, "string_too_long"),
        ("n", 11, "less_than_equal"),
        ("n", 0, "greater_than_equal"),
        ("num_inference_steps", 10**9, "less_than_equal"),
        ("guidance_scale", -1, "greater_than_equal"),
        ("guidance_scale", 1e9, "less_than_equal"),
        ("seed", 2**53, "less_than_equal"),
        ("seed", -2, "greater_than_equal"),
        ("strength", 1.5, "less_than_equal"),
        ("image", "../../etc/passwd", "string_pattern_mismatch"),
    ],
)
def test_a_wrong_field_of_a_picture_is_named(
    client: FlaskClient, services: Services, field: str, value: Any, reason: str
) -> None:
    answer = client.post("/api/text-to-image/generate", json={**PICTURE, field: value}, headers=WAIT)
    assert (answer.status_code, answer.json["error"]["details"]) == (422, {"field": field, "reason": reason})
    assert field in answer.json["detail"]
    assert services.jobs.count_by_status() == {} and kept(services) == []


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("num_frames", 10_000, "less_than_equal"),
        ("num_frames", 0, "greater_than_equal"),
        ("fps", 0, "greater_than_equal"),
        ("fps", 1000, "less_than_equal"),
        ("width", 0, "greater_than_equal"),
        ("height", 8193, "multiple_of"),
        ("width", 636, "multiple_of"),
        ("prompt", "a" * 100 * 1024, "string_too_long"),
        ("prompt", "   ", "required"),
    ],
)
def test_a_wrong_field_of_a_film_is_named(
    client: FlaskClient, services: Services, field: str, value: Any, reason: str
) -> None:
    answer = client.post("/api/text-to-video/generate", json={**PICTURE, field: value}, headers=WAIT)
    assert (answer.status_code, answer.json["error"]["details"]) == (422, {"field": field, "reason": reason})
    assert services.jobs.count_by_status() == {} and kept(services) == []


@pytest.mark.parametrize(
    ("field", "value"), [("strength", "1.5"), ("strength", "-0.1"), ("strength", "nan"), ("n", "x")]
)
def test_a_wrong_field_of_a_form_is_named(client: FlaskClient, services: Services, field: str, value: str) -> None:
    form = upload(samples.png(), prompt="a dog", **{field: value})
    answer = client.post("/api/image-to-image/generate", headers=WAIT, **form)
    assert (answer.status_code, answer.json["error"]["details"]["field"]) == (422, field)
    assert kept(services) == []


def test_more_pixels_than_allowed_fail_before_they_are_painted(client: FlaskClient, services: Services) -> None:
    body = {**PICTURE, "width": 8192, "height": 8192}
    answer = client.post("/api/text-to-image/generate", json=body, headers=WAIT).json
    assert (answer["status"], answer["error"]["details"]) == ("failed", {"field": "width", "reason": "too_many_pixels"})
    assert kept(services) == []


# What is sent as a picture


def gif() -> bytes:
    file = io.BytesIO()
    Image.new("P", (64, 64)).save(file, "GIF")
    return file.getvalue()


SENT = [
    (b"just a text", 415),
    (gif(), 415),
    (b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>', 415),
    (b"%PDF-1.7\n", 415),
    (b"", 400),
    (samples.mp4(), 415),
    (samples.wav(), 415),
    (samples.huge_png(), 422),
    (samples.png()[:-30], 422),
    (samples.png()[:40], 422),
    (b"\x89PNG\r\n\x1a\n" + bytes(500), 422),
]


@pytest.mark.parametrize("route", ["image-to-image", "image-to-video"])
@pytest.mark.parametrize(("data", "status"), SENT)
def test_what_is_no_photo_is_refused_and_not_kept(
    client: FlaskClient, services: Services, route: str, data: bytes, status: int
) -> None:
    answer = client.post(f"/api/{route}/generate", headers=WAIT, **upload(data, "photo.png", prompt="a dog"))
    assert answer.status_code == status, answer.text
    assert answer.json["detail"]
    assert services.jobs.count_by_status() == {} and kept(services) == []


def test_a_huge_picture_is_small_when_it_is_sent() -> None:
    assert len(samples.huge_png()) < 3 * 1024


# What a provider answers

PICTURE_WORDS = [
    ("ERROR200", {"refused", "content_filter", "server", "auth", "upstream_busy"}),
    ("FAIL", {"content_filter"}),
    ("SENSITIVE", {"content_filter"}),
    ("HTML", {"broken_result"}),
    ("TEXT", {"broken_result"}),
    ("TRUNCATED", {"broken_picture"}),
    ("HUGE", {"broken_picture"}),
    ("LOOPBACK", {"download"}),
    ("REDIRECT", {"download"}),
    ("GONE", {"download"}),
]


def painted(client: FlaskClient, route: str, **body: Any) -> Any:
    answer = client.post(f"/api/{route}/generate", json=body, headers=WAIT)
    assert answer.status_code == 200, answer.text
    return answer.json


@pytest.mark.usefixtures("no_patience")
@pytest.mark.parametrize("model", PAINTERS)
@pytest.mark.parametrize(("word", "reasons"), PICTURE_WORDS)
def test_a_provider_s_bad_picture_is_the_job_s_failure(
    client: FlaskClient, services: Services, model: str, word: str, reasons: set[str]
) -> None:
    task = painted(client, "text-to-image", prompt=f"a cat {word}", model_id=model)
    assert (task["status"], task["image_url"]) == ("failed", None)
    assert task["error"]["details"]["reason"] in reasons and task["error"]["message"]
    assert kept(services) == []
    assert client.get("/api/history", headers=WAIT).json["count"] == 0
    assert services.jobs.count_by_status() == {"failed": 1}


@pytest.mark.usefixtures("no_patience")
@pytest.mark.parametrize("model", CAMERAS)
@pytest.mark.parametrize("word", ["ERROR200", "FAIL", "SENSITIVE", "HTML", "LOOPBACK", "REDIRECT", "GONE"])
def test_a_provider_s_bad_film_is_the_job_s_failure(
    client: FlaskClient, services: Services, model: str, word: str
) -> None:
    task = painted(client, "text-to-video", prompt=f"a cat {word}", model_id=model)
    assert (task["status"], task["video_url"]) == ("failed", None)
    assert task["error"]["details"]["reason"] and task["error"]["message"]
    assert kept(services) == []


@pytest.mark.usefixtures("no_patience")
@pytest.mark.parametrize(("route", "model"), [("text-to-image", PAINTERS[0]), *(("text-to-video", m) for m in CAMERAS)])
def test_a_task_that_never_ends_is_given_up(client: FlaskClient, services: Services, route: str, model: str) -> None:
    task = painted(client, route, prompt="a cat NEVER", model_id=model)
    assert task["status"] == "failed"
    assert "did not end in time" in task["error"]["message"]
    assert kept(services) == []
    assert services.jobs.show(task["task_id"]).attempt == 2
