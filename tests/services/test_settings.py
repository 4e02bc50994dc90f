"""Settings that would not do what their operator means are refused at the start, with the remedy."""

import pytest
from pydantic import ValidationError

from services.settings import Settings


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("secret_key", "change-me", "remove it to have one made"),
        ("engine_url", "https://engines.example.com", "begins with http://"),
        ("engine_url", "engines.example.com:8001", "begins with http://"),
    ],
)
def test_what_cannot_be_meant_is_refused(setting: str, value: str, remedy: str) -> None:
    with pytest.raises(ValidationError, match=remedy):
        Settings(_env_file=None, **{setting: value})


def test_an_address_may_end_with_a_slash() -> None:
    assert Settings(_env_file=None, engine_url="http://127.0.0.1:8001/").engine_url == "http://127.0.0.1:8001"
