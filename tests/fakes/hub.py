"""A model hub as its HTTP interface is documented, with every way in which a download can go wrong."""

import hashlib
import re
from collections.abc import Iterator
from typing import ClassVar

from tests.fakes.connection import CUT, Piece, RecordedRequest, Reply
from tests.fakes.server import FakeServer, Route

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PIECE_BYTES = 64 * 1024
BYTES: dict[str, str | None] = {"content-type": "application/octet-stream"}


class HubFake(FakeServer):
    """One hub with one repository of `files`; small texts are kept in git, weights beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}
        self.sent: dict[str, bytes] = {}
        """What is sent for a file instead of what the list promises."""
        self.cuts: list[int] = []
        """After how many bytes the next answers break off, in turn."""
        self.hold_after: int | None = None
        """After how many bytes answers wait until the test lets them go."""
        self.ignores_ranges = False
        self.wrong_start = False
        self.token = ""

    def list_(self, request: RecordedRequest, _repository: str, _revision: str) -> Reply:
        entries = [self._entry(name, data) for name, data in self.files.items()]
        return Reply({"sha": COMMIT, "siblings": entries}) if self._may(request) else Reply({}, status=401)

    def resolve(self, request: RecordedRequest, _repository: str, _revision: str, name: str) -> Reply:
        if not self._may(request):
            return Reply({}, status=403)
        data = self.sent.get(name, self.files[name])
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        if not asked or self.ignores_ranges:
            return Reply(self._pieces(data), headers=dict(BYTES))
        start = 0 if self.wrong_start else int(asked[1])
        if start >= len(data):
            return Reply(b"", status=416)
        headers = BYTES | {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        return Reply(self._pieces(data[start:]), status=206, headers=headers)

    routes: ClassVar[list[Route]] = [
        ("GET", r"/api/models/([^/]+/[^/]+)/revision/([^/]+)", list_),
        ("GET", r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", resolve),
    ]

    def _may(self, request: RecordedRequest) -> bool:
        return not self.token or request.headers.get("authorization") == f"Bearer {self.token}"

    def _entry(self, name: str, data: bytes) -> dict[str, object]:
        git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        entry: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": git}
        if name.endswith((".safetensors", ".gguf", ".bin")):
            entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
        return entry

    def _pieces(self, data: bytes) -> Iterator[Piece]:
        end = self.cuts.pop(0) if self.cuts else None
        kept = data if end is None else data[:end]
        for start in range(0, len(kept), PIECE_BYTES):
            if self.hold_after is not None and start >= self.hold_after:
                yield from self.until_released()
            yield kept[start : start + PIECE_BYTES]
        if end is not None:
            yield CUT
