"""README's loop as it stands: photographs are described, reviewed and learned from, and a new one is recognised."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.live import LiveServer
from tests.photographs import photograph
from tests.test_truth import blocks
from tests.vision_models import CLASSIFIER


@pytest.fixture
def loop_server(vision_models: Path, tmp_path: Path) -> Iterator[LiveServer]:
    """A service with the starter classifier."""
    models = tmp_path / "models"
    shutil.copytree(vision_models / CLASSIFIER, models / CLASSIFIER)
    server = LiveServer(tmp_path / "service", MODELS_DIR=str(models)).start()
    yield server
    server.stop()


@pytest.mark.slow
def test_photographs_become_a_model_that_answers(loop_server: LiveServer, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for kind in ("chelsea", "coffee", "astronaut"):
        whole = Image.open(photograph(kind)).convert("RGB")
        width, height = whole.size
        for number in range(6):
            left = number * width // 40
            piece = whole.crop((left, number * height // 60, left + width * 3 // 4, height * 3 // 4))
            piece.save(tmp_path / "photos" / f"{kind}-{number}.jpg")
    Image.open(photograph("chelsea")).convert("RGB").rotate(8).save(tmp_path / "new.jpg")
    (script,) = [code for code in blocks("README.md", "bash") if "# the loop" in code]
    header = f"Authorization: {loop_server.login()['Authorization']}"
    ran = subprocess.run(
        ["bash", "-ec", script.replace("http://127.0.0.1:8000", loop_server.url)],
        cwd=tmp_path,
        env={**os.environ, "H": header, "J": "Content-Type: application/json"},
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    answer = json.loads(ran.stdout[ran.stdout.rindex('{"classifications"') :])
    assert answer["classifications"][0]["label"] == "chelsea", ran.stdout
