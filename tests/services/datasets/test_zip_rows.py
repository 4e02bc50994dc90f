"""Rows of zips of pictures, honest ones and others."""

import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from services.datasets import zip_rows
from services.datasets.faults import Fault, Record
from services.datasets.zip_rows import Bounds
from services.errors import Invalid
from tests.fakes import samples

BOUNDS = Bounds(10 * 2**20, 2**20)
PICTURE = samples.png(8, 8, "cat")


def pack(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def rows(path: Path) -> list[Record]:
    return list(zip_rows.rows(path, BOUNDS))


def reason(path: Path) -> str:
    with pytest.raises(Invalid) as caught:
        rows(path)
    return str(caught.value.details["reason"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pictures.zip"


def test_a_folder_is_a_class(path: Path) -> None:
    pack(path, ("set/dogs/1.png", PICTURE), ("set/cats/2.png", PICTURE), ("__MACOSX/x", b""), ("set/.DS_Store", b""))
    assert rows(path) == [
        (1, {"image": "set/cats/2.png", "label": "cats"}),
        (2, {"image": "set/dogs/1.png", "label": "dogs"}),
    ]


def test_metadata_tell_of_pictures(path: Path) -> None:
    metadata = '{"file_name": "a/1.png", "text": "一只猫"}\n{"file_name": "2.png"}\n{"text": "x"}\n{\n'
    pack(path, ("top/metadata.jsonl", metadata.encode()), ("top/a/1.png", PICTURE))
    found = rows(path)
    assert found[0] == (1, {"image": "top/a/1.png", "text": "一只猫"})
    assert [row.reason for _, row in found[1:] if isinstance(row, Fault)] == [
        "no_picture",
        "no_picture",
        "json_invalid",
    ]


def test_what_is_no_picture_is_a_bad_row(path: Path) -> None:
    pack(path, ("cats/1.png", PICTURE), ("cats/2.png", b"just words"), ("3.png", PICTURE))
    assert [row.reason for _, row in rows(path) if isinstance(row, Fault)] == ["no_class", "not_a_picture"]


def test_chinese_names_of_windows_are_read(path: Path) -> None:
    member = zipfile.ZipInfo("AAAA/1.png")
    member.create_system = 0
    pack(path, (member, PICTURE))
    path.write_bytes(path.read_bytes().replace(b"AAAA", "猫猫".encode("gbk")))
    assert rows(path) == [(1, {"image": "猫猫/1.png", "label": "猫猫"})]


@pytest.mark.parametrize("name", ["../x/1.png", "a/../../1.png", "/etc/1.png", "a\\1.png", "C:/a/1.png"])
def test_a_zip_that_climbs_is_refused(path: Path, name: str) -> None:
    assert reason(pack(path, (name, PICTURE))) == "zip_slip"


def test_a_link_is_refused(path: Path) -> None:
    link = zipfile.ZipInfo("cats/1.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert reason(pack(path, (link, b"/etc/passwd"))) == "zip_link"


def test_a_bomb_is_refused(path: Path) -> None:
    assert reason(pack(path, ("cats/1.png", bytes(2 * 2**20)))) == "zip_bomb"
    many = [(f"cats/{number}.png", bytes(2**20)) for number in range(11)]
    assert reason(pack(path, *many)) == "zip_bomb"


def test_a_member_that_is_larger_than_it_says_is_refused(path: Path) -> None:
    pack(path, ("cats/1.png", PICTURE + bytes(100_000)))
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 24, 100)
    path.write_bytes(data)
    assert reason(path) == "zip_broken"


def test_the_same_name_twice_is_refused(path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        pack(path, ("cats/1.png", PICTURE), ("cats/1.png", PICTURE))
    assert reason(path) == "zip_twice"


def test_too_many_members_are_refused_before_they_are_read(path: Path) -> None:
    pack(path, ("cats/1.png", PICTURE))
    data = bytearray(path.read_bytes())
    at = data.rfind(zip_rows.END)
    for size, count in ((0xFFFF, 0xFFFF), (100, 100)):
        struct.pack_into("<HHI", data, at + 8, count, count, 2**31)
        path.write_bytes(data)
        assert reason(path) == "zip_too_many", size


def test_a_cut_zip_is_refused(path: Path) -> None:
    data = pack(path, ("cats/1.png", PICTURE)).read_bytes()
    for size in (len(data) - 1, len(data) // 2, 30):
        path.write_bytes(data[:size])
        assert reason(path) == "zip_broken"


def test_an_encrypted_zip_is_refused(path: Path) -> None:
    data = bytearray(pack(path, ("cats/1.png", PICTURE)).read_bytes())
    data[data.rfind(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert reason(path) == "zip_encrypted"


def test_a_workbook_is_named_as_one(path: Path) -> None:
    assert reason(pack(path, ("[Content_Types].xml", b"<x/>"), ("xl/workbook.xml", b"<x/>"))) == "office_file"


def test_an_empty_zip_has_no_rows(path: Path) -> None:
    zipfile.ZipFile(path, "w").close()
    assert rows(path) == []


def test_a_zip_made_for_64_bits_is_read(path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("cats/1.png", "w", force_zip64=True) as member:
        member.write(PICTURE)
    path.write_bytes(buffer.getvalue())
    assert rows(path) == [(1, {"image": "cats/1.png", "label": "cats"})]
