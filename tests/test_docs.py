"""The examples of `docs/` run as they stand, each page as one shell session, and answer as the page shows.

A block of `sh` is run. The block of `json` or `text` after it is its answer: of JSON the real answer has every key that
is shown, of text the same first word.
"""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live import ADMIN_PASSWORD, LiveServer
from tests.photographs import photograph
from tests.source import ROOT
from tests.test_truth import FENCE, text_of
from tests.vision_models import CLASSIFIER

PAGES = ["accounts", "chat", "images", "recognition", "audio", "datasets", "training", "jobs"]
# Stands between the outputs of two blocks.
MARK = "\x1e"
# A refused request ends the session, without a word of that in the documents.
PREFACE = 'set -euo pipefail\ncurl() { command curl --fail-with-body "$@"; }\n'


@pytest.fixture(scope="module")
def server(
    chat_models: Path,
    sound_models: Path,
    face_models: Path,
    vision_models: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LiveServer]:
    """A service with the starter set."""
    folder = tmp_path_factory.mktemp("documents")
    (folder / "models").mkdir()
    found = [each for models in (chat_models, sound_models, face_models) for each in models.iterdir()]
    for model in [*found, vision_models / CLASSIFIER]:
        (folder / "models" / model.name).symlink_to(model)
    live = LiveServer(folder).start()
    yield live
    live.stop(signal.SIGKILL)


@pytest.fixture
def desk(tmp_path: Path, spoken_wav: Path) -> Path:
    """A folder with the files that the examples send."""
    shutil.copy(photograph("chelsea"), tmp_path / "cat.png")
    shutil.copy(photograph("astronaut"), tmp_path / "eileen.png")
    shutil.copy(spoken_wav, tmp_path / "speech.wav")
    shutil.copy(ROOT / "tests" / "contract" / "postman" / "rows.jsonl", tmp_path)
    return tmp_path


def session(page: str) -> tuple[list[str], list[tuple[str, str]]]:
    """The blocks of *page* that run, and the answer that is shown after each, with its language."""
    found = [(block["language"], block["code"]) for block in FENCE.finditer(text_of(f"docs/{page}.md"))]
    runs = [place for place, (language, _code) in enumerate(found) if language == "sh"]
    return [found[place][1] for place in runs], [found[place + 1] for place in runs]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_examples_answer_as_shown(page: str, server: LiveServer, desk: Path) -> None:
    commands, shown = session(page)
    assert len(commands) >= 3
    token = server.login()["Authorization"].removeprefix("Bearer ")
    values = {"POLYMATH": server.url, "TOKEN": token, "PASSWORD": ADMIN_PASSWORD}
    script = PREFACE + f"printf '{MARK}'\n".join(commands)
    ran = subprocess.run(
        ["bash", "-c", script],
        cwd=desk,
        env={**os.environ, **values},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    for (language, wanted), answer in zip(shown, ran.stdout.split(MARK), strict=True):
        check(language, wanted, answer)


def check(language: str, wanted: str, answer: str) -> None:
    """*answer* is of the shape that a document shows."""
    if language == "json":
        assert missing(json.loads(wanted), json.loads(answer)) == [], answer
    else:
        assert language == "text"
        assert answer.lstrip().startswith(wanted.split(maxsplit=1)[0]), answer


def missing(shown: Any, real: Any, place: str = "") -> list[str]:
    """Keys of *shown* that *real* lacks; of a list the first item counts."""
    if isinstance(shown, dict) and isinstance(real, dict):
        lacking = [f"{place}.{key}" for key in shown if key not in real]
        both = [(key, value) for key, value in shown.items() if key in real]
        return lacking + [each for key, value in both for each in missing(value, real[key], f"{place}.{key}")]
    if isinstance(shown, list) and isinstance(real, list):
        return missing(shown[0], real[0], f"{place}[0]") if shown and real else [place] if shown else []
    return [] if isinstance(shown, dict | list) == isinstance(real, dict | list) else [place]


def test_a_key_that_is_not_there_is_seen() -> None:
    assert missing({"a": [{"b": 1}]}, {"a": [{"c": 1}]}) == [".a[0].b"]


def test_every_page_is_run_or_has_no_examples() -> None:
    """What `deploy.md` shows is for an operator's machine."""
    others = {path.stem for path in (ROOT / "docs").glob("*.md")} - set(PAGES) - {"deploy"}
    assert [name for name in sorted(others) if re.search(r"^```sh$", text_of(f"docs/{name}.md"), re.MULTILINE)] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_pages(page: str) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", text_of(f"docs/{page}.md"))
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
