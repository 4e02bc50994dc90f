"""Stored keys: what is sealed opens under the same secret alone, and is never shown whole."""

import pytest

from services.encryption import Unreadable, decrypt, encrypt, mask
from services.settings import Settings

KEY = "sk-0123456789abcdef"


def test_what_is_sealed_opens_again(settings: Settings) -> None:
    assert decrypt(encrypt(KEY, settings), settings) == KEY


def test_sealing_hides_the_key_and_twice_is_not_alike(settings: Settings) -> None:
    first, second = encrypt(KEY, settings), encrypt(KEY, settings)
    assert KEY not in first
    assert first != second


def test_no_key_stays_none(settings: Settings) -> None:
    assert encrypt("", settings) == ""
    assert decrypt("", settings) == ""


def test_another_secret_names_the_remedy(settings: Settings) -> None:
    sealed = encrypt(KEY, settings)
    other = settings.model_copy(update={"secret_key": "another-secret-of-this-test-0123456789"})
    with pytest.raises(Unreadable) as caught:
        decrypt(sealed, other)
    assert "SECRET_KEY" in caught.value.say("en") and "SECRET_KEY" in caught.value.say("zh")
    assert "save the key again" in caught.value.say("en")


@pytest.mark.parametrize("spoil", [lambda text: text[:-2], lambda text: "x" + text, lambda text: "not sealed at all"])
def test_what_was_changed_does_not_open(settings: Settings, spoil: object) -> None:
    with pytest.raises(Unreadable):
        decrypt(spoil(encrypt(KEY, settings)), settings)  # type: ignore[operator]


def test_a_job_s_secrets_are_sealed_under_another_key(settings: Settings) -> None:
    """One secret, two labels: what the job table holds does not open as a stored key."""
    from pydantic import BaseModel, SecretStr

    from services.compute.packing import SEALED, Packer

    class Parameters(BaseModel):
        key: SecretStr

    packed = Packer(settings).pack(Parameters(key=SecretStr(KEY)))
    with pytest.raises(Unreadable):
        decrypt(packed["key"][SEALED], settings)


@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("", ""),
        ("x", "…"),
        ("sk-12345678", "…"),
        (KEY, "sk-…cdef"),
        ("0f8b2c64-1111-2222-3333-444455556666", "0f8…6666"),
    ],
)
def test_a_key_is_shown_by_its_ends(key: str, shown: str) -> None:
    assert mask(key) == shown
