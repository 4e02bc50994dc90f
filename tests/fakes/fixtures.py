"""Fixtures for every test that wants a vendor: `pytest_plugins = ["tests.fakes.fixtures"]`.

Each fake listens for the whole session and is reset for each test; a test fails when a fake's own
handler broke during it.
"""

import os
from collections.abc import Iterator

import pytest

from tests.fakes.anthropic import AnthropicFake
from tests.fakes.ark import ArkFake
from tests.fakes.dashscope import DashScopeFake
from tests.fakes.openai import OpenAIFake
from tests.fakes.vendor import VendorFake


@pytest.fixture(scope="session")
def vendor_fakes() -> Iterator[dict[str, VendorFake]]:
    """All four fakes by vendor, listening; proxies of the environment are passed by."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("NO_PROXY", "no_proxy"):
            patch.setenv(name, ",".join(filter(None, [os.environ.get(name), "127.0.0.1,localhost"])))
        fakes = {"openai": OpenAIFake(), "dashscope": DashScopeFake(), "ark": ArkFake(), "anthropic": AnthropicFake()}
        for fake in fakes.values():
            fake.start()
        yield fakes
        for fake in fakes.values():
            fake.stop()


def _for_one_test(fake: VendorFake) -> Iterator[VendorFake]:
    fake.reset()
    yield fake
    broken = list(fake.broken)
    fake.reset()
    assert not broken, f"the fake itself broke: {broken}"


@pytest.fixture
def openai_fake(vendor_fakes: dict[str, VendorFake]) -> Iterator[VendorFake]:
    """OpenAI, reset."""
    yield from _for_one_test(vendor_fakes["openai"])


@pytest.fixture
def dashscope_fake(vendor_fakes: dict[str, VendorFake]) -> Iterator[VendorFake]:
    """DashScope, reset."""
    yield from _for_one_test(vendor_fakes["dashscope"])


@pytest.fixture
def ark_fake(vendor_fakes: dict[str, VendorFake]) -> Iterator[VendorFake]:
    """Volcengine Ark, reset."""
    yield from _for_one_test(vendor_fakes["ark"])


@pytest.fixture
def anthropic_fake(vendor_fakes: dict[str, VendorFake]) -> Iterator[VendorFake]:
    """Anthropic, reset."""
    yield from _for_one_test(vendor_fakes["anthropic"])
