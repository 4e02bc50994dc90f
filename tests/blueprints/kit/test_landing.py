"""Where a file lands: in memory while it is small, on disk from then on, and nowhere when it is closed."""

import hashlib
from pathlib import Path

import pytest

from blueprints.kit.landing import SMALL_BYTES, Landing
from services.errors import TooLarge

SMALL, LARGE = b"a\nb" * 1000, b"c\nd" * SMALL_BYTES


def landed(folder: Path, data: bytes, *, may_stay_in_memory: bool = True) -> Landing:
    landing = Landing(folder, 2**24, may_stay_in_memory=may_stay_in_memory)
    for start in range(0, len(data), 65_536):
        landing.write(data[start : start + 65_536])
    landing.seek(0)
    return landing


def test_a_small_file_touches_no_disk(tmp_path: Path) -> None:
    landing = landed(tmp_path, SMALL)
    assert (landing.small, landing.sha256) == (SMALL, hashlib.sha256(SMALL).hexdigest())
    assert list(tmp_path.iterdir()) == []
    landing.close()


def test_it_is_on_disk_for_who_asks_where_it_is(tmp_path: Path) -> None:
    landing = landed(tmp_path, SMALL)
    assert landing.path.read_bytes() == SMALL
    assert (landing.small, landing.sha256) == (b"", hashlib.sha256(SMALL).hexdigest())
    landing.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("data", "may"), [(LARGE, True), (LARGE, False), (SMALL, False)])
def test_others_are_on_disk(tmp_path: Path, data: bytes, may: bool) -> None:
    landing = landed(tmp_path, data, may_stay_in_memory=may)
    assert (landing.small, landing.sha256) == (b"", hashlib.sha256(data).hexdigest())
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [data]
    landing.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data", [SMALL, LARGE])
def test_it_is_read_and_kept_from_both_places(tmp_path: Path, data: bytes) -> None:
    landing = landed(tmp_path, data)
    assert landing.read(2) == data[:2] and landing.tell() == 2
    assert landing.readline() == data[2 : data.index(b"\n", 2) + 1]
    landing.seek(0)
    assert b"".join(landing) == data
    kept = landing.keep(tmp_path / "kept" / "file")
    landing.close()
    assert kept.read_bytes() == data
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]


def test_one_that_is_too_large_leaves_nothing(tmp_path: Path) -> None:
    landing = Landing(tmp_path, 10, may_stay_in_memory=True)
    with pytest.raises(TooLarge):
        landing.write(SMALL)
    landing.close()
    assert list(tmp_path.iterdir()) == []
