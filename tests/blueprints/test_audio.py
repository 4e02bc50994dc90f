"""Sounds over HTTP: text and subtitles, the job behind them, and a clear error for what cannot be heard."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from backend.app import create_app
from services.assemble import Services
from services.settings import Settings
from tests.fakes import samples
from tests.sounds import SENTENCE, quiet_wav, silence, tone, words_of, write_sound

ROUTE = "/api/audio/transcribe"
DOCUMENTED = {"task_id", "status", "text", "language", "duration", "segments"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"auth": "open", "max_audio_seconds": 20.0, "max_upload_mb": 1})


@pytest.fixture
def app(hearing: Services) -> Flask:
    return create_app(services=hearing)


def send(client: FlaskClient, *sounds: bytes, headers: dict[str, str] | None = None, **fields: Any) -> TestResponse:
    files = [(io.BytesIO(sound), f"sound{number}.wav") for number, sound in enumerate(sounds)]
    return client.post(
        ROUTE, data={"audio": files, **fields}, content_type="multipart/form-data", headers=headers or {}
    )


def sound(folder: Path, form: str, samples: Any, **how: Any) -> bytes:
    return write_sound(folder / f"x{form}", samples, **how).read_bytes()


def left(services: Services) -> list[Path]:
    return list(services.files.folder("uploads").glob("*"))


def test_a_sentence_is_answered_as_documented(client: FlaskClient, hearing: Services, spoken_wav: Path) -> None:
    done = send(client, spoken_wav.read_bytes(), model="base", language="en")
    assert done.status_code == 200
    assert done.json.keys() == DOCUMENTED | {"model"}
    assert done.json["segments"][0].keys() == {"id", "start", "end", "text"}
    assert (done.json["status"], done.json["language"]) == ("completed", "en")
    assert words_of(done.json["text"]) == words_of(SENTENCE)
    assert done.headers["Location"] == f"/api/jobs/{done.json['task_id']}"
    assert left(hearing) == []


@pytest.mark.parametrize(
    ("form", "media_type", "begins"),
    [("srt", "application/x-subrip", "1\n00:00:0"), ("vtt", "text/vtt", "WEBVTT\n"), ("text", "text/plain", "The")],
)
def test_a_sentence_is_a_file_where_one_is_asked_for(
    client: FlaskClient, spoken_wav: Path, form: str, media_type: str, begins: str
) -> None:
    done = send(client, spoken_wav.read_bytes(), format=form, language="en")
    again = client.get(f"{ROUTE}/{done.headers['Location'].rpartition('/')[2]}?format={form}")
    assert done.content_type == again.content_type == f"{media_type}; charset=utf-8"
    assert done.text == again.text and done.text.startswith(begins)
    assert int(done.headers["Content-Length"]) == len(done.data)


def test_words_have_times_on_request(client: FlaskClient, spoken_wav: Path) -> None:
    done = send(client, spoken_wav.read_bytes(), word_timestamps="true")
    words = [word for segment in done.json["segments"] for word in segment["words"]]
    assert words_of(" ".join(word["word"] for word in words)) == words_of(SENTENCE)
    assert words[0].keys() == {"word", "start", "end", "probability"}


@pytest.mark.parametrize("form", [".mp3", ".m4a", ".ogg", ".webm", ".flac", ".mp4"])
def test_silence_in_any_form_is_an_empty_text(client: FlaskClient, tmp_path: Path, form: str) -> None:
    done = send(client, sound(tmp_path, form, silence(1)), language="zh")
    assert (done.status_code, done.json["text"], done.json["segments"]) == (200, "", [])
    assert (done.json["language"], done.json["duration"]) == ("zh", pytest.approx(1, abs=0.2))


def test_who_does_not_wait_asks_again(client: FlaskClient, tmp_path: Path) -> None:
    begun = send(client, sound(tmp_path, ".wav", silence(1)), language="en", headers={"Prefer": "wait=0"})
    task = begun.json["task_id"]
    done = client.get(f"{ROUTE}/{task}").json
    assert (done["status"], done["progress"], done["text"]) == ("completed", 100, "")
    assert client.get(f"/api/jobs/{task}").json["result"]["duration"] == done["duration"]


def test_a_task_that_is_none_is_not_found(client: FlaskClient) -> None:
    assert client.get(f"{ROUTE}/nothing").status_code == 404
    assert client.get(f"{ROUTE}/nothing?format=doc").status_code == 422


def test_the_same_sound_under_one_key_is_one_job(client: FlaskClient, hearing: Services, tmp_path: Path) -> None:
    data, key = sound(tmp_path, ".wav", silence(1)), {"Idempotency-Key": "once"}
    one, two = (send(client, data, headers=key, language="en") for _ in range(2))
    assert one.json == two.json
    assert two.headers["Idempotent-Replayed"] == "true"
    assert send(client, data, headers=key, language="de").status_code == 422
    assert left(hearing) == []


def test_no_sound_is_a_bad_request(client: FlaskClient) -> None:
    for answer in (client.post(ROUTE), send(client), client.post(ROUTE, data={"audio": "a text"})):
        assert answer.status_code == 400
        assert answer.json["error"]["details"] == {"field": "audio", "reason": "required"}


def test_two_sounds_and_an_empty_one_are_bad_requests(client: FlaskClient, hearing: Services, tmp_path: Path) -> None:
    data = sound(tmp_path, ".wav", tone(1))
    assert send(client, data, data).status_code == 400
    assert send(client, b"").json["error"]["details"]["reason"] == "required"
    assert left(hearing) == []


@pytest.mark.parametrize(
    "data", [b"%PDF-1.7\n%\xe2\xe3\n", b"just some text\n" * 99, samples.png(8, 8, "x"), b"PK\x03\x04" + bytes(99)]
)
def test_what_is_no_sound_is_another_media_type(client: FlaskClient, hearing: Services, data: bytes) -> None:
    answer = send(client, data)
    assert (answer.status_code, answer.json["error"]["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert left(hearing) == []


def broken_sounds(folder: Path) -> dict[str, bytes]:
    """What looks like a sound and cannot be heard, by the reason that is told."""
    mp3 = sound(folder, ".mp3", tone(8))
    return {
        "truncated": mp3[: len(mp3) // 2],
        "broken": np.random.default_rng(3).bytes(20_000),
        "empty": quiet_wav(folder / "empty.wav", 0).read_bytes(),
        "no_sound": samples.mp4(),
        "too_long": sound(folder, ".mp3", silence(22)),
    }


@pytest.mark.parametrize("reason", ["truncated", "broken", "empty", "no_sound", "too_long"])
def test_what_cannot_be_heard_is_told(client: FlaskClient, hearing: Services, tmp_path: Path, reason: str) -> None:
    answer = send(client, broken_sounds(tmp_path)[reason])
    assert (answer.status_code, answer.json["error"]["code"]) == (422, "VALIDATION_ERROR")
    assert answer.json["error"]["details"] == {"field": "audio", "reason": reason}
    assert left(hearing) == []


def test_errors_speak_chinese_too(client: FlaskClient, tmp_path: Path) -> None:
    answer = send(client, broken_sounds(tmp_path)["too_long"], headers={"Accept-Language": "zh"})
    assert "音频超过" in answer.json["detail"]


def test_a_sound_over_the_limit_is_too_large(client: FlaskClient, hearing: Services, tmp_path: Path) -> None:
    answer = send(client, sound(tmp_path, ".wav", np.zeros(700_000)))
    assert (answer.status_code, answer.json["error"]["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert left(hearing) == []


@pytest.mark.parametrize(
    ("fields", "status", "field"),
    [
        ({"format": "xml"}, 422, "format"),
        ({"language": "klingon!"}, 422, "language"),
        ({"language": "tlh"}, 422, "language"),
        ({"word_timestamps": "perhaps"}, 422, "word_timestamps"),
        ({"model": "m" * 300}, 422, "model"),
    ],
)
def test_a_wrong_field_is_named(
    client: FlaskClient, hearing: Services, tmp_path: Path, fields: dict[str, str], status: int, field: str
) -> None:
    answer = send(client, sound(tmp_path, ".wav", tone(1)), **fields)
    assert (answer.status_code, answer.json["error"]["details"]["field"]) == (status, field)
    assert left(hearing) == []


@pytest.mark.parametrize(
    ("model", "status", "reason"),
    [
        ("huge", 404, "model_not_found"),
        ("demo", 404, "model_not_found"),
        ("openai/whisper-1", 404, "model_not_found"),
        ("large-v3", 503, "model_not_installed"),
    ],
)
def test_a_model_that_cannot_hear_makes_no_job(
    client: FlaskClient, hearing: Services, tmp_path: Path, model: str, status: int, reason: str
) -> None:
    answer = send(client, sound(tmp_path, ".wav", tone(1)), model=model)
    assert (answer.status_code, answer.json["error"]["details"]["reason"]) == (status, reason)
    assert client.get("/api/jobs").json["jobs"] == []
    assert left(hearing) == []


def test_an_empty_field_is_as_good_as_none(client: FlaskClient, tmp_path: Path) -> None:
    done = send(client, sound(tmp_path, ".wav", silence(1)), model="", language="")
    assert (done.status_code, done.json["language"]) == (200, None)


def test_a_token_is_wanted_where_tokens_are(hearing: Services) -> None:
    from dataclasses import replace

    closed = replace(hearing, settings=hearing.settings.model_copy(update={"auth": "required"}))
    assert create_app(services=closed).test_client().post(ROUTE).status_code == 401
