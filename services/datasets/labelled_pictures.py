"""Pictures and the class of each, as a classifier learns them: of a zip, of a folder a class, or named by rows.

Nothing is decoded here. Which of the three parts a picture belongs to is told where the data set tells it: by its
files, or by folders such as `train/` and `val/` around those of the classes.
"""

import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

from services import filetypes
from services.datasets import zip_rows
from services.datasets.faults import Fault, Faults, Record
from services.datasets.formats import PICTURES
from services.datasets.reading import Limits, Nature, Source
from services.datasets.store import Located
from services.errors import Invalid
from services.settings import Settings

LABEL, FILE_NAME = "label", "file_name"
SHAPE = "image_label"
LONGEST_LABEL = 200
# What people call the folders of the three parts.
PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
NO_PICTURE = Fault("no_picture", "names no picture", "未指明图片")
NO_LABEL = Fault("no_label", "has no class", "没有类别")
NO_FILE = Fault("no_picture", "names a picture that is not there", "引用的图片不存在")
NOT_A_PICTURE = Fault("not_a_picture", "is no picture", "不是图片")


@dataclass(frozen=True, slots=True)
class Labelled:
    """One picture by its name in the data set, its class, and its part; an empty part is not told."""

    name: str
    label: str
    part: str = ""


@dataclass
class LabelledPictures:
    """The pictures of one data set, in the order of its rows. Reading is safe from many threads; close it."""

    pictures: list[Labelled] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    folder: Path | None = None
    archive: zipfile.ZipFile | None = None
    members: dict[str, zipfile.ZipInfo] = field(default_factory=dict)

    def data(self, picture: Labelled) -> bytes:
        """The bytes of *picture*. Raises OSError, BadZipFile or zlib.error where they cannot be read."""
        if self.archive is not None:
            return self.archive.read(self.members[picture.name])
        assert self.folder is not None
        return (self.folder / picture.name).read_bytes()

    def close(self) -> None:
        if self.archive is not None:
            self.archive.close()

    def __enter__(self) -> "LabelledPictures":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def open_pictures(dataset: Located, settings: Settings, *, field: str = "dataset_path") -> LabelledPictures:
    """The pictures of *dataset*, with rows that name none counted as faults.

    Raises Invalid where it has none with a class, and for a broken file.
    """
    if dataset.format not in ("", SHAPE):
        raise not_pictures(dataset.format, field)
    found = _opened(dataset, Limits.of(settings))
    if not found.pictures:
        found.close()
        raise _none(found.faults, field)
    return found


def _opened(dataset: Located, limits: Limits) -> LabelledPictures:
    first = next(iter(dataset.parts.values()), None)
    if first is None:
        return LabelledPictures()
    if first.is_dir():
        return _of_folder(first)
    source = Source(first, limits, Nature("zip") if dataset.file_kind == "zip" else None)
    if source.nature.kind == "zip":
        return _of_zip(first, source)
    return _of_rows(dataset, limits)


def _of_folder(home: Path) -> LabelledPictures:
    """Every picture below *home* has its folder's name for a class. Links that lead out are not followed."""
    found = LabelledPictures(folder=home)
    base = home.resolve()
    for path in sorted(home.rglob("*")):
        name = path.relative_to(home)
        if _is_hidden(name) or not path.is_file() or not path.resolve().is_relative_to(base):
            continue
        if len(name.parts) > 1 and filetypes.is_picture(path):
            found.pictures.append(_by_folder(name.as_posix()))
        else:
            found.faults.add(0, NOT_A_PICTURE)
    return found


def _of_zip(path: Path, source: Source) -> LabelledPictures:
    found = LabelledPictures()
    listed = list(source.rows())
    with zip_rows.opened(path) as archive:
        members = zip_rows.members(archive, source.bounds)
        described = any(PurePosixPath(name).name == zip_rows.METADATA for name in members)
    for line, picture in _judged(iter(listed)):
        if isinstance(picture, Fault):
            found.faults.add(line, picture)
        else:
            found.pictures.append(picture if described else _by_folder(picture.name))
    # By the names that our reader gives them: Windows and macOS write theirs in encodings of their own.
    found.archive, found.members = zipfile.ZipFile(path), members
    return found


def _of_rows(dataset: Located, limits: Limits) -> LabelledPictures:
    """The pictures beside the files that name them; a file that somebody sent has none beside it."""
    found = LabelledPictures(folder=dataset.folder)
    if dataset.id and not dataset.card:
        raise _no_pictures_beside()
    for part, path in dataset.parts.items():
        # A data set of one file tells nothing of parts.
        told = part if len(dataset.parts) > 1 else ""
        for line, picture in _judged(Source(path, limits).rows()):
            if isinstance(picture, Fault) or (fault := _fault_of(dataset.folder, picture.name)):
                found.faults.add(line, picture if isinstance(picture, Fault) else fault or NO_FILE)
            else:
                found.pictures.append(Labelled(picture.name, picture.label, told))
    return found


def _judged(rows: Iterator[Record]) -> Iterator[tuple[int, Labelled | Fault]]:
    for line, row in rows:
        yield line, row if isinstance(row, Fault) else _labelled(row)


def _labelled(row: dict[str, Any]) -> Labelled | Fault:
    name = next((row[key] for key in (*PICTURES, FILE_NAME) if key in row), None)
    name = name[0] if isinstance(name, list) and len(name) == 1 else name
    if not isinstance(name, str) or not name:
        return NO_PICTURE
    label = row.get(LABEL)
    if isinstance(label, (dict, list)) or label is None:
        return NO_LABEL
    told = unicodedata.normalize("NFC", str(label)).strip()
    if not told or len(told) > LONGEST_LABEL:
        return NO_LABEL
    return Labelled(name, told, _part_of(PurePosixPath(name).parts[:-1]))


def _by_folder(name: str) -> Labelled:
    *above, folder, _ = PurePosixPath(name).parts
    return Labelled(name, unicodedata.normalize("NFC", folder).strip(), _part_of(tuple(above)))


def _part_of(folders: tuple[str, ...]) -> str:
    return next((PARTS[name.lower()] for name in folders if name.lower() in PARTS), "")


def _fault_of(folder: Path, name: str) -> Fault | None:
    """What is wrong with a row's picture: its file must lie in the data set's own folder."""
    home = folder.resolve()
    try:
        path = (home / name).resolve()
        if not path.is_relative_to(home) or not path.is_file():
            return NO_FILE
    except (OSError, ValueError):
        return NO_FILE
    return None if filetypes.is_picture(path) else NOT_A_PICTURE


def _is_hidden(name: Path) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.parts)


def not_pictures(shape: str, field: str = "dataset_path") -> Invalid:
    """The error for rows of the format *shape*."""
    error = Invalid(
        field,
        "The data set's rows are of the format {shape}; a classifier learns from pictures with a class: send a zip "
        "with a folder a class, or with a metadata.jsonl of file_name and label.",
        "数据集的格式为 {shape}；图像分类需要带类别的图片：请上传每类一个文件夹的 zip，"
        "或包含 file_name 与 label 的 metadata.jsonl。",
        reason="dataset_format",
        shape=shape,
    )
    error.details["format"] = shape
    return error


def _no_pictures_beside() -> Invalid:
    return Invalid(
        "dataset_path",
        "The rows name pictures, which this file does not hold; send a zip of the pictures.",
        "数据行引用了图片，但文件中不包含图片；请上传包含图片的 zip。",
        reason="no_pictures",
    )


def _none(faults: Faults, field: str) -> Invalid:
    first = faults.first[0][1] if faults.first else NO_PICTURE
    return Invalid(
        field,
        "The data set has no picture with a class; its first row {why}.",
        "数据集中没有带类别的图片；首行{why_zh}。",
        reason="no_pictures",
        why=first.en,
        why_zh=first.zh,
    )
