"""Requests in the job table: they come back as they were, and their secrets are sealed."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, SecretStr

from services.compute.packing import Packer
from services.settings import Settings


class Part(BaseModel):
    kind: Literal["text", "image"] = Field("text", alias="type")
    tags: set[str] = set()


class Whole(BaseModel):
    key: SecretStr | None = None
    keys: dict[str, SecretStr] = {}
    parts: list[Part] = []
    path: Path = Path("a/b")
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    id: UUID = UUID(int=7)
    text: str = "汉字"


@pytest.fixture
def packer(settings: Settings) -> Packer:
    return Packer(settings)


def test_a_request_comes_back_as_it_was(packer: Packer) -> None:
    request = Whole(key="one", keys={"a": "two"}, parts=[{"type": "image", "tags": ["b", "a"]}], text="汉字 \x00 😀")
    packed = packer.pack(request)
    assert packer.unpack(Whole, packed) == request
    assert "one" not in str(packed) and "two" not in str(packed)


def test_the_same_request_has_the_same_fingerprint(packer: Packer) -> None:
    first, second = (
        Whole(key="k", parts=[{"tags": ["b", "a"]}], text=""),
        Whole(key="k", parts=[{"tags": ["a", "b"]}], text=""),
    )
    assert packer.fingerprint("f", first) == packer.fingerprint("f", second)


@pytest.mark.parametrize("change", [{"key": "other"}, {"path": "c"}, {"keys": {"x": "y"}}])
def test_another_request_has_another_fingerprint(packer: Packer, change: dict[str, object]) -> None:
    plain = Whole(key="k", text="")
    assert packer.fingerprint("f", plain) != packer.fingerprint("f", Whole(**{"key": "k", "text": ""} | change))
    assert packer.fingerprint("f", plain) != packer.fingerprint("g", plain)


def test_what_is_not_json_names_the_remedy(packer: Packer) -> None:
    class Odd(BaseModel):
        data: bytes = b"\xff"

    with pytest.raises(TypeError) as caught:
        packer.pack(Odd())
    assert "path" in str(caught.value.__cause__)
