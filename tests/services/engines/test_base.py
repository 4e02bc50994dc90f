"""The rows of what lies under MODELS_DIR: read when something changed, and the same list until then."""

from pathlib import Path

import orjson

from services.engines.base import LocalRows


def put(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(orjson.dumps({"architectures": ["ViTForImageClassification"]}))
    (folder / "preprocessor_config.json").write_text("{}")


def test_the_list_is_the_same_until_something_changes(tmp_path: Path) -> None:
    put(tmp_path / "one")
    rows = LocalRows(tmp_path)
    first = rows()
    assert "one" in [row.id for row in first]
    assert rows() is first


def test_a_new_folder_is_seen_at_once_and_a_removed_one_no_more(tmp_path: Path) -> None:
    rows = LocalRows(tmp_path)
    assert "one" not in [row.id for row in rows()]
    put(tmp_path / "one")
    assert "one" in [row.id for row in rows()]
    (tmp_path / "one").rename(tmp_path / "two")
    assert [row.id for row in rows() if row.id in {"one", "two"}] == ["two"]


def test_no_folder_at_all_is_no_error(tmp_path: Path) -> None:
    assert [row for row in LocalRows(tmp_path / "none")() if not row.bundled] == []
