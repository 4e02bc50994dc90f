"""OpenAI's files over HTTP: kept, read as data sets, paged, expired, removed; and all that can be wrong with one."""

import io
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from backend.app import create_app
from services import housekeeping
from services.assemble import Services, assemble
from services.contracts.accounts import UserRequest
from services.domains import accounts
from services.settings import Settings
from services.tables.user_files import UserFileTable
from services.usage import utc_now
from tests.fakes import samples

Login = Callable[..., dict[str, str]]
ROWS = [{"messages": [{"role": "user", "content": f"Q{n}"}, {"role": "assistant", "content": "A"}]} for n in range(12)]
LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


@pytest.fixture
def services(settings: Settings, services: Services) -> Iterator[Services]:
    """Jobs run beside the request, as they do in service."""
    changed = assemble(settings.model_copy(update={"job_runner": "thread", "sync_wait_seconds": 30}))
    yield changed
    changed.close()


@pytest.fixture
def app(services: Services) -> Flask:
    return create_app(services=services)


def send(
    client: FlaskClient, headers: dict[str, str], data: bytes = LINES, file: str = "train.jsonl", **fields: Any
) -> Any:
    form = {"file": (io.BytesIO(data), file), "purpose": "fine-tune", **fields}
    return client.post("/v1/files", data=form, headers=headers)


def error_of(answer: Any) -> tuple[int, str, str | None]:
    error = answer.json["error"]
    return answer.status_code, error["code"], error["param"]


def test_a_training_file_becomes_a_data_set(client: FlaskClient, headers: dict[str, str]) -> None:
    made = send(client, headers).json
    assert made["object"] == "file" and made["status"] == "processed" and made["bytes"] == len(LINES)
    assert made["id"].startswith("file-") and made["filename"] == "train.jsonl" and made["created_at"] > 1_700_000_000
    found = client.get(f"/api/v1/datasets/{made['dataset_id']}", headers=headers).json
    assert found["samples_count"] == 12 and found["format"] == "messages"
    assert client.get(f"/v1/files/{made['id']}", headers=headers).json == made
    assert client.get(f"/v1/files/{made['id']}/content", headers=headers).data == LINES


def test_a_file_goes_with_its_data_set(client: FlaskClient, headers: dict[str, str]) -> None:
    made = send(client, headers).json
    answer = client.delete(f"/v1/files/{made['id']}", headers=headers)
    assert answer.json == {"id": made["id"], "object": "file", "deleted": True}
    assert client.get(f"/api/v1/datasets/{made['dataset_id']}", headers=headers).status_code == 404
    assert error_of(client.get(f"/v1/files/{made['id']}", headers=headers)) == (404, "not_found", "file_id")


def test_a_data_set_that_goes_takes_its_file_along(client: FlaskClient, headers: dict[str, str]) -> None:
    made = send(client, headers).json
    client.delete(f"/api/v1/datasets/{made['dataset_id']}", headers=headers)
    assert client.get("/v1/files", headers=headers).json["data"] == []


@pytest.mark.parametrize(
    ("purpose", "data"),
    [("batch", b'{"custom_id": "1"}\n'), ("user_data", b"%PDF-1.7 words"), ("vision", samples.png()), ("evals", b"x")],
)
def test_other_files_are_kept_as_they_are(
    client: FlaskClient, headers: dict[str, str], services: Services, purpose: str, data: bytes
) -> None:
    made = send(client, headers, data, "a file.bin", purpose=purpose).json
    assert (made["purpose"], made["status"], made["dataset_id"]) == (purpose, "processed", None)
    answer = client.get(f"/v1/files/{made['id']}/content", headers=headers)
    assert answer.data == data and answer.headers["X-Content-Type-Options"] == "nosniff"
    assert 'attachment; filename="a file.bin"' in answer.headers["Content-Disposition"]
    client.delete(f"/v1/files/{made['id']}", headers=headers)
    assert list(services.files.folder("uploads").iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"purpose": "assistants_output"}, (400, "invalid_value", "purpose")),
        ({"purpose": ""}, (400, "invalid_value", "purpose")),
        ({"data": b""}, (400, "missing_required_parameter", "file")),
        ({"purpose": "vision"}, (415, "unsupported_media_type", None)),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "5"}, (400, "invalid_value", None)),
        ({"expires_after[anchor]": "yesterday"}, (400, "invalid_value", None)),
        ({"on_error": "cry"}, (400, "invalid_value", "on_error")),
    ],
    ids=["purpose", "no-purpose", "empty", "no-picture", "too-soon", "anchor", "on-error"],
)
def test_what_is_wrong_is_told(client: FlaskClient, headers: dict[str, str], fields: Any, expected: Any) -> None:
    status, code, param = expected
    told = error_of(send(client, headers, **fields))
    assert told[:2] == (status, code) and param in (None, told[2])


def test_a_broken_line_is_named_and_nothing_is_kept(
    client: FlaskClient, headers: dict[str, str], services: Services
) -> None:
    answer = send(client, headers, LINES + b'{"messages": \n')
    assert answer.status_code == 400 and answer.json["error"]["param"] == "file"
    assert "line 13" in answer.json["error"]["message"]
    assert answer.json["error"]["details"]["rows"][0]["line"] == 13
    assert client.get("/v1/files", headers=headers).json["data"] == []
    assert list(services.files.folder("uploads").iterdir()) == []


def test_good_rows_of_a_bad_file_may_be_kept(client: FlaskClient, headers: dict[str, str]) -> None:
    assert send(client, headers, LINES + b'{"messages": \n', on_error="skip").json["status"] == "processed"


def test_names_hold_no_paths_and_no_control_characters(client: FlaskClient, headers: dict[str, str]) -> None:
    assert send(client, headers, file="../../etc/pass\u0007wd").json["filename"] == "passwd"
    assert send(client, headers, file="问题.jsonl").json["filename"] == "问题.jsonl"


def test_files_come_in_pages(client: FlaskClient, headers: dict[str, str]) -> None:
    ids = [send(client, headers, b"x", purpose="user_data").json["id"] for _ in range(3)]
    other = send(client, headers).json["id"]
    first = client.get("/v1/files?limit=2&order=asc", headers=headers).json
    assert [each["id"] for each in first["data"]] and first["has_more"] and first["object"] == "list"
    rest = client.get(f"/v1/files?order=asc&after={first['last_id']}", headers=headers).json
    assert [each["id"] for each in first["data"] + rest["data"]] == [*ids, other]
    assert not rest["has_more"] and len(rest["data"]) == 2
    assert [each["id"] for each in client.get("/v1/files?purpose=fine-tune", headers=headers).json["data"]] == [other]
    assert error_of(client.get("/v1/files?after=file-none", headers=headers)) == (400, "invalid_value", "after")
    assert client.get("/v1/files?limit=0", headers=headers).status_code == 400
    assert client.get("/v1/files?order=up", headers=headers).status_code == 400


def test_another_users_file_is_not_there(
    client: FlaskClient, headers: dict[str, str], login: Login, services: Services
) -> None:
    asked = UserRequest(username="eve", password="correct-horse-battery")
    accounts.add(asked, services=services)
    made, eve = send(client, headers).json, login("eve")
    for method, path in [("get", ""), ("get", "/content"), ("delete", "")]:
        answer = getattr(client, method)(f"/v1/files/{made['id']}{path}", headers=eve)
        assert error_of(answer)[:2] == (404, "not_found")
    assert client.get("/v1/files", headers=eve).json["data"] == []


def test_the_same_key_reads_a_file_once(client: FlaskClient, headers: dict[str, str], services: Services) -> None:
    keyed = headers | {"Idempotency-Key": "one"}
    first, again = send(client, keyed), send(client, keyed)
    assert first.json == again.json and again.headers["Idempotent-Replayed"] == "true"
    assert error_of(send(client, keyed, LINES * 2))[0] == 400
    assert list(services.files.folder("uploads").iterdir()) == []


def test_a_file_is_not_waited_for_where_nobody_wants_to(client: FlaskClient, headers: dict[str, str]) -> None:
    made = send(client, headers | {"Prefer": "respond-async"}).json
    assert made["status"] in {"uploaded", "processed"}


def test_a_file_expires(client: FlaskClient, headers: dict[str, str], services: Services) -> None:
    fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    made = send(client, headers, **fields).json
    assert made["expires_at"] == made["created_at"] + 3600
    with services.database.write() as session:
        session.execute(update(UserFileTable).values(expires_at=utc_now() - timedelta(seconds=1)))
    assert client.get("/v1/files", headers=headers).json["data"] == []
    assert housekeeping.tidy(services)["expired"] == 1
    assert client.get(f"/api/v1/datasets/{made['dataset_id']}", headers=headers).status_code == 404


def test_a_quota_bounds_a_user(settings: Settings) -> None:
    bounded = assemble(settings.model_copy(update={"quota_mb": 1, "auth": "open", "job_runner": "thread"}))
    bounded.files.keep(bytes(2**20), "images", ".png", owner="anonymous")
    answer = send(create_app(services=bounded).test_client(), {}, b"x", purpose="user_data")
    assert error_of(answer)[:2] == (413, "insufficient_quota")
    bounded.close()


def test_a_form_without_a_file_is_told(client: FlaskClient, headers: dict[str, str]) -> None:
    for data in ({"purpose": "batch"}, {"purpose": "batch", "file": "words"}):
        answer = client.post("/v1/files", data=data, headers=headers)
        assert error_of(answer) == (400, "missing_required_parameter", "file")
