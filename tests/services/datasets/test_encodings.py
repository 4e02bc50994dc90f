"""Encodings are found by themselves, and what is no text is marked."""

import codecs
from itertools import chain, repeat

import pytest

from services.datasets import encodings
from services.datasets.encodings import MARKER

CHINESE = "问题,回答\n什么是量子计算？,量子计算是一种利用量子力学原理进行信息处理的计算方式。\n" * 50


def text_of(data: bytes, size: int = 7) -> tuple[str, str]:
    blocks = [data[at : at + size] for at in range(0, len(data), size)]
    encoding = encodings.detect([data])
    return encoding, "".join(encodings.decoded(blocks, encoding))


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (CHINESE.encode(), "utf-8"),
        (codecs.BOM_UTF8 + CHINESE.encode(), "utf-8"),
        (CHINESE.encode("gb18030"), "gb18030"),
        (CHINESE.encode("gbk"), "gb18030"),
        (codecs.BOM_UTF16_LE + CHINESE.encode("utf-16-le"), "utf-16-le"),
        (codecs.BOM_UTF16_BE + CHINESE.encode("utf-16-be"), "utf-16-be"),
        (("a,b\n" * 100 + CHINESE).encode("utf-16-le"), "utf-16-le"),
        (("a,b\n" * 100 + CHINESE).encode("utf-16-be"), "utf-16-be"),
    ],
)
def test_the_encoding_is_found(data: bytes, encoding: str) -> None:
    found, text = text_of(data)
    assert found == encoding
    assert text.endswith(CHINESE) and MARKER not in text


def test_ascii_is_utf_8() -> None:
    assert text_of(b"a,b\n1,2\n") == ("utf-8", "a,b\n1,2\n")


def test_characters_that_come_late_count() -> None:
    late = chain(repeat(b"a,b\n" * 250_000, 5), [CHINESE.encode("gb18030")])
    assert encodings.detect(late) == "gb18030"


def test_a_character_beyond_gbk_is_read() -> None:
    assert text_of("𠮷野家,好".encode("gb18030") * 50)[1] == "𠮷野家,好" * 50


def test_a_broken_byte_spoils_its_place_alone() -> None:
    whole = CHINESE.encode()
    encoding, text = text_of(whole[:300] + b"\xff" + whole[300:])
    assert encoding == "utf-8"
    assert 0 < text.count(MARKER) <= 6 and text.replace(MARKER, "")[-1000:] == CHINESE[-1000:]


def test_half_a_character_at_the_end_is_marked() -> None:
    assert text_of(CHINESE.encode() + "好".encode()[:2])[1].endswith(MARKER)


def test_utf_8_goes_through_as_it_is() -> None:
    data = CHINESE.encode() + b"\xff"
    assert b"".join(encodings.as_utf_8([codecs.BOM_UTF8 + data], "utf-8")) == data


def test_others_become_utf_8() -> None:
    data = CHINESE.encode("gb18030")
    assert b"".join(encodings.as_utf_8([data[:33], data[33:]], "gb18030")) == CHINESE.encode()
