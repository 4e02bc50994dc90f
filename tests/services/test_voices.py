"""Which voice speaks, by name, language and gender."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.assemble import Services, assemble
from services.contracts.speech import SpeechRequest
from services.errors import Invalid, NotFound, ServiceError, Unavailable
from services.settings import Settings
from services.voices import Voice, choose


@pytest.fixture
def bare(settings: Settings) -> Iterator[Services]:
    """Services without any model; espeak-ng is always there."""
    assembled = assemble(settings)
    yield assembled
    assembled.close()


def chosen(services: Services, text: str = "hello", **wanted: Any) -> tuple[str, str, str | None]:
    voice: Voice = choose(SpeechRequest.model_validate({"text": text, **wanted}), services=services)
    return voice.row.id, voice.language, voice.gender


def refusal(services: Services, **wanted: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        chosen(services, **wanted)
    return caught.value


@pytest.mark.parametrize(
    ("wanted", "voice"),
    [
        ({}, ("piper-en-us-joe", "en", "male")),
        ({"voice": ""}, ("piper-en-us-joe", "en", "male")),
        ({"voice": "default-male"}, ("piper-en-us-joe", "en", "male")),
        ({"voice": "default-female"}, ("espeak-en", "en", "female")),
        ({"voice": "default-female", "language": "en-US"}, ("espeak-en-us", "en-us", "female")),
        ({"voice": "default-female", "language": "zh"}, ("espeak-cmn", "zh", "female")),
        ({"voice": "default-male", "language": "zh-CN"}, ("espeak-cmn", "zh", "male")),
        ({"language": "zh-HK"}, ("espeak-yue", "yue", "female")),
        ({"language": "auto", "text": "你好"}, ("espeak-cmn", "zh", "female")),
        ({"text": "Привет"}, ("espeak-ru", "ru", "female")),
        ({"language": "fr-CA"}, ("espeak-fr", "fr-ca", "female")),
        ({"language": "pt-BR"}, ("espeak-pt-br", "pt-br", "female")),
        ({"voice": "espeak-zh"}, ("espeak-cmn", "zh", "female")),
        ({"voice": "local/espeak-de"}, ("espeak-de", "de", "female")),
        ({"model": "espeak-de"}, ("espeak-de", "de", "female")),
        ({"model_id": "espeak-de", "voice": "default-male"}, ("espeak-de", "de", "male")),
        ({"model_id": "espeak-de", "voice": "espeak-de"}, ("espeak-de", "de", "female")),
        ({"voice": "piper-en-us-joe", "language": "en-GB"}, ("piper-en-us-joe", "en-gb", "male")),
    ],
)
def test_names_find_voices(hearing: Services, wanted: dict[str, Any], voice: tuple[str, str, str]) -> None:
    assert chosen(hearing, **wanted) == voice


def test_without_trained_voices_the_synthetic_one_speaks(bare: Services) -> None:
    assert chosen(bare) == ("espeak-en", "en", "female")


def test_a_voice_that_is_not_installed_says_the_command(bare: Services) -> None:
    error = refusal(bare, voice="piper-en-us-joe")
    assert isinstance(error, Unavailable)
    assert error.details["command"] == "flask models pull piper-en-us-joe"


@pytest.mark.parametrize(
    "name", ["nobody", "default-child", "qwen-turbo", "openai/tts-1", "gpt-4o", "../x", "a\0b", "é" * 256]
)
@pytest.mark.parametrize("field", ["voice", "model_id"])
def test_a_voice_that_nobody_has_is_not_found(bare: Services, field: str, name: str) -> None:
    assert isinstance(refusal(bare, **{field: name}), NotFound)


@pytest.mark.parametrize("name", ["smollm2-135m-instruct", "whisper-base", "demo"])
def test_what_does_not_speak_is_no_voice(hearing: Services, name: str) -> None:
    assert isinstance(refusal(hearing, voice=name), NotFound)


@pytest.mark.parametrize("tag", ["xx", "english!", "zz-ZZ", "123", "../etc", "'; DROP"])
def test_a_language_that_nobody_speaks_is_told(bare: Services, tag: str) -> None:
    error = refusal(bare, language=tag)
    assert isinstance(error, Invalid)
    assert error.details == {"field": "language", "reason": "unknown_language"}


def test_a_voice_of_another_language_is_told(hearing: Services) -> None:
    error = refusal(hearing, voice="piper-en-us-joe", language="zh")
    assert isinstance(error, Invalid)
    assert error.details == {"field": "language", "reason": "other_language"}


def test_two_names_for_two_voices_are_told(hearing: Services) -> None:
    error = refusal(hearing, voice="espeak-fr", model_id="espeak-de")
    assert isinstance(error, Invalid)
    assert error.details == {"field": "voice", "reason": "conflict"}


def test_a_voice_put_there_by_hand_speaks_its_language(settings: Settings, tiny_vits: Path) -> None:
    assembled = assemble(settings.model_copy(update={"models_dir": tiny_vits}))
    try:
        assert chosen(assembled, language="en") == ("tiny-vits", "en", None)
        assert chosen(assembled, language="en", voice="default-female")[0] == "espeak-en"
    finally:
        assembled.close()
