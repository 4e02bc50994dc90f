"""System 5's data sets, as its clients call them: log in, upload, process, list; only the base URL is new."""

import io
import json
import re
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.live import LiveServer
from tests.photographs import photograph

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
TEMPLATE = "### 指令:\n{instruction}\n\n### 回答:\n{response}"
FINANCE = [{"instruction": f"解释金融概念 {number}", "response": f"概念 {number} 的解释。"} for number in range(8000)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """One running service, two web workers and an engine host."""
    running = LiveServer(
        tmp_path_factory.mktemp("system-5"), workers=2, DEFAULT_LANGUAGE="zh", RATE_LIMIT_DEFAULT="10000/minute"
    )
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def token(server: LiveServer) -> dict[str, str]:
    return server.login()


class Client:
    """System 5's client: a token and the documented paths."""

    def __init__(self, server: LiveServer, token: dict[str, str]) -> None:
        self.url, self.token, self.data = f"{server.url}/api/v1", token, server.folder / "data"

    def get(self, path: str) -> Any:
        answer = requests.get(self.url + path, headers=self.token, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def upload(self, data: bytes, file: str, **fields: str) -> requests.Response:
        form = {"name": "金融领域数据集", "description": "金融领域专业问答数据集", **fields}
        files = {"file": (file, data)}
        return requests.post(f"{self.url}/datasets/upload", files=files, data=form, headers=self.token, timeout=300)

    def process(self, **body: Any) -> requests.Response:
        return requests.post(f"{self.url}/datasets/process", json=body, headers=self.token, timeout=300)


@pytest.fixture(scope="module")
def client(server: LiveServer, token: dict[str, str]) -> Client:
    return Client(server, token)


@pytest.fixture(scope="module")
def finance(client: Client) -> dict[str, Any]:
    """The document's data set: 8,000 rows of instruction and response."""
    answer = client.upload(json.dumps(FINANCE, ensure_ascii=False).encode(), "finance.json", format="json")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_upload_answers_as_documented(finance: dict[str, Any]) -> None:
    documented = {"id", "name", "path", "uploaded_at", "size_mb", "samples_count", "description", "message"}
    assert documented <= finance.keys()
    assert (finance["path"], finance["samples_count"]) == ("data/raw/finance.json", 8000)
    assert (finance["name"], finance["message"]) == ("金融领域数据集", "数据集上传成功")
    assert TIME.fullmatch(finance["uploaded_at"]) and finance["size_mb"] > 0.5
    assert finance["format"] == "instruction_response"


def test_process_answers_as_documented(client: Client, finance: dict[str, Any]) -> None:
    asked = {"dataset_id": finance["id"], "output_name": "finance_processed", "template": TEMPLATE}
    made = client.process(**asked, train_ratio=0.8, val_ratio=0.1, test_ratio=0.1).json()
    assert made["status"] == "completed"
    assert made["dataset_id"] == finance["id"]
    assert made["output_path"] == "data/processed/finance_processed"
    assert made["splits"] == {"train": 6400, "validation": 800, "test": 800}
    assert made["message"] == "数据集处理完成"
    assert TIME.fullmatch(made["processed_at"]) and made["task_id"]
    lines = (client.data / "processed/finance_processed/v1/train.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 6400 and json.loads(lines[0])["text"].startswith("### 指令:\n解释金融概念 ")


def test_list_answers_as_documented(client: Client, finance: dict[str, Any]) -> None:
    listed = client.get("/datasets")
    assert listed["count"] == len(listed["datasets"]) and TIME.fullmatch(listed["timestamp"])
    row = next(row for row in listed["datasets"] if row["id"] == finance["id"])
    assert {"id", "name", "path", "created_at", "size_mb", "samples_count", "description"} <= row.keys()
    assert (row["samples_count"], row["path"]) == (8000, "data/raw/finance.json")


def test_a_wrong_request_is_told_as_documented(client: Client, finance: dict[str, Any]) -> None:
    asked = {"dataset_id": finance["id"], "output_name": "x", "train_ratio": 0.8, "val_ratio": 0.3}
    refused = client.process(**asked)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error["code"], error["details"]) == ("INVALID_REQUEST", {"field": "train_ratio", "reason": "ratios"})
    missing = client.process(output_name="x").json()["error"]
    assert missing["details"] == {"field": "dataset_id", "reason": "required"}
    assert client.process(dataset_id="dataset_99", output_name="x").json()["error"]["code"] == "NOT_FOUND"
    assert requests.get(f"{client.url}/datasets", timeout=10).json()["error"]["code"] == "UNAUTHORIZED"


def test_a_chinese_csv_from_excel_goes_in_as_it_is(client: Client) -> None:
    text = "问题,回答\r\n" + '"什么是""股票""？\n请简述",一种所有权凭证\r\n' * 30
    sent = client.upload(text.encode("gb18030"), "金融 问答.csv", format="csv").json()
    assert (sent["samples_count"], sent["columns"], sent["path"]) == (30, ["问题", "回答"], "data/raw/金融_问答.csv")
    assert sent["file"]["encoding"] == "gb18030"
    made = client.process(dataset_id=sent["id"], output_name="股票", template="问：{问题}\n答：{回答}").json()
    assert made["splits"] == {"train": 24, "validation": 3, "test": 3}
    page = client.get(f"/datasets/{made['output_id']}/rows?limit=1")
    assert page["rows"][0]["row"]["text"] == '问：什么是"股票"？\n请简述\n答：一种所有权凭证'


def test_photographs_become_a_data_set(client: Client) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        for label, name in (
            ("animals", "chelsea"),
            ("things", "coffee"),
            ("things", "rocket"),
            ("people", "astronaut"),
        ):
            picture = photograph(name)
            packed.write(picture, f"{label}/{picture.name}")
    sent = client.upload(archive.getvalue(), "photographs.zip").json()
    assert (sent["format"], sent["samples_count"]) == ("image_label", 4)
    made = client.process(dataset_id=sent["id"], output_name="photographs").json()
    answer = requests.get(f"{client.url}/datasets/{made['output_id']}/download", headers=client.token, timeout=60)
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive_back:
        assert archive_back.testzip() is None
        assert len([name for name in archive_back.namelist() if name.startswith("images/")]) == 4


def test_a_large_upload_holds_nobody_up(client: Client, server: LiveServer) -> None:
    """While 30 MB are read and processed, the same service answers others at once."""
    rows = b"".join(b'{"prompt": "%d", "response": "%s"}\n' % (number, b"x" * 300) for number in range(90_000))
    waits: list[float] = []
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            began = time.perf_counter()
            assert requests.get(f"{server.url}/healthz", timeout=30).status_code == 200
            waits.append(time.perf_counter() - began)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        sent = client.upload(rows, "large.jsonl").json()
        made = client.process(dataset_id=sent["id"], output_name="large").json()
    finally:
        ended.set()
        asking.join()
    assert sent["samples_count"] == sum(made["splits"].values()) == 90_000
    # The worst wait on a busy machine is still far from the seconds that the work takes.
    assert sorted(waits)[len(waits) * 9 // 10] < 1.0


def test_nothing_half_made_stays(client: Client) -> None:
    """After all of these calls there is no draft and no upload left over."""
    left = [path for path in Path(client.data).rglob("*") if path.name.startswith(".part-")]
    assert left == []
    assert [path for path in (client.data / "uploads").rglob("*") if path.is_file()] == []
