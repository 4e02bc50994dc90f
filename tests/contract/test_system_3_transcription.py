"""System 3's transcription, as its clients ask for it: no token (AUTH=open), only the base URL is new."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import requests

from tests.live import LiveServer, wait_for
from tests.processes import read_of
from tests.sounds import RATE, SENTENCE, Samples, words_of, write_sound
from tests.test_readme import example, run

CANCEL_SECONDS = 2.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, sound_models: Path) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("system-3-audio")
    (folder / "models").symlink_to(sound_models)
    running = LiveServer(folder, AUTH="open", AUDIO_CHILD_SECONDS="20")
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def minutes(story: Samples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some minutes in which somebody tells the same story again and again."""
    return write_sound(tmp_path_factory.mktemp("long") / "long.mp3", np.tile(story, 5))


def transcribe(server: LiveServer, path: Path, *, headers: Any = None, **fields: str) -> requests.Response:
    with path.open("rb") as file:
        return requests.post(
            f"{server.url}/api/audio/transcribe", files={"audio": file}, data=fields, headers=headers, timeout=120
        )


def job_of(server: LiveServer, task: str) -> Any:
    return requests.get(f"{server.url}/api/jobs/{task}", timeout=10).json()


def children(server: LiveServer) -> list[int]:
    """The processes that hear long sounds for *server*."""
    return [pid for pid in server.processes() if b"child_main" in read_of(pid, "cmdline")]


def test_a_sound_is_answered_as_the_document_shows(server: LiveServer, spoken_wav: Path, spoken: Samples) -> None:
    answer = transcribe(server, spoken_wav, language="en", model="base")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "completed"
    assert words_of(body["text"]) == words_of(SENTENCE)
    assert body["language"] == "en"
    assert body["duration"] == pytest.approx(len(spoken) / RATE, abs=0.1)
    first = body["segments"][0]
    assert set(first) == {"id", "start", "end", "text"}
    assert first["id"] == 0 and 0 <= first["start"] < first["end"] <= body["duration"] + 0.1


@pytest.mark.slow
def test_a_long_sound_tells_how_far_it_is_and_ends_at_once_when_cancelled(server: LiveServer, minutes: Path) -> None:
    begun = transcribe(server, minutes, headers={"Prefer": "respond-async"})
    assert begun.status_code == 202
    task = begun.json()["task_id"]
    wait_for(lambda: job_of(server, task)["progress"] > 0, what="progress", seconds=120)
    assert len(children(server)) == 1
    asked = time.monotonic()
    requests.post(f"{server.url}/api/jobs/{task}/cancel", timeout=10)
    wait_for(lambda: job_of(server, task)["status"] == "canceled", what="the job to end")
    assert time.monotonic() - asked < CANCEL_SECONDS
    wait_for(lambda: not children(server), what="the child to end", seconds=CANCEL_SECONDS)


def test_after_a_cancel_the_next_sound_is_heard(server: LiveServer, spoken_wav: Path) -> None:
    answer = transcribe(server, spoken_wav, format="srt")
    assert answer.headers["Content-Type"] == "application/x-subrip; charset=utf-8"
    assert words_of(answer.text) == words_of(SENTENCE)


def test_an_error_is_the_documents_one(server: LiveServer, tmp_path: Path) -> None:
    path = tmp_path / "text.wav"
    path.write_text("This is no sound.")
    answer = transcribe(server, path)
    assert answer.status_code == 415
    assert answer.json()["detail"] == answer.json()["error"]["message"]


@pytest.mark.slow
def test_the_readmes_example(server: LiveServer, spoken_wav: Path) -> None:
    write = example("bash", "/api/audio/transcribe", server).replace("talk.mp3", str(spoken_wav))
    write = write.replace("Bearer $TOKEN", server.login()["Authorization"])
    _, with_words, as_subtitles, later = [line for line in write.splitlines() if line]
    told = orjson.loads(run("bash", "-c", with_words))
    assert words_of(" ".join(word["word"] for word in told["segments"][0]["words"])) == words_of(SENTENCE)
    assert run("bash", "-c", as_subtitles).startswith("1\n00:00:0")
    assert run("bash", "-c", later.replace("TASK_ID", told["task_id"])).startswith("WEBVTT")
