"""Providers are found by their files, and opened with the operator's key at the operator's address."""

import pytest

from services.errors import Invalid, Unavailable
from services.outbound import Outbound
from services.providers import all_providers, find_provider, open_provider, providers_with_key
from services.settings import Settings


def test_every_file_of_the_package_is_found() -> None:
    names = [provider.name for provider in all_providers()]
    assert sorted(names) == ["anthropic", "ark", "dashscope", "demo", "openai", "openai_like"]


@pytest.mark.parametrize(("alias", "name"), [("qwen", "dashscope"), ("doubao", "ark"), ("openai", "openai")])
def test_a_provider_is_known_by_its_aliases(alias: str, name: str) -> None:
    found = find_provider(alias)
    assert found
    assert found.name == name


def test_nobody_is_called_so() -> None:
    assert find_provider("nobody") is None


def test_settings_that_providers_name_exist() -> None:
    named = {name for kind in all_providers() for name in (kind.key_setting, kind.url_setting) if name}
    assert named <= set(Settings.model_fields)


def test_the_operators_key_goes_to_the_operators_address(upstream_settings: Settings, outbound: Outbound) -> None:
    settings = upstream_settings.model_copy(update={"openai_api_key": "sk-op", "openai_base_url": "http://here/v1"})
    provider = open_provider("openai", settings, outbound)
    assert (provider.key, provider.base_url, provider.trusted) == ("sk-op", "http://here/v1", True)
    assert providers_with_key(settings) == ["openai"]


def test_without_a_key_the_setting_is_named(upstream_settings: Settings, outbound: Outbound) -> None:
    with pytest.raises(Unavailable, match="ANTHROPIC_API_KEY") as raised:
        open_provider("anthropic", upstream_settings, outbound)
    assert raised.value.details["reason"] == "no_api_key"


@pytest.mark.parametrize("key", ["sk-a\r\nX-Admin: 1", "sk-a\n", "密钥", "sk-\x00"])
def test_a_key_cannot_smuggle_headers(outbound: Outbound, key: str) -> None:
    kind = find_provider("openai")
    assert kind
    with pytest.raises(Invalid) as raised:
        kind(outbound, key=key, base_url="http://127.0.0.1:1")
    assert raised.value.field == "api_key"
    assert key not in raised.value.say("en")
