"""Rows of a zip of pictures: a folder a class (`cats/1.jpg`), or a `metadata.jsonl` beside the pictures.

An archive is judged by its table of contents before anything of it is read, and nothing is ever unpacked to a
path that it names.
"""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from services import filetypes
from services.datasets import json_rows
from services.datasets.faults import Fault, Record, unreadable

METADATA = "metadata.jsonl"
# Python keeps a record of some 500 bytes for each.
MOST_MEMBERS = 100_000
MOST_CONTENTS_BYTES = 32 * 2**20
END = b"PK\x05\x06"
END_BYTES = 22
LONGEST_COMMENT = 0xFFFF
UTF_8_NAMES = 0x800
ENCRYPTED = 0x1
WINDOWS = 0
IMAGE = "image"
LABEL = "label"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much an archive may hold: in all, and in one picture."""

    total_bytes: int
    picture_bytes: int


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive at *path*, whose table of contents is of a sane size. Raises Invalid."""
    _bound_contents(path)
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError) as error:
        raise unreadable("zip_broken", "The zip is broken or cut short.", "zip 文件损坏或不完整。") from error


def members(archive: zipfile.ZipFile, bounds: Bounds) -> dict[str, zipfile.ZipInfo]:
    """The files in *archive* by their names, in the order of names. Raises Invalid for what no honest zip holds."""
    found: dict[str, zipfile.ZipInfo] = {}
    total = 0
    for info in archive.infolist():
        name = _name(info)
        _refuse_dangerous(name, info)
        if info.is_dir() or _is_clutter(name):
            continue
        if name in found:
            raise _dangerous("zip_twice", name, "stands twice in the zip", "在 zip 中重复出现")
        total += info.file_size
        if total > bounds.total_bytes or (info.file_size > bounds.picture_bytes and _is_picture_name(name)):
            raise _dangerous("zip_bomb", name, "makes the zip unpack to more than is allowed", "使 zip 解压后超过限制")
        found[name] = info
    return dict(sorted(found.items()))


def rows(path: Path, bounds: Bounds) -> Iterator[Record]:
    """The rows of the archive at *path*: `image` is a member's name; `label` its folder, or what the metadata say.

    Lines are those of the metadata, else the places of pictures in the order of their names.
    """
    with opened(path) as archive:
        files = members(archive, bounds)
        listed = [name for name in files if PurePosixPath(name).name == METADATA]
        if "[Content_Types].xml" in files:
            raise unreadable(
                "office_file",
                "This is a workbook or document of Office; save it as CSV UTF-8.",
                "这是 Office 文档，请另存为 CSV UTF-8 格式后上传。",
            )
        yield from _described(archive, files, listed[0]) if listed else _by_folder(archive, files)


def _described(archive: zipfile.ZipFile, files: dict[str, zipfile.ZipInfo], metadata: str) -> Iterator[Record]:
    folder = PurePosixPath(metadata).parent
    with archive.open(files[metadata]) as file:
        for line, row in json_rows.lines(iter(lambda: file.read(2**20), b"")):
            yield line, row if isinstance(row, Fault) else _with_picture(archive, files, folder, row)


def _with_picture(
    archive: zipfile.ZipFile, files: dict[str, zipfile.ZipInfo], folder: PurePosixPath, row: dict[str, Any]
) -> dict[str, Any] | Fault:
    given = row.pop("file_name", None) or row.pop(IMAGE, None)
    if not isinstance(given, str):
        return Fault("no_picture", "has no 'file_name'", "缺少 'file_name'")
    name = str(folder / given)
    if name not in files:
        told = repr(given[:80])
        return Fault("no_picture", f"names {told}, which is not in the zip", f"引用的 {told} 不在 zip 中")
    return _fault_of(archive, files[name]) or {IMAGE: name, **row}


def _by_folder(archive: zipfile.ZipFile, files: dict[str, zipfile.ZipInfo]) -> Iterator[Record]:
    for place, (name, info) in enumerate(files.items(), 1):
        label = PurePosixPath(name).parent.name
        if not label:
            yield place, Fault("no_class", f"({name[:80]}) lies in no folder", f"（{name[:80]}）不在任何类别文件夹中")
        else:
            yield place, _fault_of(archive, info) or {IMAGE: name, LABEL: label}


def _fault_of(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Fault | None:
    """What is wrong with a picture, as far as its first bytes tell."""
    with archive.open(info) as file:
        kind = filetypes.media_type(file.read(filetypes.HEAD_BYTES))
    if kind.startswith("image/"):
        return None
    name = info.filename[:80]
    return Fault("not_a_picture", f"({name}) is no picture but {kind}", f"（{name}）不是图片，而是 {kind}")


def _name(info: zipfile.ZipInfo) -> str:
    """A member's name; Windows in China writes it in GBK without saying so, macOS in UTF-8."""
    if info.flag_bits & UTF_8_NAMES or info.filename.isascii():
        return info.filename
    raw = info.filename.encode("cp437", "replace")
    for encoding in ("gb18030", "utf-8") if info.create_system == WINDOWS else ("utf-8", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return info.filename


def _refuse_dangerous(name: str, info: zipfile.ZipInfo) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or name[1:2] == ":":
        raise _dangerous("zip_slip", name, "leads out of the zip", "指向 zip 之外")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _dangerous("zip_link", name, "is a link or device and no file", "是链接或设备而非文件")
    if info.flag_bits & ENCRYPTED:
        raise _dangerous("zip_encrypted", name, "is encrypted", "已加密")


def _dangerous(reason: str, name: str, en: str, zh: str) -> Exception:
    return unreadable(reason, "{name} " + en + ".", "{name} " + zh + "。", name=repr(name[:80]))


def _is_clutter(name: str) -> bool:
    """Whether it is what macOS and Windows put into zips beside the files."""
    path = PurePosixPath(name)
    return path.parts[0] == "__MACOSX" or path.name.startswith(".") or path.name in {"Thumbs.db", "desktop.ini"}


def _is_picture_name(name: str) -> bool:
    return PurePosixPath(name).name != METADATA


def _bound_contents(path: Path) -> None:
    """Refuse a table of contents that would fill the memory; it is read whole, and is not compressed."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - END_BYTES - LONGEST_COMMENT, 0))
        tail = file.read()
    at = tail.rfind(END)
    if at < 0 or len(tail) - at < END_BYTES:
        raise unreadable("zip_broken", "The zip is broken or cut short.", "zip 文件损坏或不完整。")
    count, contents_bytes = struct.unpack_from("<HI", tail, at + 10)
    # 65,535 stands for "more than fits here", and 64-bit archives say it elsewhere: such a one is too large anyway
    # unless the space between its members and its end is small.
    if count == 0xFFFF or contents_bytes == 0xFFFFFFFF:
        count, contents_bytes = _contents_64(tail, at)
    if count > MOST_MEMBERS or contents_bytes > MOST_CONTENTS_BYTES:
        raise unreadable(
            "zip_too_many",
            "The zip holds more than {most} files.",
            "zip 包含的文件超过 {most} 个。",
            most=MOST_MEMBERS,
        )


def _contents_64(tail: bytes, at: int) -> tuple[int, int]:
    """Count and size as a 64-bit archive says them, whose record stands right before the end."""
    record = tail.rfind(b"PK\x06\x06", 0, at)
    if record < 0 or at - record < 56:
        return MOST_MEMBERS + 1, 0
    count, contents_bytes = struct.unpack_from("<QQ", tail, record + 32)
    return count, contents_bytes
