"""Weights from a model hub, by its HTTP interface; a download that broke off goes on where it stopped.

Source: the hub's documents, "Hub API Endpoints". Pickles are never fetched: safetensors, GGUF and text alone.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import requests

from services.compute.progress import Job
from services.contracts.models import Source
from services.errors import Unavailable
from services.settings import Settings

WANTED = {".safetensors", ".gguf", ".json", ".txt", ".model", ".jinja"}
BLOCK_BYTES = 2**18
CONNECT_SECONDS, SILENCE_SECONDS = 5, 60
TRIES = 5


def fetch(source: Source, folder: Path, settings: Settings, job: Job) -> None:
    """Put the files of a hub's repository into *folder*. Raises Unavailable when the hub does not give them."""
    hub = Hub(settings, str(source.hub), source.revision)
    files = hub.files([wanted.name for wanted in source.files])
    pinned = {wanted.name: wanted.sha256 for wanted in source.files}
    total_bytes = sum(file["size"] for file in files) or 1
    done_bytes = 0
    for file in files:
        path = folder / file["name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        sha256 = pinned.get(file["name"]) or file["sha256"]
        for size in hub.download(file, path, sha256):
            job.progress(0.99 * (done_bytes + size) / total_bytes, stage="download", file=file["name"])
        done_bytes += file["size"]


class Hub:
    """One revision of one repository; partial downloads are kept in the cache between tries and pulls."""

    def __init__(self, settings: Settings, repository: str, revision: str) -> None:
        self._base = settings.hub_url
        self._repository, self._revision = repository, revision
        self._cache = settings.model_cache_dir / "hub" / repository.replace("/", "--")
        self._session = requests.Session()
        if settings.hub_token:
            self._session.headers["Authorization"] = f"Bearer {settings.hub_token}"

    def files(self, names: list[str]) -> list[dict[str, Any]]:
        """Name, size, sha256 (of large files) and commit of every file wanted, *names* or all that are safe."""
        url = f"{self._base}/api/models/{self._repository}/revision/{self._revision}"
        answer = self._get(url, params={"blobs": "true"})
        try:
            listing = answer.json()
            found = [_file(entry, listing.get("sha") or self._revision) for entry in listing["siblings"]]
        except (ValueError, KeyError, TypeError) as error:
            raise self._failed("its answer is not a hub's") from error
        wanted = [file for file in found if (file["name"] in names if names else _safe(file["name"]))]
        if not wanted:
            raise self._failed("it has no safetensors or GGUF files")
        return wanted

    def download(self, file: dict[str, Any], path: Path, sha256: str | None) -> Iterator[int]:
        """Bring one file to *path*; yields the bytes there are so far."""
        self._cache.mkdir(parents=True, exist_ok=True)
        kept = self._cache / hashlib.sha256(f"{file['commit']}/{file['name']}".encode()).hexdigest()
        for _ in range(TRIES):
            try:
                yield from self._append(file, kept)
            except requests.RequestException:
                continue
            if kept.stat().st_size >= file["size"]:
                break
        if file["size"] and kept.stat().st_size != file["size"] or (sha256 and _sha256(kept) != sha256):
            kept.unlink()
            raise self._failed(f"{file['name']} did not arrive as the hub describes it")
        kept.rename(path)

    def _append(self, file: dict[str, Any], kept: Path) -> Iterator[int]:
        have = kept.stat().st_size if kept.exists() else 0
        if have and have == file["size"]:
            yield have
            return
        url = f"{self._base}/{self._repository}/resolve/{file['commit']}/{file['name']}"
        with self._get(url, headers={"Range": f"bytes={have}-"} if have else {}, stream=True) as answer:
            goes_on = answer.status_code == 206
            with kept.open("ab" if goes_on else "wb") as out:
                for block in answer.iter_content(BLOCK_BYTES):
                    out.write(block)
                    yield out.tell()

    def _get(self, url: str, **options: Any) -> requests.Response:
        try:
            answer = self._session.get(url, timeout=(CONNECT_SECONDS, SILENCE_SECONDS), **options)
        except requests.ConnectionError as error:
            raise self._failed("it cannot be reached; set HUB_URL to a mirror") from error
        if answer.status_code in {401, 403}:
            raise self._failed("it wants a token with access to this model; set HUB_TOKEN")
        if answer.status_code >= 400:
            raise self._failed(f"it answered {answer.status_code}")
        return answer

    def _failed(self, why: str) -> Unavailable:
        return Unavailable(
            "The model hub did not give {model}: {why}.", "无法从模型仓库获取 {model}：{why}。", model=self._repository, why=why
        )


def _file(entry: dict[str, Any], commit: str) -> dict[str, Any]:
    name = str(entry["rfilename"])
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts:
        raise KeyError(name)
    return {"name": name, "size": entry.get("size") or 0, "sha256": (entry.get("lfs") or {}).get("sha256"), "commit": commit}


def _safe(name: str) -> bool:
    return PurePosixPath(name).suffix in WANTED


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
