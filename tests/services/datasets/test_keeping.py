"""Data sets in their places, over both databases: nothing is overwritten, names are each owner's own."""

import os
import threading
import time
from pathlib import Path

import pytest

from services.assemble import Services
from services.contracts.datasets import Built, DatasetsQuery, ProcessRequest
from services.datasets.keeping import DatasetKeeper
from services.datasets.store import DatasetStore
from services.datasets.writing import draft
from services.errors import Malformed, NotFound
from services.tables.datasets import DatasetTable

FACTS = {"name": "金融", "format": "text", "file_kind": "json", "rows": 3, "version": 1, "columns": [{"name": "text"}]}


@pytest.fixture
def keeper(stored: Services) -> DatasetKeeper:
    return DatasetKeeper(stored.database, stored.settings)


@pytest.fixture
def store(stored: Services) -> DatasetStore:
    return DatasetStore(stored.database, stored.settings)


def add(keeper: DatasetKeeper, text: str = "[]", *, owner: str = "lin", name: str = "x.json") -> DatasetTable:
    keeper.root.mkdir(parents=True, exist_ok=True)
    file = keeper.root / f"sent-{threading.get_ident()}"
    file.write_text(text)
    return keeper.add_file(file, name, FACTS, owner=owner)


def process(keeper: DatasetKeeper, source: DatasetTable, *, owner: str = "lin", name: str = "out") -> DatasetTable:
    """A version with one file that names its owner."""
    splits = {"train": {"file": "train.jsonl", "rows": 1}}
    built = Built(card={"format": "text", "counts": {}, "splits": splits, "columns": []}, splits={"train": 1}, bytes=9)
    asked = ProcessRequest(dataset_id=source.id, output_name=name)
    with draft(keeper.root / "processed") as folder:
        (folder / "train.jsonl").write_text(owner)
        return keeper.add_version(folder, built, asked, source, owner=owner, job_id=None)[0]


def test_the_same_name_is_another_file(keeper: DatasetKeeper, store: DatasetStore) -> None:
    rows = [add(keeper, str(number)) for number in range(3)]
    assert [row.path for row in rows] == ["data/raw/x.json", "data/raw/x-2.json", "data/raw/x-3.json"]
    assert [store.located(row).parts["train"].read_text() for row in rows] == ["0", "1", "2"]


def test_another_owner_has_the_same_path_for_himself(keeper: DatasetKeeper, store: DatasetStore) -> None:
    lin, mo = add(keeper, "lin"), add(keeper, "mo", owner="mo")
    assert lin.path == mo.path
    for owner in ("lin", "mo"):
        assert store.locate("/datasets/x.json", owner=owner).parts["train"].read_text() == owner
        process(keeper, lin, owner=owner)
        assert store.locate("data/processed/out", owner=owner).parts["train"].read_text() == owner
    with pytest.raises(NotFound):
        store.find(lin.id, owner="mo")
    assert store.find(lin.id, owner=None).id == lin.id


def test_uploads_at_one_time_take_nothing_from_each_other(keeper: DatasetKeeper, store: DatasetStore) -> None:
    failed: list[Exception] = []

    def work(number: int) -> None:
        try:
            process(keeper, add(keeper, str(number)))
        except Exception as error:  # noqa: BLE001  The test tells of it.
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    page = store.page(DatasetsQuery(), owner="lin")
    assert page.count == 9
    raw = [store.locate(row.id, owner="lin").parts["train"].read_text() for row in page.datasets if row.kind == "raw"]
    assert sorted(raw) == [str(number) for number in range(8)]
    (made,) = [row for row in page.datasets if row.kind == "processed"]
    assert [version.version for version in store.versions(made.id)] == list(range(1, 9))
    assert made.version == 8


def test_an_older_version_stays_readable(keeper: DatasetKeeper, store: DatasetStore) -> None:
    source = add(keeper)
    process(keeper, source)
    made = process(keeper, source)
    assert (made.version, store.located(made).version, store.located(made, 1).version) == (2, 2, 1)
    assert store.located(made, 1).parts["train"].parent.name == "v1"
    with pytest.raises(NotFound):
        store.located(made, 3)


def test_the_operators_files_are_everybodys_and_are_left_alone(keeper: DatasetKeeper, store: DatasetStore) -> None:
    sample = keeper.root / "processed" / "sample"
    sample.mkdir(parents=True)
    (sample / "train.jsonl").write_text("by hand")
    for path in ("data/processed/sample", "/data/processed/sample", "sample", "/datasets/sample"):
        assert store.locate(path, owner="lin").parts == {"train": sample / "train.jsonl"}
    made = process(keeper, add(keeper), name="sample")
    assert (made.path, (sample / "train.jsonl").read_text()) == ("data/processed/sample", "by hand")
    assert store.locate("sample", owner="lin").id == made.id
    assert store.locate("sample", owner="mo").id == ""


def test_nobody_reads_anothers_folder_as_if_the_operator_had_made_it(
    keeper: DatasetKeeper, store: DatasetStore
) -> None:
    source = add(keeper)
    process(keeper, source)
    (keeper.root / "processed" / "link").symlink_to(keeper.root / "processed" / "out" / "v1")
    (keeper.root / "uploads").mkdir()
    (keeper.root / "uploads" / "x.jsonl").write_text("secret")
    made = ["out", "data/processed/out", "data/processed/out/v1", "data/processed/out/v1/train.jsonl"]
    for path in (*made, "data/raw/x.json", "x", "data/processed/link", "data/uploads/x.jsonl", "data/uploads"):
        with pytest.raises(NotFound):
            store.locate(path, owner="mo")


def test_the_nearest_meaning_of_a_name_counts(keeper: DatasetKeeper, store: DatasetStore) -> None:
    array, lines = add(keeper, name="x.json"), add(keeper, name="x.jsonl")
    assert store.find("x.json", owner="lin").id == array.id
    assert store.find("/datasets/x.jsonl", owner="lin").id == lines.id
    assert store.find("x", owner="lin").id == lines.id
    made = process(keeper, array, name="x")
    assert store.find("x", owner="lin").id == made.id
    assert store.find("data/raw/x.json", owner="lin").id == array.id
    assert store.find(lines.id, owner="lin").id == lines.id
    assert store.find("金融", owner="lin").id in {array.id, lines.id}


def test_a_link_out_of_the_data_is_refused(keeper: DatasetKeeper, store: DatasetStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "train.jsonl").write_text("secret")
    (keeper.root / "processed").mkdir(parents=True)
    (keeper.root / "processed" / "sly").symlink_to(outside)
    with pytest.raises(Malformed):
        store.locate("data/processed/sly", owner="lin")


def test_what_is_removed_leaves_nothing(keeper: DatasetKeeper, store: DatasetStore) -> None:
    source = add(keeper)
    for row in (process(keeper, source), source):
        keeper.remove(row)
    assert store.page(DatasetsQuery(), owner=None).count == 0
    assert [path for path in keeper.root.rglob("*") if path.is_file()] == []
    assert add(keeper).path == "data/raw/x.json"


def test_drafts_of_dead_processes_are_swept(keeper: DatasetKeeper) -> None:
    for name, age_seconds in ((".part-old", 90_000), (".part-new", 0), ("mine", 90_000)):
        folder = keeper.root / "processed" / name
        folder.mkdir(parents=True)
        at = time.time() - age_seconds
        os.utime(folder, (at, at))
    assert keeper.sweep() == 1
    assert sorted(path.name for path in (keeper.root / "processed").iterdir()) == [".part-new", "mine"]
