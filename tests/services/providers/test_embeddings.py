"""Embeddings of the providers: OpenAI's protocol, DashScope's own, and those that have none."""

from typing import Any

import pytest

from services.contracts.embeddings import EmbeddingModel, EmbeddingRequest, to_base64, to_floats
from services.errors import Invalid, NotFound, UpstreamBusy, UpstreamFailed
from services.outbound import Outbound
from services.providers import find_provider
from tests.fakes import samples
from tests.fakes.connection import RecordedRequest, Reply
from tests.fakes.vendor import VendorFake


def model(name: str, fake: VendorFake, outbound: Outbound, called: str = "text-embedding-3-small") -> EmbeddingModel:
    kind = find_provider(name)
    assert kind
    return kind(outbound, key=fake.key, base_url=fake.base_url, trusted=True).embeddings(called)


def ask(**changes: Any) -> EmbeddingRequest:
    return EmbeddingRequest.model_validate({"input": ["a", "b"], **changes})


def test_numbers_survive_their_form() -> None:
    assert to_floats(to_base64([0.5, -2, 0])) == [0.5, -2, 0]


@pytest.mark.parametrize(("name", "fixture"), [("openai", "openai_fake"), ("ark", "ark_fake")])
def test_openais_protocol(name: str, fixture: str, request: pytest.FixtureRequest, outbound: Outbound) -> None:
    fake: VendorFake = request.getfixturevalue(fixture)
    found = model(name, fake, outbound).embed(ask(dimensions=3), owner="lin")
    assert [to_floats(vector) for vector in found.vectors] == [samples.VECTOR] * 2
    assert found.prompt_tokens > 0
    sent = fake.requests[0].json
    assert (sent["input"], sent["dimensions"], sent["encoding_format"]) == (["a", "b"], 3, "float")


def test_rows_are_put_in_order_and_may_be_base64(openai_fake: VendorFake, outbound: Outbound) -> None:
    def answer(fake: VendorFake, request: RecordedRequest) -> Reply:
        rows = [{"index": 1, "embedding": to_base64([1.0])}, {"index": 0, "embedding": [0.5]}]
        return fake.reply({"data": rows, "usage": {"total_tokens": 7}})

    openai_fake.add_route("POST", "/v1/embeddings", answer)
    found = model("openai", openai_fake, outbound).embed(ask(), owner="lin")
    assert ([to_floats(vector) for vector in found.vectors], found.prompt_tokens) == ([[0.5], [1.0]], 7)


def test_dashscope_takes_ten_texts_a_call(dashscope_fake: VendorFake, outbound: Outbound) -> None:
    asked = ask(input=[f"text {number}" for number in range(23)], dimensions=3)
    found = model("dashscope", dashscope_fake, outbound, "text-embedding-v4").embed(asked, owner="lin")
    sent = [request.json for request in dashscope_fake.requests]
    assert [len(body["input"]["texts"]) for body in sent] == [10, 10, 3]
    assert sent[0]["parameters"] == {"dimension": 3}
    assert len(found.vectors) == 23 and found.prompt_tokens == 9


def test_dashscope_takes_no_tokens(dashscope_fake: VendorFake, outbound: Outbound) -> None:
    with pytest.raises(Invalid):
        model("dashscope", dashscope_fake, outbound).embed(ask(input=[1, 2]), owner="lin")
    assert dashscope_fake.requests == []


@pytest.mark.parametrize(
    ("behaviour", "kind"), [("error-401", UpstreamFailed), ("error-429", UpstreamBusy), ("error-404", NotFound)]
)
@pytest.mark.parametrize(("name", "fixture"), [("openai", "openai_fake"), ("dashscope", "dashscope_fake")])
def test_refusals(
    name: str, fixture: str, behaviour: str, kind: type[Exception], request: pytest.FixtureRequest, outbound: Outbound
) -> None:
    fake: VendorFake = request.getfixturevalue(fixture)
    with pytest.raises(kind) as raised:
        model(name, fake, outbound, f"text-embedding@{behaviour}").embed(ask(), owner="lin")
    assert fake.key not in str(raised.value)


def test_a_provider_without_them(anthropic_fake: VendorFake, outbound: Outbound) -> None:
    with pytest.raises(NotFound):
        model("anthropic", anthropic_fake, outbound)
