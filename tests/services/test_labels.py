"""COCO's names in Chinese, in whatever spelling a model has them."""

import pytest

from services.labels import CHINESE, OTHER_NAMES, in_language, own_label


def test_all_eighty_have_a_chinese_name_of_their_own() -> None:
    assert len(CHINESE) == 80 == len(set(CHINESE.values()))
    assert set(OTHER_NAMES.values()) <= set(CHINESE)


@pytest.mark.parametrize(
    ("label", "chinese"),
    [
        ("person", "人"),
        ("Person", "人"),
        ("motorbike", "摩托车"),
        ("tvmonitor", "电视"),
        ("Egyptian cat", "Egyptian cat"),
    ],
)
def test_a_label_in_chinese(label: str, chinese: str) -> None:
    assert in_language(label, "zh") == chinese
    assert in_language(label, "en") == label


@pytest.mark.parametrize(
    ("name", "label"),
    [("person", "person"), (" PERSON ", "person"), ("人", "person"), ("couch", "sofa"), ("沙发", "sofa"), ("x", None)],
)
def test_what_somebody_means(name: str, label: str | None) -> None:
    assert own_label(name, ["person", "sofa"]) == label
