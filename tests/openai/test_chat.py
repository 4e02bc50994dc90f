"""Chat through OpenAI's package: whole, streamed, with tools, pictures and formats, by sync and async clients."""

import asyncio
import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.fakes import samples
from tests.fakes.vendor import VendorFake
from tests.openai.conftest import Target, async_sdk

CHAT = "POST /v1/chat/completions"
HELLO: list[Any] = [{"role": "user", "content": "Say hello."}]
WEATHER: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)


class City(BaseModel):
    name: str
    people: int


@pytest.mark.proves(CHAT, "whole, with usage and a request id")
def test_whole(sdk: openai.OpenAI, chat_model: str) -> None:
    answer = sdk.chat.completions.create(model=chat_model, messages=HELLO, max_completion_tokens=8, temperature=0)
    choice = answer.choices[0]
    assert answer.object == "chat.completion" and answer.model == chat_model
    assert choice.message.role == "assistant" and choice.message.content
    assert choice.finish_reason in {"stop", "length"}
    assert answer.usage and 0 < answer.usage.completion_tokens <= 8
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id


@pytest.mark.proves(CHAT, "streamed: the role first, usage last with `choices: []`")
def test_streamed(sdk: openai.OpenAI, chat_model: str) -> None:
    stream = sdk.chat.completions.create(
        model=chat_model, messages=HELLO, max_tokens=8, stream=True, stream_options={"include_usage": True}
    )
    first, *middle, last = list(stream)
    assert first.choices[0].delta.role == "assistant" and not first.choices[0].delta.content
    assert "".join(chunk.choices[0].delta.content or "" for chunk in middle)
    assert [chunk.choices[0].finish_reason for chunk in middle][-1] in {"stop", "length"}
    assert last.choices == [] and last.usage and last.usage.completion_tokens > 0
    assert all(chunk.usage is None for chunk in (first, *middle))
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in (first, *middle, last)}) == 1


def test_a_stream_without_usage_has_no_such_chunk(sdk: openai.OpenAI, chat_model: str) -> None:
    stream = sdk.chat.completions.create(model=chat_model, messages=HELLO, max_tokens=2, stream=True)
    assert all(len(chunk.choices) == 1 and chunk.usage is None for chunk in stream)


@pytest.mark.proves(CHAT, "asynchronous, whole and streamed")
def test_async(target: Target, chat_model: str) -> None:
    async def talk() -> tuple[str | None, str]:
        async with async_sdk(target) as client:
            whole = await client.chat.completions.create(model=chat_model, messages=HELLO, max_tokens=4)
            stream = await client.chat.completions.create(model=chat_model, messages=HELLO, max_tokens=4, stream=True)
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
        return whole.choices[0].message.content, "".join(pieces)

    whole, pieces = asyncio.run(talk())
    assert whole and pieces


@pytest.mark.proves(CHAT, "`seed` and `temperature: 0` give the same text again")
def test_seed(sdk: openai.OpenAI, chat_model: str) -> None:
    texts = {
        sdk.chat.completions.create(model=chat_model, messages=HELLO, max_tokens=12, seed=7, temperature=0)
        .choices[0]
        .message.content
        for _ in range(2)
    }
    assert len(texts) == 1


@pytest.mark.proves(CHAT, "`stop` ends the text before it")
def test_stop(sdk: openai.OpenAI, chat_model: str) -> None:
    answer = sdk.chat.completions.create(
        model=chat_model, messages=HELLO, max_tokens=40, stop=["e", "!"], temperature=0
    )
    assert answer.choices[0].finish_reason == "stop"
    assert not {"e", "!"} & set(answer.choices[0].message.content or "")


@pytest.mark.proves(CHAT, "`logprobs` and `top_logprobs`, whole and streamed")
def test_logprobs(sdk: openai.OpenAI, chat_model: str) -> None:
    asked: dict[str, Any] = {
        "model": chat_model, "messages": HELLO, "max_tokens": 3, "logprobs": True, "top_logprobs": 2,
        "temperature": 0,
    }  # fmt: skip
    whole = sdk.chat.completions.create(**asked).choices[0].logprobs
    assert whole and whole.content and len(whole.content) == 3
    assert all(len(token.top_logprobs) == 2 and token.logprob <= 0 for token in whole.content)
    streamed = [
        token.token
        for chunk in sdk.chat.completions.create(**asked, stream=True)
        if (told := chunk.choices[0].logprobs)
        for token in told.content or ()
    ]
    assert len(streamed) == 3


@pytest.mark.proves(CHAT, "`response_format` with a JSON schema, parsed by the package")
def test_json_schema(sdk: openai.OpenAI, chat_model: str) -> None:
    answer = sdk.chat.completions.parse(
        model=chat_model,
        messages=[{"role": "user", "content": "Paris has 2 million people. As JSON."}],
        response_format=City,
        max_tokens=60,
        temperature=0,
    )
    assert isinstance(answer.choices[0].message.parsed, City)


@pytest.mark.proves(CHAT, "`response_format: json_object`")
def test_json_object(sdk: openai.OpenAI, chat_model: str) -> None:
    answer = sdk.chat.completions.create(
        model=chat_model,
        messages=[{"role": "user", "content": 'Answer with {"a": 1} only.'}],
        response_format={"type": "json_object"},
        max_tokens=80,
        temperature=0,
    )
    text = answer.choices[0].message.content or ""
    assert text.lstrip().startswith("{")
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(text), dict)


@pytest.mark.proves(CHAT, "tools of a local model, called by `tool_choice: required`")
def test_local_tools(sdk: openai.OpenAI, chat_model: str) -> None:
    answer = sdk.chat.completions.create(
        model=chat_model,
        messages=[{"role": "user", "content": "What is the weather in Berlin?"}],
        tools=WEATHER,
        tool_choice="required",
        max_tokens=80,
        temperature=0,
    )
    choice = answer.choices[0]
    assert choice.finish_reason in {"tool_calls", "length"}
    if choice.finish_reason == "tool_calls":
        (call, *_) = choice.message.tool_calls or []
        assert call.id and call.function.name == "weather" and json.loads(call.function.arguments)


@pytest.mark.proves(CHAT, "tools of a provider, and their results")
def test_tools(sdk: openai.OpenAI, upstream: VendorFake) -> None:
    messages: list[Any] = [{"role": "user", "content": "Weather?"}]
    first = sdk.chat.completions.create(model="openai/gpt-4o", messages=messages, tools=WEATHER)
    (call,) = first.choices[0].message.tool_calls or []
    assert first.choices[0].finish_reason == "tool_calls" and first.choices[0].message.content is None
    assert call.type == "function" and json.loads(call.function.arguments) == {"city": "杭州"}
    messages += [
        first.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    second = sdk.chat.completions.create(model="openai/gpt-4o", messages=messages, tools=WEATHER)
    assert second.choices[0].message.content == samples.TEXT
    assert upstream.requests[-1].json["messages"][-1]["content"] == "sunny"


@pytest.mark.proves(CHAT, "tool calls streamed, gathered by the package's own helper")
@pytest.mark.parametrize("model", ["openai/gpt-4o@parallel-tools", "openai/gpt-4o@repeated-id"])
def test_streamed_tools(sdk: openai.OpenAI, upstream: VendorFake, model: str) -> None:
    with sdk.chat.completions.stream(model=model, messages=HELLO, tools=WEATHER) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls or []
    assert [call.id for call in calls] == ["call_1a", "call_2b"][: len(calls)] and calls
    assert all(call.function.name == "weather" and json.loads(call.function.arguments) for call in calls)
    assert final.choices[0].finish_reason == "tool_calls"


@pytest.mark.proves(CHAT, "image parts reach the model")
def test_image_parts(sdk: openai.OpenAI, upstream: VendorFake) -> None:
    content: list[Any] = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
    ]
    answer = sdk.chat.completions.create(model="openai/gpt-4o", messages=[{"role": "user", "content": content}])
    assert answer.choices[0].message.content == samples.TEXT
    assert upstream.requests[-1].json["messages"][0]["content"] == content


@pytest.mark.proves(CHAT, "`reasoning_content`, whole and streamed")
def test_reasoning(sdk: openai.OpenAI, upstream: VendorFake) -> None:
    whole = sdk.chat.completions.create(model="openai/gpt-4o@reasoning", messages=HELLO)
    assert getattr(whole.choices[0].message, "reasoning_content", None) == samples.REASONING
    stream = sdk.chat.completions.create(model="openai/gpt-4o@reasoning", messages=HELLO, stream=True)
    thoughts = [getattr(chunk.choices[0].delta, "reasoning_content", None) or "" for chunk in stream]
    assert "".join(thoughts) == samples.REASONING


@pytest.mark.proves(CHAT, 'a finish reason is never the string "null"')
def test_null_finish(sdk: openai.OpenAI, upstream: VendorFake) -> None:
    stream = sdk.chat.completions.create(model="openai/gpt-4o@null-finish", messages=HELLO, stream=True)
    reasons = [chunk.choices[0].finish_reason for chunk in stream]
    assert reasons[-1] == "stop" and set(reasons[:-1]) == {None}


@pytest.mark.proves(CHAT, "what a provider knows is handed on")
def test_sampling_reaches_the_provider(sdk: openai.OpenAI, upstream: VendorFake) -> None:
    sdk.chat.completions.create(
        model="openai/gpt-4o",
        messages=HELLO,
        top_p=0.5,
        presence_penalty=0.1,
        frequency_penalty=-0.1,
        logit_bias={"1": 5},
        seed=3,
        n=1,
        stop="x",
        max_completion_tokens=5,
        parallel_tool_calls=False,
        user="me",
        tools=WEATHER,
    )
    sent = upstream.requests[-1].json
    wanted = {"top_p": 0.5, "presence_penalty": 0.1, "frequency_penalty": -0.1, "seed": 3, "stop": "x"}
    assert wanted.items() <= sent.items()
    assert sent["logit_bias"] == {"1": 5} and sent["max_tokens"] == 5 and sent["parallel_tool_calls"] is False
    assert "n" not in sent and "stream" not in sent and "max_completion_tokens" not in sent


@pytest.mark.proves(CHAT, "an error in the middle of a stream is raised")
def test_an_error_in_the_stream(sdk: openai.OpenAI, upstream: VendorFake) -> None:
    with pytest.raises(openai.APIError) as raised:
        list(sdk.chat.completions.create(model="openai/gpt-4o@mid-error", messages=HELLO, stream=True))
    assert raised.value.message and raised.value.type == "server_error"
    assert raised.value.code == "upstream_error"
