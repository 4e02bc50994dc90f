"""The shapes of a described picture, and that data sets read them."""

import pytest

from services.annotations.formats import WRITERS, Example, row
from services.contracts.annotations import DatasetFormat, Format
from services.datasets import formats

CAT = Example("ab.jpg", "Be brief.", "What is this?", "A cat.")
CONVERSATIONS: list[Format] = ["openai", "sharegpt", "llava", "alpaca"]


def test_openai_has_messages_with_image_parts() -> None:
    system, user, assistant = row(CAT, "openai")["messages"]
    assert (system["content"], assistant) == ("Be brief.", {"role": "assistant", "content": "A cat."})
    assert user["content"][1] == {"type": "image_url", "image_url": {"url": "images/ab.jpg"}}


def test_llava_has_an_id_an_image_and_two_turns() -> None:
    made = row(CAT, "llava")
    assert (made["id"], made["image"]) == ("ab", "images/ab.jpg")
    assert made["conversations"][0] == {"from": "human", "value": "<image>\nWhat is this?"}


def test_sharegpt_and_alpaca_list_their_images() -> None:
    assert row(CAT, "sharegpt")["images"] == row(CAT, "alpaca")["images"] == ["images/ab.jpg"]


def test_labels_are_the_class_of_a_picture() -> None:
    made = row(Example("ab.jpg", "", "Which animal?", " cat\n"), "labels")
    assert made == {"image": "images/ab.jpg", "label": "cat"}
    assert formats.of_keys(made) == "image_label"


@pytest.mark.parametrize("shape", CONVERSATIONS)
def test_the_data_sets_read_each_shape(shape: Format) -> None:
    made = row(CAT, shape)
    found = formats.messages(made, formats.of_keys(made))
    assert isinstance(found, list)
    assert [message["role"] for message in found] == ["system", "user", "assistant"]


@pytest.mark.parametrize("shape", WRITERS)
def test_a_demonstration_says_so(shape: DatasetFormat) -> None:
    assert row(Example("a.jpg", "", "?", "!", demo=True), shape)["demo"] is True
    assert "demo" not in row(CAT, shape)
