"""Completions through OpenAI's package."""

import asyncio
from typing import Any

import openai
import pytest

from tests.openai.conftest import Target, async_sdk

COMPLETIONS = "POST /v1/completions"
START = "The capital of France is"


@pytest.mark.proves(COMPLETIONS, "a text is gone on with, not answered")
def test_a_text_goes_on(sdk: openai.OpenAI, chat_model: str) -> None:
    answer = sdk.completions.create(model=chat_model, prompt=START, max_tokens=8, temperature=0)
    assert answer.object == "text_completion"
    assert "Paris" in answer.choices[0].text and answer.choices[0].finish_reason == "length"
    # Five words, and none of a chat's template.
    assert answer.usage and answer.usage.prompt_tokens < 8 and answer.usage.completion_tokens == 8


@pytest.mark.proves(COMPLETIONS, "streamed, usage last")
def test_streamed(sdk: openai.OpenAI, chat_model: str) -> None:
    asked: dict[str, Any] = {"model": chat_model, "prompt": START, "max_tokens": 6, "temperature": 0}
    *chunks, last = sdk.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    whole = sdk.completions.create(**asked).choices[0].text
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole
    assert chunks[-1].choices[0].finish_reason == "length"
    assert last.choices == [] and last.usage and last.usage.completion_tokens == 6


@pytest.mark.proves(COMPLETIONS, "asynchronous")
def test_async(target: Target, chat_model: str) -> None:
    async def go_on() -> str:
        async with async_sdk(target) as client:
            answer = await client.completions.create(model=chat_model, prompt=START, max_tokens=3)
        return answer.choices[0].text

    assert asyncio.run(go_on())


@pytest.mark.proves(COMPLETIONS, "several prompts, `echo`")
def test_several_prompts(sdk: openai.OpenAI, chat_model: str) -> None:
    prompts = ["One, two,", "Red, green,"]
    answer = sdk.completions.create(model=chat_model, prompt=prompts, max_tokens=3, echo=True)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert all(choice.text.startswith(prompt) for choice, prompt in zip(answer.choices, prompts, strict=True))
    assert answer.usage and answer.usage.completion_tokens == 6


@pytest.mark.proves(COMPLETIONS, "`logprobs`")
def test_logprobs(sdk: openai.OpenAI, chat_model: str) -> None:
    answer = sdk.completions.create(model=chat_model, prompt=START, max_tokens=2, temperature=0, logprobs=2)
    told = answer.choices[0].logprobs
    assert told and told.tokens and len(told.tokens) == 2 and told.top_logprobs
    assert "".join(told.tokens) == answer.choices[0].text
    assert all(len(token) == 2 for token in told.top_logprobs)


@pytest.mark.proves(COMPLETIONS, "a model that knows only chats answers the text")
def test_a_chat_model_elsewhere(sdk: openai.OpenAI) -> None:
    assert "hello" in sdk.completions.create(model="demo", prompt="hello", max_tokens=50).choices[0].text


@pytest.mark.parametrize(
    "sent", [{"prompt": ""}, {"prompt": []}, {"prompt": ["a", ""]}, {"prompt": [1, 2]}, {"n": 2}, {"suffix": "x"}]
)
@pytest.mark.proves(COMPLETIONS, "`BadRequestError` for tokens, `n`, `best_of` and `suffix`")
def test_refused(sdk: openai.OpenAI, sent: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        sdk.completions.create(**{"model": "demo", "prompt": "x", **sent})
    assert raised.value.param == next(iter(sent))
