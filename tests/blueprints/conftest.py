"""What tests of routes share."""

from collections.abc import Callable

import pytest


@pytest.fixture
def headers(login: Callable[..., dict[str, str]]) -> dict[str, str]:
    """What the admin sends."""
    return login()
