"""System 3's speech, as its clients ask for it: no token (AUTH=open), only the base URL is new."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.live import LiveServer
from tests.sounds import words_of
from tests.voices import decode

SENTENCE = "The quick brown fox jumps over the lazy dog."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sound_models: Path) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("system-3-speech")
    (folder / "models").symlink_to(sound_models)
    running = LiveServer(folder, AUTH="open", CPU_THREADS="1", OMP_NUM_THREADS="1")
    running.start()
    yield running
    running.stop()


def say(server: LiveServer, **body: Any) -> Any:
    answer = requests.post(f"{server.url}/api/audio/synthesize", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    return answer.json()


def fetch(server: LiveServer, done: Any, folder: Path) -> Path:
    sound = requests.get(server.url + done["audio_url"], timeout=30)
    assert sound.status_code == 200
    target = folder / Path(done["audio_url"]).name
    target.write_bytes(sound.content)
    return target


def test_the_documents_example(server: LiveServer, tmp_path: Path) -> None:
    done = say(server, text="你好，世界！", voice="default-female", language="zh", speed=1.0, pitch=0)
    assert done.keys() >= {"task_id", "status", "audio_url", "duration"}
    assert done["status"] == "completed"
    assert done["audio_url"].startswith("/outputs/audio/")
    assert done["audio_url"].endswith(".mp3")
    samples, rate = decode(fetch(server, done, tmp_path))
    assert done["duration"] == pytest.approx(len(samples) / rate, abs=0.03)
    assert 0.7 < done["duration"] < 3


def test_whisper_reads_the_mp3_back(server: LiveServer, tmp_path: Path) -> None:
    path = fetch(server, say(server, text=SENTENCE, language="en"), tmp_path)
    with path.open("rb") as file:
        heard = requests.post(
            f"{server.url}/api/audio/transcribe", files={"audio": file}, data={"language": "en"}, timeout=120
        ).json()
    said, read = words_of(SENTENCE), words_of(heard["text"])
    assert len(set(said) & set(read)) >= len(set(said)) - 1


def test_two_at_once(server: LiveServer) -> None:
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda text: say(server, text=text, language="en"), ["One and two.", "Three and four."]))
    assert {each["status"] for each in done} == {"completed"}
    assert len({each["audio_url"] for each in done}) == 2


def test_errors_have_a_detail(server: LiveServer) -> None:
    refused = requests.post(f"{server.url}/api/audio/synthesize", json={"text": ""}, timeout=30)
    assert refused.status_code == 422
    assert refused.json()["detail"]
