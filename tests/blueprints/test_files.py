"""Results as files: read by their names, in parts, once, and never beyond their folder."""

import secrets
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from backend.app import create_app
from services.assemble import Services
from services.settings import Settings

Login = Callable[..., dict[str, str]]
DATA = bytes(range(256)) * 8


@pytest.fixture
def outputs(settings: Settings) -> Path:
    return settings.data_dir / "outputs"


@pytest.fixture
def keep(outputs: Path) -> Callable[..., str]:
    """Put a result in its place: `keep(".png")`; its address."""

    def put(ending: str, kind: str = "images", data: bytes = DATA) -> str:
        name = secrets.token_hex(16) + ending
        (outputs / kind).mkdir(parents=True, exist_ok=True)
        (outputs / kind / name).write_bytes(data)
        return f"/outputs/{kind}/{name}"

    return put


@pytest.mark.parametrize(
    ("kind", "ending", "content_type"),
    [
        ("images", ".png", "image/png"),
        ("images", ".jpg", "image/jpeg"),
        ("images", ".webp", "image/webp"),
        ("audio", ".mp3", "audio/mpeg"),
        ("audio", ".wav", "audio/wav"),
        ("video", ".mp4", "video/mp4"),
    ],
)
def test_media_are_shown_in_place(
    client: FlaskClient, keep: Callable[..., str], kind: str, ending: str, content_type: str
) -> None:
    answer = client.get(keep(ending, kind))
    assert answer.status_code == 200
    assert answer.data == DATA
    assert answer.headers["Content-Type"] == content_type
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "private"
    assert answer.headers["ETag"] and answer.headers["Accept-Ranges"] == "bytes"
    assert "attachment" not in answer.headers.get("Content-Disposition", "")


@pytest.mark.parametrize(
    ("ending", "content_type"),
    [
        (".jsonl", "application/x-ndjson"),
        (".json", "application/json"),
        (".csv", "text/csv; charset=utf-8"),
        (".zip", "application/zip"),
        (".html", "application/octet-stream"),
        (".svg", "application/octet-stream"),
        (".js", "application/octet-stream"),
    ],
)
def test_what_is_no_medium_is_handed_out_to_keep(
    client: FlaskClient, keep: Callable[..., str], ending: str, content_type: str
) -> None:
    url = keep(ending, "datasets")
    answer = client.get(url)
    assert answer.headers["Content-Type"] == content_type
    assert answer.headers["Content-Disposition"] == f"attachment; filename={url.rpartition('/')[2]}"


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-99", slice(100)),
        ("bytes=2000-", slice(2000, None)),
        ("bytes=-8", slice(-8, None)),
        ("bytes=5-5", slice(5, 6)),
    ],
)
def test_a_range_is_a_part(client: FlaskClient, keep: Callable[..., str], wanted: str, part: slice) -> None:
    answer = client.get(keep(".mp4", "video"), headers={"Range": wanted})
    assert answer.status_code == 206
    assert answer.data == DATA[part]
    assert answer.headers["Content-Range"].endswith(f"/{len(DATA)}")
    assert answer.headers["Content-Length"] == str(len(DATA[part]))


def test_a_range_beyond_the_end_is_416(client: FlaskClient, keep: Callable[..., str]) -> None:
    answer = client.get(keep(".mp4", "video"), headers={"Range": "bytes=99999-"})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(DATA)}"
    assert answer.json["error"]["code"] == "INVALID_REQUEST"


@pytest.mark.parametrize(
    "wanted", ["bytes=0-1,3-4", "bytes=abc", "lines=1-2", "", "bytes=-99999", f"bytes=-{'9' * 5000}"]
)
def test_a_range_that_is_none_gets_the_whole(client: FlaskClient, keep: Callable[..., str], wanted: str) -> None:
    answer = client.get(keep(".mp4", "video"), headers={"Range": wanted})
    assert (answer.status_code, answer.data) == (200, DATA)


def test_what_the_client_has_is_not_sent_again(client: FlaskClient, keep: Callable[..., str]) -> None:
    url = keep(".png")
    tag = client.get(url).headers["ETag"]
    answer = client.get(url, headers={"If-None-Match": tag})
    assert (answer.status_code, answer.data) == (304, b"")
    assert client.get(url, headers={"If-None-Match": '"another"'}).status_code == 200
    part = client.get(url, headers={"Range": "bytes=0-1", "If-Range": '"another"'})
    assert (part.status_code, part.data) == (200, DATA)


def test_a_file_that_is_another_by_now_is_412(client: FlaskClient, keep: Callable[..., str]) -> None:
    answer = client.get(keep(".png"), headers={"If-Match": '"another"'})
    assert (answer.status_code, answer.json["error"]["code"]) == (412, "INVALID_REQUEST")


def test_head_tells_without_the_body(client: FlaskClient, keep: Callable[..., str]) -> None:
    answer = client.head(keep(".png"))
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(DATA))


def test_an_empty_file_is_a_file(client: FlaskClient, keep: Callable[..., str]) -> None:
    answer = client.get(keep(".jsonl", "datasets", b""))
    assert (answer.status_code, answer.data) == (200, b"")


def test_a_name_in_chinese_characters_is_not_there(client: FlaskClient, outputs: Path) -> None:
    (outputs / "images").mkdir(parents=True)
    (outputs / "images" / "图片图片图片图片图片图片.png").write_bytes(DATA)
    assert client.get("/outputs/images/图片图片图片图片图片图片.png").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/outputs/images/",
        "/outputs/images",
        "/outputs/",
        "/outputs",
        "/outputs/images/short.png",
        "/outputs/images/" + "A" * 32 + ".png",
        "/outputs/uploads/" + "0" * 32 + ".png",
        "/outputs/images/" + "0" * 32 + ".png",
        "/outputs/images/" + "x" * 5000,
        "/outputs/secret/" + "0" * 32 + ".png",
        "/outputs/images/../../polymath.db",
        "/outputs/images/..%2f..%2fpolymath.db",
        "/outputs/images/%2e%2e/%2e%2e/polymath.db",
        "/outputs/../polymath.db",
        "/outputs/images/....//polymath.db",
        "/outputs/images//etc/passwd",
        "/outputs/images/" + "0" * 32 + ".png%00.jpg",
        "/outputs/images/" + "0" * 32 + "\\..\\x",
        "/outputs/%2e%2e/uploads",
        "/outputs/images/.hidden-file-of-somebody",
    ],
)
def test_no_other_path_leads_anywhere(client: FlaskClient, keep: Callable[..., str], path: str, login: Login) -> None:
    keep(".png")
    for headers in ({}, login()):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 404, answer.text
        assert answer.json["error"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize("target", ["file", "folder"])
def test_a_link_leads_nowhere(client: FlaskClient, outputs: Path, tmp_path: Path, target: str) -> None:
    (outputs / "images").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret") if target == "file" else (tmp_path / "secret").mkdir()
    name = secrets.token_hex(16) + ".png"
    (outputs / "images" / name).symlink_to(tmp_path / "secret")
    assert client.get(f"/outputs/images/{name}").status_code == 404


def test_data_that_lies_behind_a_link_is_served(settings: Settings, tmp_path: Path, keep: Callable[..., str]) -> None:
    """The operator may put `data/` on another disk."""
    url = keep(".png")
    settings.data_dir.rename(tmp_path / "elsewhere")
    settings.data_dir.symlink_to(tmp_path / "elsewhere")
    assert create_app(settings).test_client().get(url).data == DATA


def test_no_other_method(client: FlaskClient, keep: Callable[..., str], login: Login) -> None:
    url = keep(".png")
    assert client.delete(url, headers=login()).status_code == 405
    assert client.get(url).status_code == 200


@pytest.fixture
def guarded(services: Services) -> FlaskClient:
    """A client of the same service under OUTPUTS_AUTH=true."""
    from dataclasses import replace

    settings = services.settings.model_copy(update={"outputs_auth": True, "auth": "open"})
    return create_app(services=replace(services, settings=settings)).test_client()


def test_outputs_auth_asks_for_a_token(guarded: FlaskClient, keep: Callable[..., str], login: Login) -> None:
    url = keep(".png")
    answer = guarded.get(url)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert guarded.get(url, headers={"Authorization": "Bearer nonsense"}).status_code == 401
    assert guarded.get(url, headers=login()).data == DATA
