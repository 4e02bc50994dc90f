"""Downloads of many files: whatever a thing is called, its header is one line."""

import io
import zipfile
from pathlib import Path

import pytest
from flask import Flask

from blueprints.kit.downloads import send_zip


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cats", "attachment; filename=cats.zip"),
        ("a\tb\nc\x85", "attachment; filename=abc.zip"),
        ("\n", "attachment; filename=files.zip"),
        ("金融", "attachment; filename=files.zip; filename*=UTF-8''%E9%87%91%E8%9E%8D.zip"),
    ],
)
def test_names(app: Flask, tmp_path: Path, name: str, shown: str) -> None:
    (tmp_path / "a").write_text("x")
    with app.test_request_context():
        response = send_zip(name, [("a", tmp_path / "a")])
        data = response.get_data()
    assert response.headers["Content-Disposition"] == shown
    assert shown.isascii()
    assert zipfile.ZipFile(io.BytesIO(data)).read("a") == b"x"
