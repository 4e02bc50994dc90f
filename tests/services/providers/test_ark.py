"""Ark's own ways: thinking that has to be switched off, and a filter that speaks at the end."""

from collections.abc import Callable

import pytest

from services.contracts.chat import ChatModel, ChatRequest, join_deltas
from services.contracts.models import ChatFlags
from services.outbound import Outbound
from services.providers import find_provider
from tests.fakes.vendor import VendorFake

HELLO = ChatRequest(messages=[{"role": "user", "content": "Hi"}])
Make = Callable[..., ChatModel]


@pytest.fixture
def chat(outbound: Outbound, ark_fake: VendorFake) -> Make:
    """Makes a chat model of Ark's by its name."""
    kind = find_provider("ark")
    assert kind
    provider = kind(outbound, key=ark_fake.key, base_url=ark_fake.base_url, trusted=True)

    def make(model: str, flags: ChatFlags | None = None) -> ChatModel:
        return provider.chat(model, flags or ChatFlags())

    return make


@pytest.mark.parametrize(("thinking", "sent"), [("optional", {"type": "disabled"}), ("none", None), ("only", None)])
def test_thinking_is_off_where_it_can_be(
    chat: Make, ark_fake: VendorFake, thinking: str, sent: dict[str, str] | None
) -> None:
    chat("plain", ChatFlags(thinking=thinking)).reply(HELLO)
    assert ark_fake.requests[0].json.get("thinking") == sent


def test_moderated_text_says_so(chat: Make) -> None:
    assert chat("moderated").reply(HELLO).finish_reason == "content_filter"
    assert join_deltas(chat("moderated").stream(HELLO), model="").finish_reason == "content_filter"
