"""Which provider an address means, with which model and key."""

import pytest
from pydantic import SecretStr

from services.annotations import endpoints
from services.contracts.annotations import AnnotationRequest
from services.settings import Settings

OPENAI = "https://api.openai.com/v1/chat/completions"


def find(url: str, settings: Settings, **words: str) -> endpoints.Endpoint:
    key = SecretStr(words.pop("api_key", ""))
    asked = AnnotationRequest(endpoint=url, api_key=key, file_names=["a"], **words)  # type: ignore[arg-type]
    return endpoints.find(asked, settings)


@pytest.mark.parametrize(
    ("url", "provider", "model"),
    [
        (OPENAI, "openai", "gpt-4-vision-preview"),
        ("https://api.anthropic.com/v1/messages", "anthropic", "claude-3-opus-20240229"),
        ("https://proxy.example.com/claude/v1/messages", "anthropic", "claude-3-opus-20240229"),
        (
            "https://dashscope.aliyuncs.com/api/v1/services/aigc/multimodal-generation/generation",
            "dashscope",
            "qwen-vl-plus",
        ),
        ("https://proxy.example.com/services/aigc/multimodal-generation/generation", "dashscope", "qwen-vl-plus"),
        ("https://dashscope.aliyuncs.com/compatible-mode/v1/chat/completions", "openai", "qwen-vl-plus"),
        ("https://vllm.example.com/anything", "openai", "gpt-4-vision-preview"),
        ("demo", "demo", "demo"),
        (" DEMO ", "demo", "demo"),
    ],
)
def test_the_address_says_who_is_asked(settings: Settings, url: str, provider: str, model: str) -> None:
    found = find(url, settings)
    assert (found.provider, found.model) == (provider, model)


def test_the_model_is_the_requests_then_the_settings(settings: Settings) -> None:
    preset = settings.model_copy(update={"default_model": "preset"})
    assert find(OPENAI, preset).model == "preset"
    assert find(OPENAI, preset, model="mine").model == "mine"


def test_the_operators_key_goes_to_the_operators_address_alone(settings: Settings) -> None:
    keyed = settings.model_copy(
        update={
            "openai_api_key": "sk-openai",
            "default_api_endpoint": "https://eye.example.com/see",
            "default_api_key": "sk-default",
        }
    )
    assert (find(OPENAI, keyed).key, find(OPENAI, keyed).trusted) == ("sk-openai", True)
    assert find("https://eye.example.com/see", keyed).key == "sk-default"
    for elsewhere in (f"{OPENAI}?x=1", "https://api.openai.com.evil.example/v1/chat/completions", f"{OPENAI}/"):
        assert (find(elsewhere, keyed).key, find(elsewhere, keyed).trusted) == ("", False)
    assert find(OPENAI, keyed, api_key="sk-mine").key == "sk-mine"


def test_a_key_is_not_shown(settings: Settings) -> None:
    assert "sk-mine" not in repr(find(OPENAI, settings, api_key="sk-mine"))
