"""Weights from a model hub, by its HTTP interface.

Source: the hub's documents, "Hub API Endpoints". A branch may move while its files are fetched, so that its
commit is asked first and all files are taken from there. Pickles are never fetched.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import requests
from pydantic import TypeAdapter, ValidationError

from services.compute.progress import Job
from services.contracts.models import SAFE_SUFFIXES, RelativePath, Sha256, Source
from services.errors import Unavailable
from services.pulls.room import need_room
from services.pulls.transfer import Promise, download
from services.settings import Settings

MOST_FILES = 2000
WEIGHTS = (".safetensors", ".gguf")
# How llama.cpp names the pieces of one model.
SHARD = re.compile(r"-\d{5}-of-\d{5}\.gguf$")
_names = TypeAdapter(RelativePath)
_digests = TypeAdapter(Sha256)


def fetch(source: Source, folder: Path, settings: Settings, job: Job) -> str:
    """Put the files of a hub's repository into *folder*; the commit they are from.

    Files that are there already stay when they are what the hub promises. Raises Unavailable when the hub
    does not give them.
    """
    hub = Hub(settings, str(source.hub))
    commit, promises = hub.list_(source)
    present = {promise.name for promise in promises if _is_there(promise, folder)}
    total_bytes = sum(promise.size_bytes or 0 for promise in promises) or 1
    done_bytes = sum(promise.size_bytes or 0 for promise in promises if promise.name in present)
    need_room(folder, total_bytes - done_bytes)
    for promise in promises:
        if promise.name in present:
            continue

        def hear(size: int, before: int = done_bytes, name: str = promise.name) -> None:
            job.progress(0.99 * min(1, (before + size) / total_bytes), stage="download", file=name)

        hub.bring(promise, commit, folder / promise.name, hear)
        done_bytes += promise.size_bytes or 0
    return commit


class Hub:
    """One repository of the hub that the operator chose, by HUB_URL and HUB_TOKEN."""

    def __init__(self, settings: Settings, repository: str) -> None:
        self._base, self._repository = settings.hub_url, repository
        self._timeout = (settings.upstream_connect_seconds, settings.upstream_idle_seconds)
        self._session = requests.Session()
        # A compressed body has other bytes than the file, and a range of it is of no use.
        self._session.headers["Accept-Encoding"] = "identity"
        if settings.hub_token:
            self._session.headers["Authorization"] = f"Bearer {settings.hub_token}"

    def list_(self, source: Source) -> tuple[str, list[Promise]]:
        """The commit that the revision stands for, and what each file wanted of it shall be."""
        url = f"{self._base}/api/models/{self._repository}/revision/{source.revision}"
        try:
            listing = self._get(url, params={"blobs": "true"}).json()
            commit = str(listing.get("sha") or source.revision)
            offered = {promise.name: promise for promise in map(_promise, listing["siblings"][:MOST_FILES]) if promise}
        except requests.ConnectionError as error:
            raise self._refused(
                "it cannot be reached; HUB_URL names a mirror", "无法连接，可用 HUB_URL 指定镜像"
            ) from error
        except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._refused("its list of files cannot be read", "无法读取其文件列表") from error
        if source.files:
            return commit, [self._pinned(wanted.name, wanted.sha256, offered) for wanted in source.files]
        chosen = [offered[name] for name in choose(list(offered))]
        if not any(promise.name.endswith(WEIGHTS) for promise in chosen):
            raise self._refused("it has no safetensors or GGUF files", "没有 safetensors 或 GGUF 文件")
        if sum(promise.name.endswith(".gguf") and not SHARD.search(promise.name) for promise in chosen) > 1:
            raise self._refused(
                "it has several GGUF files; name one of them under `files` of the catalog row",
                "含有多个 GGUF 文件，请在目录条目的 `files` 中指定其一",
            )
        return commit, chosen

    def bring(self, promise: Promise, commit: str, target: Path, hear: Any) -> None:
        """Download one file of *commit* to *target*. Raises Unavailable."""
        url = f"{self._base}/{self._repository}/resolve/{commit}/{quote(promise.name)}"
        download(lambda headers: self._get(url, headers=headers, stream=True), promise, target, hear)

    def _pinned(self, name: str, sha256: str | None, offered: dict[str, Promise]) -> Promise:
        if name not in offered:
            raise self._refused(f"it has no file {name}", f"没有文件 {name}")
        return Promise(name, offered[name].size_bytes, sha256, offered[name].git_sha1) if sha256 else offered[name]

    def _get(self, url: str, **options: Any) -> requests.Response:
        """The answer; trouble that may pass raises RequestException, a refusal Unavailable."""
        answer = self._session.get(url, timeout=self._timeout, **options)
        if answer.status_code in {401, 403}:
            raise self._refused(
                "it wants a token of somebody who may have this model; set HUB_TOKEN",
                "需要有权限的令牌，请设置 HUB_TOKEN",
            )
        if answer.status_code == 404:
            raise self._refused("it has no such repository, revision or file", "没有该仓库、版本或文件")
        if answer.status_code != 416:
            answer.raise_for_status()
        return answer

    def _refused(self, en: str, zh: str) -> Unavailable:
        return Unavailable(
            "The model hub does not give {model}: {why_en}.",
            "无法从模型仓库获取 {model}：{why_zh}。",
            details={"reason": "hub"},
            model=self._repository,
            why_en=en,
            why_zh=zh,
        )


def choose(names: list[str]) -> list[str]:
    """Those files of a repository that are wanted of it: safe ones, and of the same weights only one form."""
    safe = {name for name in names if PurePosixPath(name).suffix in SAFE_SUFFIXES and not _hidden(name)}
    if "model_index.json" in safe:
        # A pipeline's parts lie in folders; weights at the top are the same once more, for other programs.
        safe -= {name for name in safe if "/" not in name and name.endswith(WEIGHTS)}
    return sorted(name for name in safe if not _is_variant(name, safe))


def _is_variant(name: str, names: set[str]) -> bool:
    """Whether `x.fp16.safetensors` lies beside `x.safetensors`: the same in another precision."""
    path = PurePosixPath(name)
    plain = path.with_name(path.name.split(".")[0] + path.suffix)
    return path.suffix == ".safetensors" and plain != path and str(plain) in names


def _hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/")) or name == "polymath.json"


def _promise(entry: dict[str, Any]) -> Promise | None:
    """What the hub says of a file; None for one whose name is no plain path below the folder."""
    try:
        name = _names.validate_python(entry["rfilename"])
        digest = (entry.get("lfs") or {}).get("sha256")
        sha256 = _digests.validate_python(digest) if digest else None
    except ValidationError:
        return None
    git_sha1 = None if sha256 else entry.get("blobId")
    size = entry.get("size")
    return Promise(name, int(size) if size is not None else None, sha256, git_sha1)


def _is_there(promise: Promise, folder: Path) -> bool:
    path = folder / promise.name
    return path.is_file() and promise.kept_by(path)
