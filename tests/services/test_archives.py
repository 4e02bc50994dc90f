"""Zips that are written while they are sent."""

import io
import zipfile
from pathlib import Path

from services.archives import stream_zip


def test_members_come_out_as_they_went_in(tmp_path: Path) -> None:
    files = {"a.txt": b"a", "名/b.bin": bytes(range(256)) * 4000, "empty": b""}
    for number, data in enumerate(files.values()):
        (tmp_path / str(number)).write_bytes(data)
    blocks = list(stream_zip([(name, tmp_path / str(number)) for number, name in enumerate(files)]))
    assert max(map(len, blocks)) < 300_000
    with zipfile.ZipFile(io.BytesIO(b"".join(blocks))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files


def test_the_same_files_are_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    assert [*stream_zip([("a", tmp_path / "a")])] == [*stream_zip([("a", tmp_path / "a")])]
