"""COCO's names in Chinese, in whatever spelling a model has them."""

import pytest

from services.labels import CHINESE, OTHER_NAMES, are_of_coco, in_chinese, own_label


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
    assert in_chinese(label) == chinese


@pytest.mark.parametrize(
    ("labels", "are"),
    [
        (("N/A", "person", "N/A", "sofa", "tvmonitor"), True),
        (("__background__", *CHINESE), True),
        (("person", "Egyptian cat"), False),
        (("kite", "mouse", *(f"bird {number}" for number in range(998))), False),
        ((), False),
    ],
)
def test_whose_labels_are_cocos(labels: tuple[str, ...], are: bool) -> None:
    assert are_of_coco(labels) is are


@pytest.mark.parametrize(
    ("name", "label"),
    [("person", "person"), (" PERSON ", "person"), ("人", "person"), ("couch", "sofa"), ("沙发", "sofa"), ("x", None)],
)
def test_what_somebody_means(name: str, label: str | None) -> None:
    assert own_label(name, ["person", "sofa"]) == label
