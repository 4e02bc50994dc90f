"""Embeddings through OpenAI's package."""

import asyncio
from typing import Any

import openai
import pytest

from tests.fakes import samples
from tests.fakes.vendor import VendorFake
from tests.openai.conftest import Target, async_sdk

EMBEDDINGS = "POST /v1/embeddings"


def length(vector: list[float]) -> float:
    return sum(number * number for number in vector) ** 0.5


@pytest.mark.proves(EMBEDDINGS, "a text, and several, as base64 (the package's default)")
def test_texts(sdk: openai.OpenAI, embedding_model: str) -> None:
    one = sdk.embeddings.create(model=embedding_model, input="a cat")
    several = sdk.embeddings.create(model=embedding_model, input=["a cat", "a kitten", "taxes"])
    assert one.object == "list" and one.model == embedding_model and one.usage.prompt_tokens > 0
    assert [each.index for each in several.data] == [0, 1, 2]
    assert several.data[0].embedding == pytest.approx(one.data[0].embedding, abs=1e-5)
    assert length(one.data[0].embedding) == pytest.approx(1, abs=1e-4)


@pytest.mark.proves(EMBEDDINGS, "`encoding_format: float`")
def test_floats(sdk: openai.OpenAI, embedding_model: str) -> None:
    floats = sdk.embeddings.create(model=embedding_model, input="a cat", encoding_format="float")
    packed = sdk.embeddings.create(model=embedding_model, input="a cat", encoding_format="base64")
    assert isinstance(floats.data[0].embedding, list) and isinstance(packed.data[0].embedding, str)


@pytest.mark.proves(EMBEDDINGS, "asynchronous, many at once")
def test_async(target: Target, embedding_model: str) -> None:
    async def embed() -> list[Any]:
        async with async_sdk(target) as client:
            return await asyncio.gather(
                *(client.embeddings.create(model=embedding_model, input=f"text {number}") for number in range(8))
            )

    assert len({tuple(answer.data[0].embedding[:4]) for answer in asyncio.run(embed())}) == 8


@pytest.mark.proves(EMBEDDINGS, "arrays of tokens of the model's own tokenizer")
def test_tokens(sdk: openai.OpenAI, embedding_model: str) -> None:
    assert len(sdk.embeddings.create(model=embedding_model, input=[1037, 4937]).data) == 1
    assert len(sdk.embeddings.create(model=embedding_model, input=[[1037, 4937], [1037]]).data) == 2


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": "a\0b"}, "input"),
        ({"input": [999_999]}, "input"),
        ({"input": "word " * 3000}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"dimensions": 7}, "dimensions"),
        ({"encoding_format": "int8"}, "encoding_format"),
    ],
    ids=["empty", "none", "one-empty", "nul", "foreign-token", "long", "many", "dimensions", "format"],
)
@pytest.mark.proves(EMBEDDINGS, "`BadRequestError` for what is empty, too long, or not supported")
def test_refused(sdk: openai.OpenAI, embedding_model: str, sent: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        sdk.embeddings.create(**{"model": embedding_model, "input": "x", **sent})
    assert str(raised.value.param).startswith(param)


@pytest.mark.proves(EMBEDDINGS, "a provider's model, with `dimensions`")
def test_a_provider(sdk: openai.OpenAI, upstream: VendorFake) -> None:
    answer = sdk.embeddings.create(model="text-embedding-3-small", input=["a", "b"], dimensions=3)
    assert [each.embedding for each in answer.data] == [samples.VECTOR, samples.VECTOR]
    assert upstream.requests[-1].json["dimensions"] == 3


@pytest.mark.proves(EMBEDDINGS, "`NotFoundError` for a model that does not embed")
def test_a_chat_model(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        sdk.embeddings.create(model="demo", input="x")
