"""System 5's data sets over HTTP: uploaded, looked at, processed, downloaded, removed."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from backend.app import create_app
from services.assemble import Services, assemble
from services.contracts.accounts import UserRequest
from services.domains import accounts
from services.settings import Settings
from tests.fakes import samples

Login = Callable[..., dict[str, str]]
ROWS = [{"instruction": f"问题 {number}", "response": f"回答 {number}"} for number in range(100)]
TEMPLATE = "### 指令:\n{instruction}\n\n### 回答:\n{response}"


@pytest.fixture
def services(settings: Settings, services: Services) -> Iterator[Services]:
    """Jobs run beside the request, as they do in service."""
    changed = assemble(settings.model_copy(update={"job_runner": "thread", "sync_wait_seconds": 30}))
    yield changed
    changed.close()


@pytest.fixture
def app(services: Services) -> Flask:
    return create_app(services=services)


def send(client: FlaskClient, headers: dict[str, str], data: bytes, file: str = "finance.json", **fields: Any) -> Any:
    form = {"file": (io.BytesIO(data), file), "name": "金融领域数据集", **fields}
    return client.post("/api/v1/datasets/upload", data=form, headers=headers)


@pytest.fixture
def uploaded(client: FlaskClient, headers: dict[str, str]) -> dict[str, Any]:
    """A data set of a hundred questions and answers."""
    return dict(send(client, headers, json.dumps(ROWS).encode()).json)


def process(client: FlaskClient, headers: dict[str, str], source: str, **fields: Any) -> Any:
    body = {"dataset_id": source, "output_name": "finance_processed", **fields}
    return client.post("/api/v1/datasets/process", json=body, headers=headers)


def test_an_upload_is_counted_and_told(client: FlaskClient, headers: dict[str, str]) -> None:
    answer = send(client, headers, json.dumps(ROWS).encode(), description="问答")
    assert answer.status_code == 200, answer.text
    told = answer.json
    assert (told["samples_count"], told["format"], told["path"]) == (
        100,
        "instruction_response",
        "data/raw/finance.json",
    )
    assert (told["name"], told["description"], told["columns"]) == (
        "金融领域数据集",
        "问答",
        ["instruction", "response"],
    )
    assert told["bad_rows"]["count"] == 0
    assert {"id", "uploaded_at", "size_mb", "message"} <= told.keys()


def test_processing_gives_exact_parts(
    client: FlaskClient, headers: dict[str, str], uploaded: dict[str, Any], services: Services
) -> None:
    answer = process(client, headers, uploaded["id"], template=TEMPLATE)
    assert answer.status_code == 200, answer.text
    assert answer.json["splits"] == {"train": 80, "validation": 10, "test": 10}
    assert (answer.json["status"], answer.json["output_path"]) == ("completed", "data/processed/finance_processed")
    folder = services.settings.data_dir / "processed" / "finance_processed"
    lines = (folder / "v1" / "train.jsonl").read_text().splitlines()
    assert len(lines) == 80
    assert json.loads(lines[0])["text"].startswith("### 指令:\n问题 ")
    card = json.loads((folder / "dataset.json").read_text())
    assert card["source"]["sha256"] == uploaded["file"]["sha256"]
    assert card["files"]["train"] == "v1/train.jsonl"


def test_processing_again_is_a_new_version_of_the_same_bytes(
    client: FlaskClient, headers: dict[str, str], uploaded: dict[str, Any], services: Services
) -> None:
    first, second = (process(client, headers, uploaded["id"], template=TEMPLATE).json for _ in range(2))
    assert (first["version"], second["version"]) == (1, 2)
    assert first["output_id"] == second["output_id"]
    folder = services.settings.data_dir / "processed" / "finance_processed"
    for name in ("train", "validation", "test"):
        one, two = ((folder / version / f"{name}.jsonl").read_bytes() for version in ("v1", "v2"))
        assert one == two
    shown = client.get(f"/api/v1/datasets/{first['output_id']}", headers=headers).json
    assert (shown["version"], [row["version"] for row in shown["versions"]]) == (2, [1, 2])
    assert shown["splits"] == {"train": 80, "validation": 10, "test": 10}


def test_the_list_has_the_documented_fields(
    client: FlaskClient, headers: dict[str, str], uploaded: dict[str, Any]
) -> None:
    process(client, headers, uploaded["id"])
    listed = client.get("/api/v1/datasets", headers=headers).json
    assert (listed["count"], len(listed["datasets"])) == (2, 2)
    assert listed["timestamp"].endswith("Z")
    documented = {"id", "name", "path", "created_at", "size_mb", "samples_count", "description"}
    assert all(documented <= row.keys() for row in listed["datasets"])
    page = client.get("/api/v1/datasets?limit=1", headers=headers).json
    after = client.get(f"/api/v1/datasets?limit=1&after={page['next']}", headers=headers).json
    assert [row["path"] for row in page["datasets"] + after["datasets"]] == [
        "data/raw/finance.json",
        "data/processed/finance_processed",
    ]


def test_rows_come_in_pages(client: FlaskClient, headers: dict[str, str], uploaded: dict[str, Any]) -> None:
    where = f"/api/v1/datasets/{uploaded['id']}/rows"
    first = client.get(f"{where}?limit=60", headers=headers).json
    second = client.get(f"{where}?limit=60&after={first['next']}", headers=headers).json
    assert [row["row"] for row in first["rows"] + second["rows"]] == ROWS
    assert (first["count"], second["next"]) == (100, None)


def test_rows_of_what_was_processed_name_their_part(
    client: FlaskClient, headers: dict[str, str], uploaded: dict[str, Any]
) -> None:
    made = process(client, headers, uploaded["id"]).json
    page = client.get(f"/api/v1/datasets/{made['output_id']}/rows?limit=100", headers=headers).json
    assert [row["split"] for row in page["rows"]] == ["train"] * 80 + ["validation"] * 10 + ["test"] * 10
    assert page["rows"][0]["row"]["messages"][0]["role"] == "user"


def test_stats_tell_of_the_columns(client: FlaskClient, headers: dict[str, str], uploaded: dict[str, Any]) -> None:
    told = client.get(f"/api/v1/datasets/{uploaded['id']}/stats", headers=headers).json
    assert told["columns"][0] == {
        "name": "instruction", "type": "string", "filled": 100, "length": {"min": 4, "mean": 4.9, "max": 5},
    }  # fmt: skip
    made = process(client, headers, uploaded["id"], template=TEMPLATE).json
    told = client.get(f"/api/v1/datasets/{made['output_id']}/stats", headers=headers).json
    assert told["splits"]["train"]["rows"] == 80
    assert told["counts"]["dropped"] == {"bad": 0, "too_short": 0, "too_long": 0, "duplicate": 0}


def test_a_download_is_a_zip(client: FlaskClient, headers: dict[str, str], uploaded: dict[str, Any]) -> None:
    made = process(client, headers, uploaded["id"]).json
    answer = client.get(f"/api/v1/datasets/{made['output_id']}/download", headers=headers)
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == {"dataset.json", "test.jsonl", "train.jsonl", "validation.jsonl"}


def test_what_is_removed_is_gone(
    client: FlaskClient, headers: dict[str, str], uploaded: dict[str, Any], services: Services
) -> None:
    made = process(client, headers, uploaded["id"]).json
    for dataset in (uploaded["id"], made["output_id"]):
        assert client.delete(f"/api/v1/datasets/{dataset}", headers=headers).json == {"success": True}
        assert client.get(f"/api/v1/datasets/{dataset}", headers=headers).status_code == 404
    assert files_in(services.settings.data_dir) == []


def files_in(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


def test_another_user_sees_nothing_of_it(
    client: FlaskClient, services: Services, login: Login, uploaded: dict[str, Any]
) -> None:
    accounts.add(UserRequest(username="mo", password="a-long-password"), services=services)
    mo = login("mo", "a-long-password")
    assert client.get("/api/v1/datasets", headers=mo).json["count"] == 0
    for method, rest in (("get", ""), ("get", "/rows"), ("get", "/stats"), ("get", "/download"), ("delete", "")):
        answer = getattr(client, method)(f"/api/v1/datasets/{uploaded['id']}{rest}", headers=mo)
        assert answer.status_code == 404
    assert process(client, mo, uploaded["id"]).status_code == 404
    # The same names are free for everybody.
    mine = send(client, mo, json.dumps(ROWS).encode()).json
    assert (mine["path"], process(client, mo, mine["id"]).json["output_path"]) == (
        "data/raw/finance.json",
        "data/processed/finance_processed",
    )


def test_an_admin_may_process_anybodys(
    client: FlaskClient, services: Services, login: Login, headers: dict[str, str]
) -> None:
    accounts.add(UserRequest(username="mo", password="a-long-password"), services=services)
    theirs = send(client, login("mo", "a-long-password"), json.dumps(ROWS).encode()).json
    made = process(client, headers, theirs["id"]).json
    assert (made["dataset_id"], made["splits"]["train"]) == (theirs["id"], 80)
    assert (
        client.get(f"/api/v1/datasets/{made['output_id']}", headers=login("mo", "a-long-password")).status_code == 404
    )


def test_two_uploads_of_one_name_are_two(client: FlaskClient, headers: dict[str, str]) -> None:
    one, two = (send(client, headers, json.dumps(ROWS[:count]).encode()).json for count in (3, 5))
    assert (one["path"], two["path"]) == ("data/raw/finance.json", "data/raw/finance-2.json")
    counts = [client.get(f"/api/v1/datasets/{row['id']}", headers=headers).json["samples_count"] for row in (one, two)]
    assert counts == [3, 5]


def test_one_key_is_one_upload(client: FlaskClient, headers: dict[str, str], services: Services) -> None:
    key = headers | {"Idempotency-Key": "once"}
    one, two = (send(client, key, json.dumps(ROWS).encode()) for _ in range(2))
    assert one.json["id"] == two.json["id"]
    assert two.headers["Idempotent-Replayed"] == "true"
    assert files_in(services.settings.data_dir) == ["raw/finance.json"]


def test_bad_rows_are_named_and_skipped_only_on_wish(
    client: FlaskClient, headers: dict[str, str], services: Services
) -> None:
    data = b'{"text": "a"}\n{"text": "b"\n{"text": "c"}\n[1]\n'
    refused = send(client, headers, data, "a.jsonl")
    assert (refused.status_code, refused.json["error"]["code"]) == (400, "INVALID_REQUEST")
    assert [row["line"] for row in refused.json["error"]["details"]["rows"]] == [2, 4]
    assert files_in(services.settings.data_dir) == []
    taken = send(client, headers, data, "a.jsonl", on_error="skip").json
    assert (taken["samples_count"], taken["bad_rows"]["count"]) == (2, 2)
    made = process(client, headers, taken["id"], on_error="skip", train_ratio=1, val_ratio=0, test_ratio=0)
    assert made.json["splits"] == {"train": 2, "validation": 0, "test": 0}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"train_ratio": 0.8, "val_ratio": 0.3, "test_ratio": 0}, "train_ratio"),
        ({"train_ratio": 0.9}, "train_ratio"),
        ({"train_ratio": -0.1, "val_ratio": 1, "test_ratio": 0.1}, "train_ratio"),
        ({"output_name": "../x"}, "output_name"),
        ({"output_name": "a/b"}, "output_name"),
        ({"output_name": ".hidden"}, "output_name"),
        ({"output_name": ""}, "output_name"),
        ({"output_name": "x" * 101}, "output_name"),
        ({"template": "{instruction.__class__}"}, "template"),
        ({"template": "{row.__class__}"}, "template"),
        ({"template": "{instruction[0]}"}, "template"),
        ({"template": "{instruction!r}"}, "template"),
        ({"template": "{instruction:>9999999999}"}, "template"),
        ({"template": "{0}"}, "template"),
        ({"template": "{}"}, "template"),
        ({"template": "{"}, "template"),
        ({"template": "no column"}, "template"),
        ({"template": "{nothing}"}, "template"),
        ({"group_by": "nothing"}, "group_by"),
        ({"min_length": 5, "max_length": 4}, "min_length"),
        ({"model": "qwen-turbo"}, "model"),
        ({"dataset_id": ""}, "dataset_id"),
        ({"dataset_id": "../../etc/passwd"}, "dataset_id"),
        ({"dataset_id": "/etc/passwd"}, "dataset_id"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_wrong_field_is_400_and_named(
    client: FlaskClient, headers: dict[str, str], uploaded: dict[str, Any], fields: dict[str, Any], field: str
) -> None:
    refused = (
        process(client, headers, **{"source": uploaded["id"]}, **fields)
        if "dataset_id" not in fields
        else (client.post("/api/v1/datasets/process", json={"output_name": "x", **fields}, headers=headers))
    )
    assert (refused.status_code, refused.json["error"]["code"]) == (400, "INVALID_REQUEST")
    assert refused.json["error"]["details"]["field"] == field
    assert client.get("/api/v1/datasets", headers=headers).json["count"] == 1


def test_what_is_processed_is_not_processed_again(
    client: FlaskClient, headers: dict[str, str], uploaded: dict[str, Any]
) -> None:
    made = process(client, headers, uploaded["id"]).json
    refused = process(client, headers, made["output_id"])
    assert (refused.status_code, refused.json["error"]["details"]["reason"]) == (400, "processed")


def test_a_missing_column_is_named(client: FlaskClient, headers: dict[str, str], uploaded: dict[str, Any]) -> None:
    refused = process(client, headers, uploaded["id"], template="{instruction} {answer}")
    assert refused.json["error"]["details"] == {"field": "template", "reason": "missing_column", "column": "answer"}
    assert "'answer'" in refused.json["detail"]


@pytest.mark.parametrize("path", ["data/raw/finance.json", "datasets/finance.json", "datasets/finance"])
@pytest.mark.parametrize("root", ["", "/", "./"])
def test_a_path_and_a_name_are_one_thing(
    client: FlaskClient, headers: dict[str, str], uploaded: dict[str, Any], root: str, path: str
) -> None:
    assert process(client, headers, root + path).json["dataset_id"] == uploaded["id"]


@pytest.mark.parametrize("name", ["finance", "finance.json", "金融领域数据集"])
def test_a_name_finds_its_data_set(
    client: FlaskClient, headers: dict[str, str], uploaded: dict[str, Any], name: str
) -> None:
    assert process(client, headers, name).json["dataset_id"] == uploaded["id"]


@pytest.mark.parametrize(
    ("data", "status"), [(b"", 400), (samples.png(8, 8, "cat"), 415), (b"%PDF-1.7 ...", 415), (b"[]", 400)]
)
def test_what_is_no_data_set_is_refused(
    client: FlaskClient, headers: dict[str, str], services: Services, data: bytes, status: int
) -> None:
    assert send(client, headers, data).status_code == status
    assert files_in(services.settings.data_dir) == []


@pytest.mark.parametrize(
    ("form", "field"),
    [({"name": "x"}, "file"), ({"file": (io.BytesIO(b"[]"), "a.json")}, "name"),
     ({"file": (io.BytesIO(b"[]"), "a.json"), "name": "x", "format": "xml"}, "format"),
     ({"file": (io.BytesIO(b"[]"), "a.json"), "name": " \0\x1b "}, "name"),
     ({"file": (io.BytesIO(b"[]"), "a.json"), "name": "x" * 201}, "name")],
)  # fmt: skip
def test_a_wrong_form_is_400(client: FlaskClient, headers: dict[str, str], form: dict[str, Any], field: str) -> None:
    refused = client.post("/api/v1/datasets/upload", data=form, headers=headers, content_type="multipart/form-data")
    assert (refused.status_code, refused.json["error"]["details"]["field"]) == (400, field)


def test_what_people_type_is_cleaned(client: FlaskClient, headers: dict[str, str]) -> None:
    told = send(
        client, headers, b'{"text": "a"}', "../../a\x00b.json", description=" a\0b\x1b[31m\n", format="JSON"
    ).json
    assert (told["description"], told["path"]) == ("ab[31m", "data/raw/a_b.jsonl")


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "after=x%00", "after=dataset-nobody"])
def test_a_wrong_page_is_400(client: FlaskClient, headers: dict[str, str], query: str) -> None:
    assert client.get(f"/api/v1/datasets?{query}", headers=headers).status_code == 400


def test_without_a_token_nothing_is_told(client: FlaskClient) -> None:
    assert client.get("/api/v1/datasets").status_code == 401
    assert client.post("/api/v1/datasets/process", json={}).status_code == 401


def test_who_does_not_wait_gets_a_task(client: FlaskClient, headers: dict[str, str], uploaded: dict[str, Any]) -> None:
    answer = process(client, headers | {"Prefer": "respond-async"}, uploaded["id"])
    assert answer.status_code == 202
    done = client.get(f"{answer.headers['Location']}?wait=30", headers=headers).json
    assert (done["status"], done["result"]["splits"]["train"]) == ("completed", 80)
