"""Who answers a user for a model's name, with what that user configured."""

from dataclasses import replace

import pytest

from services import routes
from services.assemble import Services
from services.contracts.configurations import ConfigurationRequest, ConfigurationView
from services.contracts.models import Ability
from services.domains import configurations
from services.errors import Invalid, NotFound, Unavailable

LIN = "user-1"


def make(services: Services, provider: str = "qwen", **changes: object) -> ConfigurationView:
    request = ConfigurationRequest(**{"name": "mine", "provider": provider, "api_key": "sk-0123456789", **changes})
    return configurations.create(request, services=services, owner=LIN)


def resolve(services: Services, name: str | None, ability: Ability = "chat", owner: str = LIN) -> routes.Route:
    return routes.resolve(name, ability, services=services, owner=owner)


def with_setting(services: Services, **changes: str) -> Services:
    settings = services.settings.model_copy(update=changes)
    services.catalog._settings = settings
    return replace(services, settings=settings)


def name_of(route: routes.Route) -> str | None:
    return route.credentials and route.credentials.name


@pytest.mark.parametrize("name", ["qwen-turbo", "qwen/qwen-turbo", "dashscope/qwen-turbo", "qwen-of-tomorrow"])
def test_an_active_configuration_goes_along(services: Services, name: str) -> None:
    assert resolve(services, name).credentials is None
    make(services)
    assert name_of(resolve(services, name)) == "mine"
    assert resolve(services, name).provider == "dashscope"
    assert resolve(services, name, owner="user-2").credentials is None


@pytest.mark.parametrize("name", ["demo", "doubao/doubao-seed-1-6", "gpt-4o"])
def test_another_provider_s_does_not(services: Services, name: str) -> None:
    make(services)
    assert resolve(services, name).credentials is None


def test_one_that_is_not_active_does_not(services: Services) -> None:
    make(services, is_active=False)
    assert resolve(services, "qwen-turbo").credentials is None


def test_its_name_is_a_provider_though_it_is_not_active(services: Services) -> None:
    make(services, is_active=False, model="qwen-plus")
    for name, upstream in (("mine", "qwen-plus"), ("mine/qwen-max", "qwen-max"), ("mine/a/b", "a/b")):
        route = resolve(services, name)
        assert (route.name, route.provider, route.upstream_model, name_of(route)) == (
            name,
            "dashscope",
            upstream,
            "mine",
        )


def test_a_name_may_hold_a_slash_and_the_longer_one_wins(services: Services) -> None:
    make(services, name="lab", is_active=False)
    make(services, name="lab/vllm", is_active=False)
    assert name_of(resolve(services, "lab/vllm/llama")) == "lab/vllm"
    assert name_of(resolve(services, "lab/llama")) == "lab"


def test_of_two_of_one_name_the_active_one_answers(services: Services) -> None:
    make(services, model="first", is_active=True)
    make(services, model="second", is_active=False)
    assert resolve(services, "mine").upstream_model == "first"


def test_a_model_s_id_and_a_provider_s_name_come_before_a_configuration_s(services: Services) -> None:
    make(services, name="qwen-turbo", provider="doubao", model="x")
    make(services, name="openai", provider="doubao", model="x")
    assert resolve(services, "qwen-turbo").provider == "dashscope"
    assert resolve(services, "openai/gpt-4o").provider == "openai"


def test_a_name_comes_before_a_prefix(services: Services) -> None:
    make(services, name="gpt-proxy", provider="doubao", model="doubao-seed-1-6", is_active=False)
    assert resolve(services, "gpt-proxy").provider == "ark"


@pytest.mark.parametrize("name", ["mine", "nobody/x", "mine-not/x", "mi", "mine/", "x" * 300, "a\nb"])
def test_nobody_answers_for_any_other_name(services: Services, name: str) -> None:
    make(services)
    with pytest.raises(NotFound):
        resolve(services, name)


def test_nothing_named_and_nothing_there(services: Services) -> None:
    with pytest.raises(Unavailable):
        resolve(services, None)
    with pytest.raises(Unavailable):
        resolve(services, None, "text-to-image")


def test_nothing_named_takes_what_the_user_configured(services: Services) -> None:
    make(services, name="paints", model="a-painter-of-tomorrow")
    make(services, name="vllm", provider="openai", model="llama")
    assert name_of(resolve(services, None)) == "vllm"
    assert name_of(resolve(services, None, "text-to-image")) == "paints"


def test_a_configuration_without_a_model_takes_its_provider_s_first(services: Services) -> None:
    make(services)
    route = resolve(services, None)
    assert (route.provider, route.upstream_model, name_of(route)) == ("dashscope", "qwen-turbo", "mine")


def test_a_user_s_key_comes_before_the_operator_s(services: Services) -> None:
    operated = with_setting(services, openai_api_key="sk-operator", dashscope_api_key="sk-operator")
    assert resolve(operated, None).credentials is None
    make(services, provider="doubao", model="doubao-seed-1-6-251015", name="own")
    assert name_of(resolve(operated, None)) == "own"


def test_the_setting_comes_before_all(services: Services) -> None:
    operated = with_setting(services, default_chat_model="qwen/qwen-max", dashscope_api_key="sk-operator")
    make(services, provider="openai", model="llama", name="vllm")
    assert resolve(operated, None).upstream_model == "qwen-max"
    make(services, name="own qwen")
    assert name_of(resolve(operated, None)) == "own qwen"


def test_one_configuration_by_its_id(services: Services) -> None:
    made = make(services, model="qwen-image", is_active=False)
    bare = make(services, provider="doubao", is_active=False)
    named = routes.configured(made.id, None, services=services, owner=LIN)
    assert (named.provider, named.upstream_model) == ("dashscope", "qwen-image")
    assert routes.configured(made.id, "wan-x", services=services, owner=LIN).upstream_model == "wan-x"
    with pytest.raises(Invalid):
        routes.configured(bare.id, None, services=services, owner=LIN)
    for config_id, owner in ((made.id, "user-2"), ("config-0123456789abcdef", LIN), ("", LIN)):
        with pytest.raises(NotFound):
            routes.configured(config_id, "x", services=services, owner=owner)
