"""Language tags in one form, and languages told by their letters."""

import pytest

from services.languages import canonical, guess, primary, shown


@pytest.mark.parametrize(
    ("tag", "form"),
    [
        ("zh", "cmn"),
        ("zh-CN", "cmn"),
        ("zh_TW", "cmn"),
        ("ZH-hk", "yue"),
        ("eng", "en"),
        ("en_US", "en-us"),
        ("spa-mx", "es-mx"),
        ("xx", "xx"),
    ],
)
def test_one_language_has_one_form(tag: str, form: str) -> None:
    assert canonical(tag) == form


@pytest.mark.parametrize("tag", ["", "x", "english please", "../../etc", "e n", "zh\0", "1234", "a" * 35])
def test_what_is_no_tag_has_none(tag: str) -> None:
    assert canonical(tag) is None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Hello", "en"),
        ("你好 world", "cmn"),
        ("東京へ行く", "ja"),
        ("안녕하세요", "ko"),
        ("Привет", "ru"),
        ("Привіт", "uk"),
        ("Γειά", "el"),
        ("שלום", "he"),
        ("مرحبا", "ar"),
        ("नमस्ते", "hi"),
        ("สวัสดี", "th"),
        ("Tiếng Việt", "vi"),
        ("123", "en"),
    ],
)
def test_letters_tell_the_language(text: str, language: str) -> None:
    assert guess(text) == language


def test_people_read_tags_as_they_write_them() -> None:
    assert (shown("cmn"), shown("fr"), primary("en-us")) == ("zh", "fr", "en")
