"""A data set out of rows that a program has."""

from pathlib import Path

import pytest

from services.assemble import Services
from services.datasets import making
from services.datasets.reading import Limits, Source
from services.datasets.store import DatasetStore
from services.errors import Invalid
from tests.fakes import samples

ROWS = [{"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": f"{n}"}]} for n in range(5)]


def rows_of(services: Services, dataset_id: str) -> list[object]:
    found = DatasetStore(services.database, services.settings).locate(dataset_id, owner="lin")
    return [row for _, row in Source(found.parts["train"], Limits.of(services.settings)).rows()]


def test_rows_become_a_data_set(services: Services) -> None:
    made = making.from_rows(iter(ROWS), name="照片描述", services=services, owner="lin", description="d")
    assert (made.path, made.format, made.samples_count) == ("data/raw/照片描述.jsonl", "messages", 5)
    assert rows_of(services, made.id) == ROWS
    assert list((services.settings.data_dir / "raw").glob(".*")) == []


def test_pictures_come_along(services: Services, tmp_path: Path) -> None:
    picture = tmp_path / "cat.png"
    picture.write_bytes(samples.png(8, 8, "cat"))
    rows = [{"image": f"{number}.png", "text": f"cat {number}"} for number in range(3)]
    pictures = {f"{number}.png": picture for number in range(3)}
    made = making.from_rows(rows, name="cats", services=services, owner="lin", pictures=pictures)
    assert (made.path, made.format, made.samples_count) == ("data/raw/cats.zip", "image_text", 3)
    assert rows_of(services, made.id) == rows
    again = making.from_rows(rows, name="cats", services=services, owner="lin", pictures=pictures)
    store = DatasetStore(services.database, services.settings)
    assert store.locate(again.id, owner="lin").sha256 == store.locate(made.id, owner="lin").sha256


def test_no_rows_are_no_data_set(services: Services) -> None:
    with pytest.raises(Invalid):
        making.from_rows([], name="empty", services=services, owner="lin")
    assert list((services.settings.data_dir / "raw").iterdir()) == []
