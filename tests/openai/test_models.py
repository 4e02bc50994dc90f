"""Models through OpenAI's package."""

import asyncio

import openai
import pytest
import requests

from tests.live import LiveServer
from tests.openai.conftest import Target, async_sdk

LIST, SHOW, REMOVE = "GET /v1/models", "GET /v1/models/{model}", "DELETE /v1/models/{model}"


@pytest.mark.proves(LIST, "the whole catalog, with `capabilities` as an extra key")
def test_list(sdk: openai.OpenAI) -> None:
    models = {model.id: model for model in sdk.models.list()}
    demo = models["demo"]
    assert (demo.object, demo.owned_by) == ("model", "demo") and isinstance(demo.created, int)
    assert "chat" in demo.model_dump()["capabilities"]
    assert {"smollm2-135m-instruct", "whisper-base", "qwen-turbo", "gpt-4o"} <= models.keys()


@pytest.mark.proves(LIST, "asynchronous")
def test_async(target: Target) -> None:
    async def names() -> list[str]:
        async with async_sdk(target) as client:
            return [model.id async for model in client.models.list()]

    assert "demo" in asyncio.run(names())


@pytest.mark.parametrize("name", ["gpt-4o", "openai/gpt-4o", "local/smollm2-135m-instruct", "qwen/qwen-plus"])
@pytest.mark.proves(SHOW, "by id or `provider/model`, whose slash comes encoded")
def test_show(sdk: openai.OpenAI, name: str) -> None:
    assert sdk.models.retrieve(name).id == name.rpartition("/")[2]


@pytest.mark.parametrize("name", ["nobody-has-this", "openai/qwen-plus", "../etc/passwd", "ft:x:y:z:0", "a\u0000b"])
@pytest.mark.proves(SHOW, "`NotFoundError` for what nobody has")
def test_unknown(sdk: openai.OpenAI, name: str) -> None:
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve(name)


@pytest.mark.proves(REMOVE, "`PermissionDeniedError` for a model of the catalog, whose weights an admin may remove")
def test_remove(own: LiveServer, sdk: openai.OpenAI) -> None:
    headers = own.login()
    user = {"username": "mary", "password": "a-long-password-1", "role": "user"}
    assert requests.post(f"{own.url}/api/auth/users", json=user, headers=headers, timeout=30).status_code == 200
    token = requests.post(
        f"{own.url}/api/v1/login", json={"username": "mary", "password": "a-long-password-1"}, timeout=30
    ).json()["token"]
    with pytest.raises(openai.PermissionDeniedError):
        sdk.with_options(api_key=token).models.delete("smollm2-135m-instruct")
    with pytest.raises(openai.NotFoundError):  # It has no weights here.
        sdk.models.delete("demo")
