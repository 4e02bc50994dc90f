"""Pictures with a class each, out of every form that a data set of them has."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from services.assemble import Services
from services.compute.progress import Job
from services.contracts.datasets import DatasetUpload, ProcessRequest
from services.datasets.labelled_pictures import Labelled, LabelledPictures, open_pictures
from services.datasets.store import DatasetStore, Located
from services.domains import datasets
from services.errors import Invalid, NotFound
from services.settings import Settings
from tests.taught_pictures import colour_files, coloured, put_folder, zipped

LIN = "lin"


class LinsJob(Job):
    owner = LIN


def sent(services: Services, data: bytes, **more: Any) -> Located:
    kept = services.files.keep(data, "uploads", ".data", owner=LIN)
    asked = DatasetUpload(file=kept.name, file_name="x.zip", sha256="0", name="x", **more)
    made = datasets.upload(asked, services=services, job=LinsJob())
    return located(services, made.id)


def located(services: Services, reference: str, owner: str = LIN) -> Located:
    return DatasetStore(services.database, services.settings).locate(reference, owner=owner)


def opened(dataset: Located) -> LabelledPictures:
    return open_pictures(dataset, Settings(_env_file=None))


def told(dataset: Located) -> list[tuple[str, str, str]]:
    with opened(dataset) as found:
        return [(one.name, one.label, one.part) for one in found.pictures]


def counted(dataset: Located) -> Counter[tuple[str, str]]:
    with opened(dataset) as found:
        return Counter((one.part, one.label) for one in found.pictures)


def test_a_zip_of_folders(services: Services) -> None:
    with opened(sent(services, zipped(colour_files(2)))) as found:
        assert [one.label for one in found.pictures] == ["blue", "blue", "green", "green", "red", "red"]
        assert found.data(found.pictures[3]) == coloured("green", 1)


def test_folders_around_those_of_the_classes_tell_the_parts(services: Services) -> None:
    files = {f"pets/{part}/{label}/1.jpg": coloured(label, 1) for part in ("Train", "val", "test")
             for label in ("red", "blue")}  # fmt: skip
    assert counted(sent(services, zipped(files))) == Counter(
        {(part, label): 1 for part in ("train", "validation", "test") for label in ("red", "blue")}
    )


def test_a_class_may_be_called_as_a_part_is(services: Services) -> None:
    files = {"train/1.jpg": coloured("red", 1), "test/1.jpg": coloured("blue", 1)}
    assert told(sent(services, zipped(files))) == [("test/1.jpg", "test", ""), ("train/1.jpg", "train", "")]


def test_a_zip_with_metadata(services: Services) -> None:
    rows = [{"file_name": "a.jpg", "label": 7}, {"file_name": "val/b.jpg", "label": " 猫 "}]
    files = {"a.jpg": coloured("red", 1), "val/b.jpg": coloured("blue", 1)}
    data = zipped({"metadata.jsonl": "\n".join(map(json.dumps, rows)).encode(), **files})
    assert told(sent(services, data)) == [("a.jpg", "7", ""), ("val/b.jpg", "猫", "validation")]


def test_a_name_in_an_old_encoding_is_read(services: Services) -> None:
    data = zipped({"CCCC/1.jpg": coloured("red", 1), "DDDD/1.jpg": coloured("blue", 1)})
    data = data.replace(b"CCCC/", "汽车/".encode("gb18030")).replace(b"DDDD/", "飞机/".encode("gb18030"))
    with opened(sent(services, data)) as found:
        assert {one.label for one in found.pictures} == {"汽车", "飞机"}
        assert found.data(found.pictures[0])


def test_what_macos_and_others_write_is_one_class(tmp_path: Path) -> None:
    files = {"cafe\u0301/1.jpg": coloured("red", 1), "caf\u00e9/2.jpg": coloured("red", 2)}
    assert {label for _, label, _ in told(put_folder(tmp_path / "x", files))} == {"caf\u00e9"}


def test_a_processed_one_keeps_its_parts(services: Services) -> None:
    raw = sent(services, zipped(colour_files(8)))
    asked = ProcessRequest(dataset_id=raw.id, output_name="pets")
    datasets.process(asked, services=services, job=LinsJob())
    found = located(services, "data/processed/pets")
    assert Counter(part for part, _ in counted(found).elements()) == {"train": 19, "validation": 3, "test": 2}
    with opened(found) as pictures:
        assert pictures.data(pictures.pictures[0])[:2] == b"\xff\xd8"


def test_a_folder_that_the_operator_put_there(services: Services) -> None:
    put_folder(services.settings.data_dir / "pets", colour_files(1) | {"red/notes.txt": b"hello", "loose.jpg": b"x"})
    found = located(services, "/datasets/pets")
    assert (found.id, found.format, found.path) == ("", "image_label", "data/pets")
    with opened(found) as pictures:
        assert [one.name for one in pictures.pictures] == ["blue/0.jpg", "green/0.jpg", "red/0.jpg"]
        assert pictures.faults.count == 2


def test_a_folder_of_parts_is_one_too(services: Services) -> None:
    files = {f"{part}/red/{part}.jpg": coloured("red", 1) for part in ("training", "valid")}
    put_folder(services.settings.data_dir / "pets", files)
    assert counted(located(services, "data/pets")) == {("train", "red"): 1, ("validation", "red"): 1}


def test_links_that_lead_out_of_a_folder_are_not_followed(services: Services, tmp_path: Path) -> None:
    put_folder(services.settings.data_dir / "pets", colour_files(1))
    (tmp_path / "secret.jpg").write_bytes(coloured("red", 3))
    (services.settings.data_dir / "pets" / "red" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    assert len(told(located(services, "data/pets"))) == 3


def test_the_folder_of_everybody_s_data_sets_is_nobody_s(services: Services) -> None:
    raw = sent(services, zipped(colour_files(1)))
    datasets.process(ProcessRequest(dataset_id=raw.id, output_name="pets"), services=services, job=LinsJob())
    for path in ("data/processed", "data/raw", "data/processed/pets/v1", "data/processed/pets"):
        with pytest.raises(NotFound):
            located(services, path, owner="mo")


def test_rows_beside_their_pictures(services: Services) -> None:
    home = services.settings.data_dir / "pets"
    rows = [{"file_name": "a.jpg", "label": "red"}, {"image": ["b.jpg"], "label": True}]
    put_folder(home, {"a.jpg": coloured("red", 1), "b.jpg": coloured("blue", 1)})
    (home / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert told(located(services, "data/pets")) == [("a.jpg", "red", ""), ("b.jpg", "True", "")]


BAD_ROWS = {
    "outside": {"image": "../secret.jpg", "label": "red"},
    "absolute": {"image": "/etc/passwd", "label": "red"},
    "nul": {"image": "a\0.jpg", "label": "red"},
    "not-there": {"image": "b.jpg", "label": "red"},
    "a-folder": {"image": "deep", "label": "red"},
    "no-picture": {"image": "notes.txt", "label": "red"},
    "no-label": {"image": "a.jpg"},
    "empty-label": {"image": "a.jpg", "label": "  "},
    "long-label": {"image": "a.jpg", "label": "x" * 300},
    "labels": {"image": "a.jpg", "label": ["a", "b"]},
    "number": {"image": 7, "label": "red"},
    "two": {"images": ["a.jpg", "a.jpg"], "label": "red"},
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_is_counted_and_left_out(services: Services, name: str) -> None:
    data = services.settings.data_dir
    put_folder(data / "pets", {"a.jpg": coloured("red", 1), "notes.txt": b"hello", "deep/c.jpg": b"x"})
    (data / "secret.jpg").write_bytes(coloured("red", 1))
    rows = [{"image": "a.jpg", "label": "red"}, BAD_ROWS[name]]
    (data / "pets" / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with opened(located(services, "data/pets")) as found:
        assert found.pictures == [Labelled("a.jpg", "red")]
        assert found.faults.count == 1


def test_rows_that_somebody_sent_name_no_files_of_ours(services: Services) -> None:
    (services.settings.data_dir / "raw").mkdir(parents=True)
    (services.settings.data_dir / "raw" / "secret.jpg").write_bytes(coloured("red", 1))
    rows = [{"image": "secret.jpg", "label": "red"}, {"image": "secret.jpg", "label": "blue"}]
    found = sent(services, "\n".join(map(json.dumps, rows)).encode())
    with pytest.raises(Invalid) as caught:
        opened(found)
    assert caught.value.details == {"field": "dataset_path", "reason": "no_pictures"}


def test_texts_are_no_pictures(services: Services) -> None:
    found = sent(services, b'{"instruction": "q", "output": "a"}\n{"instruction": "q", "output": "b"}')
    with pytest.raises(Invalid) as caught:
        opened(found)
    assert (caught.value.details["reason"], caught.value.details["format"]) == ("dataset_format", "alpaca")


def test_captions_are_no_classes(services: Services) -> None:
    rows = b'{"file_name": "a.jpg", "text": "a red one"}'
    with pytest.raises(Invalid, match="image_text"):
        opened(sent(services, zipped({"metadata.jsonl": rows, "a.jpg": coloured("red", 1)})))
