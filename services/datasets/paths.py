"""Paths in requests: they name things of the service and never places of the machine.

A leading `/` or `./` is the service's own root, where `data/`, `models/` and `datasets/` lie. So
`/data/processed/x`, `data/processed/x`, `/datasets/x.jsonl` and `x` are one thing. A text is judged before any
file is looked at; what a link on the disk leads to is judged again by `inside`.
"""

import re
from pathlib import Path, PurePosixPath

from services.errors import Malformed

LONGEST_PATH = 512
ROOTS = ("data", "models", "datasets")
# Letters of any script; a leading dot would hide the thing, a leading dash be taken for an option.
PLAIN_NAME = re.compile(r"\w[\w.\- ]{0,99}")
SUFFIXES = (".jsonl", ".json", ".csv", ".zip", ".gz")


def normal(text: str, *, field: str) -> str:
    """*text* as `data/…`, `models/…`, or a bare name. Raises Malformed for everything else."""
    parts = PurePosixPath(text).parts
    if not text or len(text) > LONGEST_PATH or "\\" in text or not text.isprintable() or ".." in parts:
        raise forbidden(text, field)
    rooted = text.startswith(("/", "./"))
    parts = tuple(part for part in parts if part not in ("/", "//"))
    if not parts or any(part.startswith(".") for part in parts):
        raise forbidden(text, field)
    if len(parts) == 1 and not rooted and parts[0] not in ROOTS:
        return parts[0]
    if parts[0] not in ROOTS or len(parts) == 1:
        raise forbidden(text, field)
    if parts[0] == "datasets":
        if len(parts) != 2:
            raise forbidden(text, field)
        return parts[1]
    return "/".join(parts)


def bare(name: str) -> str:
    """*name* without the suffixes of data files."""
    while name.endswith(SUFFIXES):
        name = name.rpartition(".")[0]
    return name


def inside(root: Path, relative: str, *, field: str) -> Path:
    """Where *relative* lies below *root*. Raises Malformed when a link on the way leads out of it."""
    base = root.resolve()
    path = (base / relative).resolve()
    if not path.is_relative_to(base):
        raise forbidden(relative, field)
    return path


def is_plain_name(name: str) -> bool:
    """Whether *name* may become a file's or folder's name as it is."""
    return bool(PLAIN_NAME.fullmatch(name)) and not name.endswith((" ", ".")) and ".." not in name


def plain_name(text: str, *, otherwise: str) -> str:
    """What of *text*, what somebody calls a file, may be a file's name here; *otherwise* where nothing may."""
    last = re.split(r"[\\/]", text)[-1]
    cleaned = re.sub(r"[^\w.\-]+", "_", last).strip("._-")[:80]
    return cleaned if is_plain_name(cleaned) else otherwise


def forbidden(text: str, field: str) -> Malformed:
    """The error for a path that is none of the service's."""
    return Malformed(
        "{text} is no path of this service; name a data set or model, or a path under data/ or models/.",
        "{text} 不是本服务内的路径；请使用数据集或模型的名称，或 data/、models/ 下的路径。",
        details={"field": field, "reason": "path_forbidden"},
        text=repr(text[:80]),
    )
