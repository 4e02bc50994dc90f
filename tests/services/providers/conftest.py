"""Every provider at its vendor's fake, under one name: `place.chat("cut")` is a chat model that misbehaves so."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from services.contracts.chat import ChatModel
from services.contracts.models import ChatFlags
from services.outbound import Outbound
from services.providers import find_provider
from services.providers.base import Provider
from services.settings import Settings
from tests.fakes.vendor import VendorFake

VENDORS = ("openai", "openai_like", "ark", "dashscope", "anthropic")


@dataclass
class Place:
    """One provider, the fake that it calls, and its vendor's words."""

    name: str
    fake: VendorFake
    outbound: Outbound

    def provider(self, key: str | None = None) -> Provider:
        """The provider with the good key, or with *key*."""
        kind = find_provider(self.name)
        assert kind
        wanted = self.fake.key if key is None else key
        return kind(self.outbound, key=wanted, base_url=self.fake.base_url, trusted=True)

    def chat(self, model: str, flags: ChatFlags | None = None, key: str | None = None) -> ChatModel:
        """The chat model *model*, whose name the fake reads as a behaviour."""
        return self.provider(key).chat(model, flags or ChatFlags())

    @property
    def sent(self) -> dict[str, object]:
        """The last body that the vendor got."""
        return self.fake.requests[-1].json


@pytest.fixture
def upstream_settings(tmp_path: Path) -> Settings:
    """Short waits and no retries; a test that wants others says so."""
    return Settings(
        _env_file=None,
        instance_dir=tmp_path,
        upstream_connect_seconds=2,
        upstream_first_byte_seconds=5,
        upstream_idle_seconds=5,
        upstream_answer_seconds=5,
        upstream_retries=0,
    )


@pytest.fixture
def outbound(upstream_settings: Settings) -> Outbound:
    return Outbound(upstream_settings)


def _fake(request: pytest.FixtureRequest, name: str) -> VendorFake:
    vendor = "openai" if name == "openai_like" else name
    found: VendorFake = request.getfixturevalue(f"{vendor}_fake")
    return found


@pytest.fixture(params=VENDORS)
def place(request: pytest.FixtureRequest, outbound: Outbound) -> Place:
    """Each vendor in turn."""
    return Place(request.param, _fake(request, request.param), outbound)
