"""One file over HTTP, that goes on where it broke off and is only there when it is what was promised."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import requests

from services.errors import Unavailable
from services.pulls.digests import file_git_sha1, file_sha256

BLOCK_BYTES = 2**20
# Tries in a row that bring nothing new; one that brought something does not count.
BARREN_TRIES = 3
FIRST_PAUSE_SECONDS = 0.25
RANGE_START = re.compile(r"bytes (\d+)-")


@dataclass(frozen=True)
class Promise:
    """What a file shall be; git's own checksum stands for small files, which hubs keep in git itself."""

    name: str
    size_bytes: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None

    def kept_by(self, path: Path) -> bool:
        """Whether the file at *path* is what was promised."""
        if self.size_bytes is not None and path.stat().st_size != self.size_bytes:
            return False
        if self.sha256:
            return file_sha256(path) == self.sha256
        return not self.git_sha1 or file_git_sha1(path) == self.git_sha1


def download(
    ask: Callable[[dict[str, str]], requests.Response], promise: Promise, target: Path, hear: Callable[[int], None]
) -> None:
    """Bring the file to *target*; what arrived before an interruption waits beside it as `.part`.

    *ask* sends the request with more headers and raises what its status means; *hear* is told how many
    bytes there are, and may raise to end it. Raises Unavailable when the file cannot be had whole.
    """
    part = target.with_name(target.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    went_on = part.exists()
    if not (went_on and promise.size_bytes == _size(part)):
        _fill(ask, promise, part, hear)
    if went_on and not promise.kept_by(part):
        # What was there from an earlier day may be the rotten half: once more from the beginning.
        part.unlink()
        _fill(ask, promise, part, hear)
    if not promise.kept_by(part):
        part.unlink()
        raise Unavailable(
            "{file} did not arrive as it was promised; its checksum or size is wrong.",
            "{file} 与预期不符：校验和或大小错误。",
            details={"reason": "checksum", "file": promise.name},
            file=promise.name,
        )
    part.rename(target)


def _fill(
    ask: Callable[[dict[str, str]], requests.Response], promise: Promise, part: Path, hear: Callable[[int], None]
) -> None:
    barren = 0
    while barren < BARREN_TRIES:
        have = _size(part)
        try:
            ended = _append(ask, part, have, hear)
        except requests.RequestException:
            ended = False
        now = _size(part)
        if ended if promise.size_bytes is None else now >= promise.size_bytes:
            return
        barren = 0 if now > have else barren + 1
        if barren:
            time.sleep(FIRST_PAUSE_SECONDS * 2**barren)
    raise Unavailable(
        "The download of {file} broke off; pull again to go on.",
        "{file} 下载中断，请重新执行以继续。",
        details={"reason": "connection", "file": promise.name},
        file=promise.name,
    )


def _append(
    ask: Callable[[dict[str, str]], requests.Response], part: Path, have: int, hear: Callable[[int], None]
) -> bool:
    """Write what the server sends behind the *have* bytes there are; whether its answer came to its end."""
    with ask({"Range": f"bytes={have}-"} if have else {}) as answer:
        begins = RANGE_START.match(answer.headers.get("Content-Range", ""))
        if answer.status_code == 416 or (answer.status_code == 206 and not (begins and int(begins[1]) == have)):
            part.unlink(missing_ok=True)
            return False
        with part.open("ab" if answer.status_code == 206 else "wb") as out:
            for block in answer.iter_content(BLOCK_BYTES):
                out.write(block)
                hear(out.tell())
    return True


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
