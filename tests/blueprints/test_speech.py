"""Speech over HTTP: the documented answer, the job behind it, and a clear error for what cannot be said."""

import threading
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from backend.app import create_app
from services.assemble import Services
from services.settings import Settings
from tests.voices import decode

ROUTE = "/api/audio/synthesize"
DOCUMENTED = {"task_id", "status", "audio_url", "duration"}
HELLO = {"text": "Hello there.", "voice": "espeak-en"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"auth": "open"})


@pytest.fixture
def app(speaking: Services) -> Flask:
    return create_app(services=speaking)


def say(client: FlaskClient, *, headers: dict[str, str] | None = None, **fields: Any) -> TestResponse:
    return client.post(ROUTE, json=HELLO | fields, headers=headers or {})


def left(services: Services) -> list[Path]:
    return list(services.files.folder("audio").glob("*"))


def test_a_text_is_answered_as_documented(client: FlaskClient, tmp_path: Path) -> None:
    body = {"text": "你好，世界！", "voice": "default-female", "language": "zh", "speed": 1.0, "pitch": 0}
    done = client.post(ROUTE, json=body)
    assert done.status_code == 200
    assert done.json.keys() >= DOCUMENTED
    assert (done.json["status"], done.json["language"], done.json["gender"]) == ("completed", "zh", "female")
    sound = client.get(done.json["audio_url"])
    assert (sound.status_code, sound.mimetype) == (200, "audio/mpeg")
    (tmp_path / "x.mp3").write_bytes(sound.data)
    samples, rate = decode(tmp_path / "x.mp3")
    assert done.json["duration"] == pytest.approx(len(samples) / rate, abs=0.03)


@pytest.mark.parametrize(("form", "media_type"), [("mp3", "audio/mpeg"), ("WAV", "audio/wav"), ("ogg", "audio/ogg")])
def test_the_format_is_chosen(client: FlaskClient, form: str, media_type: str) -> None:
    done = say(client, format=form)
    assert done.json["audio_url"].endswith(f".{form.lower()}")
    assert client.get(done.json["audio_url"]).mimetype == media_type


def test_a_part_of_the_sound_can_be_had(client: FlaskClient) -> None:
    part = client.get(say(client).json["audio_url"], headers={"Range": "bytes=0-99"})
    assert (part.status_code, len(part.data)) == (206, 100)


def test_who_does_not_wait_gets_a_task(client: FlaskClient, speaking: Services) -> None:
    begun = say(client, headers={"Prefer": "respond-async"})
    assert begun.status_code == 202
    assert begun.json | {"task_id": "", "progress": 0} == {
        "task_id": "",
        "status": "processing",
        "audio_url": None,
        "progress": 0,
    }
    assert begun.headers["Location"] == f"/api/jobs/{begun.json['task_id']}"
    speaking.jobs.wait(begun.json["task_id"], 30)
    done = client.get(f"{ROUTE}/{begun.json['task_id']}").json
    assert (done["status"], done["progress"], done["model"]) == ("completed", 100, "espeak-en")


def test_the_same_key_is_one_task(client: FlaskClient, speaking: Services) -> None:
    one, two = (say(client, headers={"Idempotency-Key": "once"}) for _ in range(2))
    assert (one.json, two.headers["Idempotent-Replayed"]) == (two.json, "true")
    assert say(client, headers={"Idempotency-Key": "once"}, speed=2).status_code == 422
    assert len(left(speaking)) == 1


def test_unknown_fields_are_ignored_and_model_names_a_voice(client: FlaskClient) -> None:
    done = client.post(ROUTE, json={"text": "Hello", "model": "espeak-de", "emotion": "happy"})
    assert (done.status_code, done.json["model"]) == (200, "espeak-de")


def test_text_of_one_character_is_enough(client: FlaskClient) -> None:
    assert say(client, text="a").json["duration"] > 0


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"text": ""}, "text", "required"),
        ({"text": "a" * 20_001}, "text", "string_too_long"),
        ({"text": None}, "text", "string_type"),
        ({"text": 5}, "text", "string_type"),
        ({"text": ["a"]}, "text", "string_type"),
        ({"text": " \n "}, "text", "nothing_to_say"),
        ({"text": "…"}, "text", "nothing_to_say"),
        ({"speed": 0}, "speed", "greater_than_equal"),
        ({"speed": 5}, "speed", "less_than_equal"),
        ({"speed": "fast"}, "speed", "float_parsing"),
        ({"pitch": 25}, "pitch", "less_than_equal"),
        ({"pitch": -25}, "pitch", "greater_than_equal"),
        ({"format": "midi"}, "format", "literal_error"),
        ({"format": 3}, "format", "literal_error"),
        ({"voice": "x" * 300}, "voice", "string_too_long"),
        ({"voice": 5}, "voice", "string_type"),
        ({"language": "klingon-as-she-is-spoken"}, "language", "unknown_language"),
        ({"language": "xx", "voice": None}, "language", "unknown_language"),
        ({"language": "zh"}, "language", "other_language"),
        ({"model_id": "espeak-de"}, "voice", "conflict"),
    ],
)
def test_a_wrong_field_is_named(
    client: FlaskClient, speaking: Services, fields: dict[str, Any], field: str, reason: str
) -> None:
    refused = say(client, **fields)
    assert refused.status_code == 422
    assert refused.json["error"]["details"] == {"field": field, "reason": reason}
    assert left(speaking) == []


def test_without_a_text_it_is_required(client: FlaskClient) -> None:
    refused = client.post(ROUTE, json={"voice": "espeak-en"})
    assert (refused.status_code, refused.json["error"]["details"]) == (422, {"field": "text", "reason": "required"})


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_number_that_is_none_is_refused(client: FlaskClient, number: str) -> None:
    refused = client.post(ROUTE, data=f'{{"text": "a", "speed": {number}}}', content_type="application/json")
    assert refused.status_code in (400, 422)


def test_half_a_character_is_refused(client: FlaskClient) -> None:
    refused = client.post(
        ROUTE, data='{"text": "\\ud800 hello", "voice": "espeak-en"}', content_type="application/json"
    )
    assert refused.status_code in (400, 422)


@pytest.mark.parametrize(
    ("data", "media_type", "status"),
    [(b"", "application/json", 400), (b"{", "application/json", 400), (b"text=a", "text/plain", 415)],
)
def test_a_body_that_is_none_is_told(client: FlaskClient, data: bytes, media_type: str, status: int) -> None:
    assert client.post(ROUTE, data=data, content_type=media_type).status_code == status


def test_a_voice_that_nobody_has_is_told_in_both_languages(client: FlaskClient) -> None:
    english, chinese = (say(client, voice="nobody", headers={"Accept-Language": tag}) for tag in ("en", "zh"))
    assert english.status_code == chinese.status_code == 404
    assert "nobody" in english.json["detail"]
    assert "不存在" in chinese.json["detail"]


def test_a_voice_that_is_not_installed_says_the_command(client: FlaskClient) -> None:
    refused = say(client, voice="mms-tts-fra")
    assert refused.status_code == 503
    assert refused.json["error"]["details"]["command"] == "flask models pull mms-tts-fra"


def test_a_task_of_another_kind_is_none(client: FlaskClient) -> None:
    assert client.get(f"{ROUTE}/nobody").status_code == 404


def test_two_at_once_both_speak(app: Flask) -> None:
    answers: list[Any] = []
    texts = {"espeak-en": "Hello there.", "piper-en-us-joe": "Hello there, how are you?"}
    threads = [
        threading.Thread(
            target=lambda voice=voice: answers.append(say(app.test_client(), voice=voice, text=texts[voice]))
        )
        for voice in [*texts] * 2
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 4
    assert len({answer.json["audio_url"] for answer in answers}) == 4


def test_a_cancelled_task_leaves_nothing(client: FlaskClient, speaking: Services) -> None:
    long = {"text": "One more sentence. " * 1000, "voice": "espeak-en"}
    task = client.post(ROUTE, json=long, headers={"Prefer": "respond-async"}).json["task_id"]
    assert client.post(f"/api/jobs/{task}/cancel").status_code == 200
    assert speaking.jobs.wait(task, 20).status == "canceled"
    assert left(speaking) == []
