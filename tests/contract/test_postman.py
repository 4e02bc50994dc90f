"""The Postman collection against the running service: newman sends it whole, and every assertion holds."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.live import ADMIN_PASSWORD, LiveServer
from tests.source import ROOT

NEWMAN = "newman@6.2.2"
CACHE_DIR = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "polymath" / NEWMAN
LIMITS = ["TRAINING", "INFERENCE", "DEFAULT", "GENERATION", "STATUS"]
COLLECTION_FILE = ROOT / "docs" / "postman_collection.json"


@pytest.fixture(scope="session")
def newman() -> list[str]:
    """The command that runs newman, which npm installs outside the clone the first time."""
    assert shutil.which("node") and shutil.which("npm"), "install node 18 or newer, with npm, which runs newman"
    program = CACHE_DIR / "node_modules" / ".bin" / "newman"
    if not program.exists():
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(CACHE_DIR), NEWMAN]
        subprocess.run(install, check=True, timeout=300)
    return [str(program)]


@pytest.fixture
def server(tmp_path: Path, chat_models: Path) -> Any:
    (tmp_path / "models").symlink_to(chat_models)
    limits = {f"RATE_LIMIT_{name}": "1000000/minute" for name in LIMITS}
    live = LiveServer(tmp_path, **limits).start()
    yield live
    live.stop()


@pytest.mark.slow
def test_every_request_is_answered_as_documented(newman: list[str], server: LiveServer, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    values = {"baseUrl": server.url, "username": "admin", "password": ADMIN_PASSWORD}
    given = [word for key, value in values.items() for word in ("--env-var", f"{key}={value}")]
    environment = ["-e", str(COLLECTION_FILE.with_name("postman_environment.json")), *given]
    reports = ["--reporters", "cli,json", "--reporter-json-export", str(report), "--color", "off"]
    command = [*newman, "run", str(COLLECTION_FILE), *environment, "--working-dir", str(ROOT), *reports]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=ROOT)
    done = json.loads(report.read_text())["run"]
    assert [told(failure) for failure in done["failures"]] == [], ran.stdout[-3000:]
    assert ran.returncode == 0
    assert done["stats"]["requests"]["total"] == requests_in(json.loads(COLLECTION_FILE.read_text()))


def told(failure: dict[str, Any]) -> str:
    return f"{failure['source']['name']}: {failure['error']['message']}"


def requests_in(folder: dict[str, Any]) -> int:
    """How many requests *folder* and the folders in it have."""
    return sum(requests_in(each) if "item" in each else 1 for each in folder["item"])


def test_every_request_is_asserted() -> None:
    collection = json.loads(COLLECTION_FILE.read_text())
    items = [each for folder in collection["item"] for each in folder["item"]]
    silent = [
        each["name"] for each in items if not any("pm.test" in line for line in each["event"][0]["script"]["exec"])
    ]
    assert items and silent == []
